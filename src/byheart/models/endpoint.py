"""A model behind an address: any server that speaks the OpenAI protocol, as a subject that generates and scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from byheart.core.errors import BadInput, ByheartError, Unknown
from byheart.core.protocols import Generation, Prompt
from byheart.models.transport import KEYS, Refused, Transport, environment_key, error_text

if TYPE_CHECKING:
    import httpx

A = TypeVar("A")
B = TypeVar("B")
OPTIONAL = ("logprobs", "seed", "temperature")
THOUGHT = re.compile(r"<(think|thinking)>.*?</\1>", re.DOTALL)
END_OF_THOUGHT = re.compile(r".*</(?:think|thinking)>", re.DOTALL)
START_OF_THOUGHT = re.compile(r"<(?:think|thinking)>")


@dataclass(frozen=True)
class Usage:
    """Requests answered by an endpoint, and the tokens that it reports as read and written."""

    requests: int = 0
    read: int = 0
    written: int = 0

    def more(self, counts: Mapping[str, int]) -> Usage:
        """This and a further request, with the `usage` of its reply.

        >>> Usage().more({"prompt_tokens": 9, "completion_tokens": 2})
        Usage(requests=1, read=9, written=2)
        """
        read, written = (int(counts.get(k) or 0) for k in ("prompt_tokens", "completion_tokens"))
        return Usage(self.requests + 1, self.read + read, self.written + written)

    def __str__(self) -> str:
        return f"{self.requests} requests, {self.read:,} tokens read, {self.written:,} written"


class Endpoint:
    """Generates and scores over HTTP; chat messages go to `/chat/completions`, raw text to `/completions`.

    Failed requests are sent again, see `transport.Transport`. A server that refuses `logprobs`, `seed` or `temperature`
    is sent the request without it. Without `logprobs`, the `logprobs` of generations are None.

    What a reasoning model writes between `<think>` tags is removed from its replies, and so are its log-probabilities.
    A reply of reasoning alone raises `ByheartError`: no answer is in it.

    Parameters
    ----------
    url: the base address, for example `http://127.0.0.1:8000/v1` (`/v1` is added to a bare host).
    model: the name that the server knows the model by.
    key: sent to this address as a bearer token, and neither stored nor printed. None takes the environment's
        `BYHEART_API_KEY` or else `OPENAI_API_KEY`; "" sends no key.
    timeout: seconds to wait for a reply; for a connection at most 10.
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
        self._server = Transport(url, environment_key() if key is None else key, timeout, retries=retries)
        self.url = self._server.url
        self.name = model
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

        def write(client: httpx.Client, prompt: Prompt) -> list[Generation]:
            out: list[Generation] = []
            while len(out) < copies:
                body: dict[str, Any] = {"temperature": temperature, "n": copies - len(out), "seed": seed + len(out)}
                if isinstance(prompt, str):
                    body |= {"prompt": prompt, "max_tokens": max_tokens, "logprobs": 0}
                    reply = self._post(client, "/completions", body)
                    out += [self._continuation(c) for c in self._choices(reply)]
                else:
                    body |= {"messages": prompt, self._length: max_tokens, "logprobs": True}
                    reply = self._post(client, "/chat/completions", body)
                    out += [self._message(c, reply) for c in self._choices(reply)]
            return out[:copies]

        return self._each(write, prompts)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[list[float]]:
        """Log-probability, in nats, of each token of each continuation given its prompt.

        Raw text uses `echo`, messages use `prompt_logprobs` with `continue_final_message`. The server
        cuts prompt and continuation into tokens together, so a token that straddles them is counted.
        Raises `ByheartError` when the server gives no log-probabilities of prompts (hosted chat services
        do not; `byheart serve` and vLLM do).
        """

        def read(client: httpx.Client, pair: tuple[Prompt, str]) -> list[float]:
            prompt, continuation = pair
            if isinstance(prompt, str):
                return self._score_text(client, prompt, continuation)
            return self._score_chat(client, prompt, continuation)

        return self._each(read, pairs)

    def _score_text(self, client: httpx.Client, prompt: str, continuation: str) -> list[float]:
        body = {"prompt": prompt + continuation, "max_tokens": 0, "echo": True, "logprobs": 0, "temperature": 0.0}
        reply = self._post(client, "/completions", body, required=True)
        logprobs = self._choices(reply)[0].get("logprobs") or {}
        offsets, values = logprobs.get("text_offset"), logprobs.get("token_logprobs")
        if not offsets or not values or len(offsets) != len(values):
            raise self._unscored()
        spans = zip(offsets, [*offsets[1:], len(prompt) + len(continuation)], values, strict=True)
        return [v for start, end, v in spans if max(start + 1, end) > len(prompt) and v is not None]

    def _score_chat(self, client: httpx.Client, prompt: list[dict[str, str]], continuation: str) -> list[float]:
        ask = {self._length: 1, "temperature": 0.0}
        head = self._post(client, "/chat/completions", {**ask, "messages": prompt})
        start = (head.get("usage") or {}).get("prompt_tokens")
        body = {
            **ask,
            "messages": [*prompt, {"role": "assistant", "content": continuation}],
            "add_generation_prompt": False,
            "continue_final_message": True,
            "prompt_logprobs": 0,
        }
        tokens = self._post(client, "/chat/completions", body, required=True).get("prompt_logprobs")
        if not tokens or start is None:
            raise self._unscored()
        return [next(iter(token.values()))["logprob"] for token in tokens[start:]]

    def models(self) -> list[str]:
        """The names of the models that the server offers."""
        with self._server.client() as client:
            return self._offered(client)

    def _offered(self, client: httpx.Client) -> list[str]:
        listed = self._server.send(client, "/models", None).get("data")
        if not isinstance(listed, list):
            raise BadInput(f"{self.url}/models lists no models; check the address")
        return [str(m["id"]) for m in listed if isinstance(m, dict) and "id" in m]

    def _choices(self, reply: dict[str, Any]) -> list[dict[str, Any]]:
        """The choices of a reply, at least one."""
        choices = reply.get("choices")
        if not choices or not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
            raise ByheartError(f"{self.url} returned no choices for model {self.name!r}; ask for fewer copies")
        failed = next((c["error"] for c in choices if c.get("error")), None)
        if failed is not None:
            raise ByheartError(f"{self.url} failed while it answered ({error_text(failed)[0][:200]}); try again later")
        return choices

    def _continuation(self, choice: dict[str, Any]) -> Generation:
        """A choice of `/completions`."""
        text = choice.get("text")
        if not isinstance(text, str):
            raise ByheartError(f"{self.url} returned a choice without text; check that it serves /completions")
        return Generation(text.strip(), (choice.get("logprobs") or {}).get("token_logprobs"))

    def _message(self, choice: dict[str, Any], reply: dict[str, Any]) -> Generation:
        """A choice of `/chat/completions`, without its reasoning."""
        message = choice.get("message")
        if not isinstance(message, dict):
            raise ByheartError(f"{self.url} returned a choice without a message; check that it serves chats")
        content = message.get("content")
        if isinstance(content, list):  # parts, as some servers give them
            content = "".join(
                str(p.get("text") or "") for p in content if isinstance(p, dict) and p.get("type") == "text"
            )
        text = answered(content or "")
        details = (reply.get("usage") or {}).get("completion_tokens_details") or {}
        reasoned = (content or "").strip() or message.get("reasoning_content") or message.get("reasoning")
        if not text and (reasoned or details.get("reasoning_tokens")):
            raise ByheartError(
                f"model {self.name!r} at {self.url} wrote only reasoning and no answer; give it more tokens, "
                "or switch its reasoning off"
            )
        if content is None and "content" not in message:
            raise ByheartError(f"{self.url} returned a message without content; check that model {self.name!r} chats")
        tokens = (choice.get("logprobs") or {}).get("content")
        if tokens is None:
            return Generation(text, None)
        if text != (content or "").strip():
            tokens = _after_thought(tokens)
        return Generation(text, [t["logprob"] for t in tokens])

    def _unscored(self) -> ByheartError:
        return ByheartError(
            f"{self.url} gives no log-probabilities of prompts, so model {self.name!r} can write but not be scored; "
            "serve it with byheart serve or vLLM, or load it here by its hub id"
        )

    def _each(self, work: Callable[[httpx.Client, A], B], items: Sequence[A]) -> list[B]:
        """Apply `work` to every item, several at a time over shared connections, in order."""
        if not items:
            return []
        with self._server.client() as client, ThreadPoolExecutor(min(self.parallel, len(items))) as pool:
            return list(pool.map(lambda item: work(client, item), items))

    def _post(self, client: httpx.Client, path: str, body: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
        """Send a request, and again without an optional field that the server refuses by name."""
        body = {"model": self.name, **body}
        dropped: set[str] = set() if required else self._dropped
        while True:
            sent = {k: v for k, v in body.items() if k not in dropped}
            try:
                reply = self._server.send(client, path, sent)
                usage = reply.get("usage")
                self.usage = self.usage.more(usage if isinstance(usage, dict) else {})
                return reply
            except Refused as refused:
                text = refused.text.lower()
                if "max_completion_tokens" in text and "max_tokens" in sent and path == "/chat/completions":
                    self._length = "max_completion_tokens"
                    body[self._length] = body.pop("max_tokens")
                    continue
                if required and refused.status in (400, 404, 422) and "model" not in refused.code:
                    raise self._unscored() from None
                named = [k for k in OPTIONAL if k in sent and k in text and not (k == "temperature" and sent[k] > 1)]
                if refused.status in (400, 422) and named and not required:
                    self._dropped.update(named)
                    continue
                raise self._explain(client, path, refused) from None

    def _explain(self, client: httpx.Client, path: str, refused: Refused) -> ByheartError:
        """The error that a refusal amounts to."""
        if refused.status in (401, 403):
            had = "the key given" if self._server.keyed else "a request without a key"
            return BadInput(
                f"{self.url} refused {had} ({refused.status}); pass the right one as key=..., or set "
                f"{KEYS[0]} and name the address yourself (model=...)"
            )
        if refused.status < 400:
            return ByheartError(f"{self.url}{path} answered with an error ({refused.text[:200]}); try again later")
        if refused.status == 404 and "model" in (refused.code + refused.text).lower():
            try:
                known = self._offered(client)
            except (ByheartError, Refused):
                known = []
            return Unknown.name("model", self.name, known, f"{self.url}/models")
        if refused.status == 404:
            return BadInput(f"{self.url}{path} is not there (404); check the address, which often ends in /v1")
        return ByheartError(f"{self.url}{path} refused the request ({refused.status}): {refused.text[:200]}; change it")


def answered(text: str) -> str:
    """The answer in a reply of a reasoning model: the text without what stands between think tags.

    A closing tag without an opening tag ends reasoning that began in the prompt. An opening tag without a closing tag
    begins reasoning that was cut off.

    >>> answered("<think>Marta? Ilo?</think> Marta"), answered("Ilo?</think> Marta"), answered("<think>Marta?")
    ('Marta', 'Marta', '')
    """
    text = END_OF_THOUGHT.sub("", THOUGHT.sub("", text))
    return START_OF_THOUGHT.split(text)[0].strip()


def _after_thought(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a reply's tokens those after the last closing think tag."""
    end, start = END_OF_THOUGHT.match("".join(t["token"] for t in tokens)), 0
    for n, token in enumerate(tokens):
        if end is None or start >= end.end():
            return tokens[n:]
        start += len(token["token"])
    return []
