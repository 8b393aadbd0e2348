"""A model behind an address: any server that speaks the OpenAI protocol, as one that writes and reads."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from byheart.core.errors import BadInput, ByheartError, Unknown
from byheart.core.protocols import Generation, Prompt

AGAIN = (408, 409, 429, 500, 502, 503, 504)
OPTIONAL = ("logprobs", "seed")
PASSING = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, TimeoutError, HTTPException)
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Usage:
    """What was asked of an endpoint: requests answered, and the tokens that it says it read and wrote."""

    requests: int = 0
    read: int = 0
    written: int = 0

    def more(self, told: Mapping[str, int]) -> Usage:
        """This and one more request, with the `usage` of its reply.

        >>> Usage().more({"prompt_tokens": 9, "completion_tokens": 2})
        Usage(requests=1, read=9, written=2)
        """
        read, wrote = (int(told.get(k) or 0) for k in ("prompt_tokens", "completion_tokens"))
        return Usage(self.requests + 1, self.read + read, self.written + wrote)

    def __str__(self) -> str:
        return f"{self.requests} requests, {self.read:,} tokens read, {self.written:,} written"


class Endpoint:
    """Generates and scores over HTTP; chat messages go to `/chat/completions`, raw text to `/completions`.

    Busy servers (429, 5xx) and broken connections are tried again, after the time the server asks for
    in `Retry-After` or else 0.5, 1, 2, ... seconds. A server that refuses `logprobs` or `seed` is asked
    again without them, and then gives generations whose `logprobs` are None.

    Parameters
    ----------
    url: the base address, for example `http://127.0.0.1:8000/v1` (`/v1` is added to a bare host).
    model: the name that the server knows the model by.
    key: sent as a bearer token, when given.
    timeout: seconds to wait for one reply.
    retries: how many further times a failed request is sent.
    parallel: how many requests are under way at once.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        timeout: float = 120.0,
        *,
        retries: int = 4,
        parallel: int = 4,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise BadInput(f"{url!r} is no http address; give one such as http://127.0.0.1:8000/v1")
        self.url = url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
        self.name = model
        self.key = key
        self.timeout = timeout
        self.retries = retries
        self.parallel = parallel
        self.usage = Usage()
        self._dropped: set[str] = set()
        self._length = "max_tokens"

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        copies: int = 1,
        seed: int = 0,
    ) -> list[list[Generation]]:
        """`copies` continuations of each prompt; temperature 0 is greedy."""

        def write(prompt: Prompt) -> list[Generation]:
            out: list[Generation] = []
            while len(out) < copies:
                body: dict[str, Any] = {"temperature": temperature, "n": copies - len(out), "seed": seed + len(out)}
                if isinstance(prompt, str):
                    body |= {"prompt": prompt, "max_tokens": max_tokens, "logprobs": 0}
                    reply = self._post("/completions", body)
                    new = [Generation(c["text"].strip(), _plain(c)) for c in reply["choices"]]
                else:
                    body |= {"messages": prompt, self._length: max_tokens, "logprobs": True}
                    reply = self._post("/chat/completions", body)
                    new = [Generation((c["message"]["content"] or "").strip(), _chat(c)) for c in reply["choices"]]
                if not new:
                    raise ByheartError(f"{self.url} returned no choices for model {self.name!r}; ask for fewer copies")
                out += new
            return out[:copies]

        return self._each(write, prompts)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[list[float]]:
        """Log-probability, in nats, of each token of each continuation given its prompt.

        Raw text uses `echo`, messages use `prompt_logprobs` with `continue_final_message`. The server
        cuts prompt and continuation into tokens together, so a token that straddles them is counted.
        Raises `ByheartError` when the server gives no log-probabilities of prompts (hosted chat services
        do not; `byheart serve` and vLLM do).
        """

        def read(pair: tuple[Prompt, str]) -> list[float]:
            prompt, continuation = pair
            return self._score_text(prompt, continuation) if isinstance(prompt, str) else self._score_chat(*pair)

        return self._each(read, pairs)

    def _score_text(self, prompt: str, continuation: str) -> list[float]:
        body = {"prompt": prompt + continuation, "max_tokens": 0, "echo": True, "logprobs": 0, "temperature": 0.0}
        reply = self._post("/completions", body, required=True)
        found = reply["choices"][0].get("logprobs") or {}
        offsets, values = found.get("text_offset"), found.get("token_logprobs")
        if not offsets or not values or len(offsets) != len(values):
            raise self._unscored()
        spans = zip(offsets, [*offsets[1:], len(prompt) + len(continuation)], values, strict=True)
        return [v for start, end, v in spans if max(start + 1, end) > len(prompt) and v is not None]

    def _score_chat(self, prompt: Any, continuation: str) -> list[float]:
        ask = {self._length: 1, "temperature": 0.0}
        head = self._post("/chat/completions", {**ask, "messages": prompt})
        start = (head.get("usage") or {}).get("prompt_tokens")
        body = {
            **ask,
            "messages": [*prompt, {"role": "assistant", "content": continuation}],
            "add_generation_prompt": False,
            "continue_final_message": True,
            "prompt_logprobs": 0,
        }
        found = self._post("/chat/completions", body, required=True).get("prompt_logprobs")
        if not found or start is None:
            raise self._unscored()
        return [next(iter(token.values()))["logprob"] for token in found[start:]]

    def _unscored(self) -> ByheartError:
        return ByheartError(
            f"{self.url} gives no log-probabilities of prompts, so model {self.name!r} can write but not be scored; "
            "serve it with byheart serve or vLLM, or load it here by its hub id"
        )

    def _each(self, work: Any, items: Sequence[Any]) -> list[Any]:
        """Apply `work` to every item, a few at a time, in order."""
        if not items:
            return []
        with ThreadPoolExecutor(min(self.parallel, len(items))) as pool:
            return list(pool.map(work, items))

    def models(self) -> list[str]:
        """The names of the models that the server offers."""
        return [m["id"] for m in self._send("/models", None)["data"]]

    def _post(self, path: str, body: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
        """Send a request, once more without an optional field that the server refuses by name."""
        body = {"model": self.name, **body}
        dropped: set[str] = set() if required else self._dropped
        while True:
            sent = {k: v for k, v in body.items() if k not in dropped}
            try:
                reply = self._send(path, sent)
                self.usage = self.usage.more(reply.get("usage") or {})
                return reply
            except _Refused as refused:
                said = refused.text.lower()
                if "max_completion_tokens" in said and "max_tokens" in sent and path == "/chat/completions":
                    self._length = "max_completion_tokens"
                    body[self._length] = body.pop("max_tokens")
                    continue
                if required and refused.status in (400, 404, 422) and "model" not in refused.code:
                    raise self._unscored() from None
                named = [k for k in OPTIONAL if k in sent and k in said]
                if refused.status in (400, 422) and named and not required:
                    self._dropped.update(named)
                    continue
                raise self._explain(path, refused) from None

    def _explain(self, path: str, refused: _Refused) -> ByheartError:
        """The error that a refusal amounts to."""
        if refused.status in (401, 403):
            had = "the key given" if self.key else "a request without a key"
            return BadInput(f"{self.url} refused {had} ({refused.status}); pass the right one as key=...")
        if refused.status == 404 and "model" in (refused.code + refused.text).lower():
            try:
                known = self.models()
            except ByheartError:
                known = []
            return Unknown.name("model", self.name, known, f"{self.url}/models")
        if refused.status == 404:
            return BadInput(f"{self.url}{path} is not there (404); check the address, which often ends in /v1")
        return ByheartError(f"{self.url}{path} refused the request ({refused.status}): {refused.text[:200]}; change it")

    def _send(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """One request with its retries; `_Refused` for an answer that a retry will not mend."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                with urlopen(Request(self.url + path, data, headers), timeout=self.timeout) as reply:
                    return json.loads(reply.read())
            except HTTPError as error:
                with error:
                    text, code = _message(error.read())
                if error.code not in AGAIN:
                    raise _Refused(error.code, text, code) from None
                if last:
                    raise ByheartError(
                        f"{self.url} answered {error.code} {attempt + 1} times ({text[:120]}); try again later"
                    ) from None
                time.sleep(_pause(error.headers.get("Retry-After"), attempt))
            except json.JSONDecodeError:
                raise BadInput(f"{self.url}{path} did not answer in JSON; check the address") from None
            except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
                reason = getattr(error, "reason", error)
                if last or not isinstance(reason, PASSING):
                    raise ByheartError(
                        f"cannot reach {self.url} ({reason}); check the address, or start one: byheart serve"
                    ) from None
                time.sleep(_pause(None, attempt))
        raise AssertionError("unreachable")


class _Refused(Exception):
    """An answer of status 4xx, with the server's own words."""

    def __init__(self, status: int, text: str, code: str) -> None:
        super().__init__(text)
        self.status, self.text, self.code = status, text, code


def _pause(asked: str | None, attempt: int) -> float:
    """Seconds to wait: what `Retry-After` asks (seconds or a date), else doubling from a half.

    >>> _pause("3", 0), _pause(None, 2), _pause("Wed, 21 Oct 2015 07:28:00 GMT", 0)
    (3.0, 2.0, 0.0)
    """
    wait = 0.5 * 2**attempt
    if asked:
        with suppress(ValueError):
            wait = float(asked) if asked.strip().isdigit() else parsedate_to_datetime(asked).timestamp() - time.time()
    return min(max(wait, 0.0), LONGEST_WAIT)


def _message(raw: bytes) -> tuple[str, str]:
    """The text and the code of an error reply, in whichever of the usual shapes it comes."""
    try:
        found = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace").strip(), ""
    error = found.get("error", found) if isinstance(found, dict) else found
    if isinstance(error, dict):
        return str(error.get("message") or error.get("detail") or error), str(error.get("code") or "")
    return str(error), ""


def _chat(choice: dict[str, Any]) -> list[float] | None:
    content = (choice.get("logprobs") or {}).get("content")
    return None if content is None else [t["logprob"] for t in content]


def _plain(choice: dict[str, Any]) -> list[float] | None:
    return (choice.get("logprobs") or {}).get("token_logprobs")
