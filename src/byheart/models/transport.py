"""Requests over HTTP to a server that speaks JSON: retries, time-outs, a key, and errors in words."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from byheart.core.errors import BadInput, ByheartError

if TYPE_CHECKING:
    import httpx

KEYS = ("BYHEART_API_KEY", "OPENAI_API_KEY")
LONGEST_WAIT = 60.0
CONNECT = 10.0


def environment_key() -> str:
    """The key in `BYHEART_API_KEY`, else in `OPENAI_API_KEY`; "" where neither is set."""
    return next((os.environ[name] for name in KEYS if os.environ.get(name)), "")


class Transport:
    """Sends requests to an address and reads the JSON that comes back.

    A request is sent again when the server is busy (408, 409, 425, 429, 5xx), cannot be connected to, or breaks the
    connection: after the time that `Retry-After` states, or else after 0.5, 1, 2, ... seconds. No redirect is followed,
    so the key is sent to this address alone.

    Parameters
    ----------
    url: the base address, without a slash at its end.
    key: sent as a bearer token; "" sends none.
    timeout: seconds to wait for a reply; for a connection at most 10.
    retries: how many further times a failed request is sent.
    """

    def __init__(self, url: str, key: str = "", timeout: float = 120.0, *, retries: int = 4) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(url):
            raise BadInput(f"{url!r} is no http address; give one such as http://127.0.0.1:8000/v1")
        self.url = url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
        self.timeout = timeout
        self.retries = retries
        self._key = key.strip()
        if not re.fullmatch(r"[\x21-\x7e]*", self._key):
            raise BadInput("the key has characters that a header cannot carry; give it without line breaks")

    @property
    def keyed(self) -> bool:
        """Whether a key is sent."""
        return bool(self._key)

    def client(self) -> httpx.Client:
        """Connections to this address, for several requests; the caller closes them."""
        import ssl

        import certifi
        import httpx

        verify: Any = True
        if self.url.startswith("https:"):
            verify = ssl.create_default_context()  # the system's certificates, and those of certifi
            verify.load_verify_locations(certifi.where())
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        timeout = httpx.Timeout(self.timeout, connect=min(self.timeout, CONNECT))
        try:
            return httpx.Client(headers=headers, timeout=timeout, verify=verify)
        except (ImportError, ValueError) as error:
            raise BadInput(
                f"the proxy that the environment names cannot be used ({error}); change or unset it"
            ) from None

    def send(self, client: httpx.Client, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """The JSON object that answers a request, after retries; `body` None is a GET.

        Raises `Refused` for an error that a retry does not mend, `ByheartError` for a server that cannot be reached or
        stays busy, `BadInput` for a reply that is no JSON object.
        """
        import httpx

        data = None if body is None else json.dumps(body).encode()
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                reply = client.request("GET" if data is None else "POST", self.url + path, content=data)
            except httpx.TransportError as error:
                if last or not _passing(error):
                    raise ByheartError(
                        f"cannot reach {self.url} ({error or type(error).__name__}); check the address, "
                        "or start one: byheart serve"
                    ) from None
                time.sleep(_pause(None, attempt))
                continue
            except httpx.InvalidURL as error:
                raise BadInput(f"{self.url} is no http address ({error}); check it") from None
            except httpx.HTTPError as error:  # a body that is not what its headers say
                raise ByheartError(f"{self.url}{path} answered wrongly ({error}); check the address") from None
            if 300 <= reply.status_code < 400:
                there = reply.headers.get("Location", "another address")
                raise BadInput(f"{self.url}{path} redirects to {there}; give that address if you trust it")
            content, status = self._read(path, reply)
            if status is None:
                return content
            text, code = error_text(content)
            if not _busy(status):
                raise Refused(status, text, code)
            if last:
                raise ByheartError(f"{self.url} answered {status} {attempt + 1} times ({text[:120]}); try again later")
            time.sleep(_pause(reply.headers.get("Retry-After"), attempt))
        raise AssertionError("unreachable")

    def _read(self, path: str, reply: httpx.Response) -> tuple[Any, int | None]:
        """The content of a reply, and the status of an error: for an error inside a 200 the status that it names."""
        try:
            content = json.loads(reply.content)
        except ValueError:
            if reply.is_success:
                raise BadInput(f"{self.url}{path} did not answer in JSON; check the address") from None
            return reply.text.strip(), reply.status_code
        if not reply.is_success:
            return content, reply.status_code
        if not isinstance(content, dict):
            raise BadInput(f"{self.url}{path} did not answer with a JSON object; check the address")
        error = content.get("error")
        if error and not content.get("choices"):
            code = str(error.get("code")) if isinstance(error, dict) else ""
            return content, int(code) if re.fullmatch("[45][0-9][0-9]", code) else reply.status_code
        return content, None


class Refused(Exception):
    """An error that a retry does not mend: its status (200 where the error stands inside a 200), text and code."""

    def __init__(self, status: int, text: str, code: str) -> None:
        super().__init__(text)
        self.status, self.text, self.code = status, text, code


def _has_port(url: str) -> bool:
    """Whether the port of an address is a number, or left out."""
    with suppress(ValueError):
        return (urlsplit(url).port or 1) > 0
    return False


def _busy(status: int) -> bool:
    """Whether a request of this status may succeed when it is sent again."""
    return status in (408, 409, 425, 429) or (status >= 500 and status != 501)


def _passing(error: BaseException) -> bool:
    """Whether a failed connection may succeed later: not where a host has no address or no valid certificate."""
    import socket
    import ssl

    import httpx

    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror | ssl.SSLCertVerificationError):
            return False
        cause = cause.__cause__ or cause.__context__
    return True


def _pause(after: str | None, attempt: int) -> float:
    """Seconds to wait: what `Retry-After` states (seconds or a date), else doubling from a half.

    >>> _pause("3", 0), _pause(None, 2), _pause("Wed, 21 Oct 2015 07:28:00 GMT", 0)
    (3.0, 2.0, 0.0)
    """
    wait = 0.5 * 2**attempt
    if after:
        with suppress(ValueError):
            wait = float(after) if after.strip().isdigit() else parsedate_to_datetime(after).timestamp() - time.time()
    return min(max(wait, 0.0), LONGEST_WAIT)


def error_text(content: Any) -> tuple[str, str]:
    """The text and the code of an error reply, in whichever of the usual shapes it comes."""
    error = content.get("error", content) if isinstance(content, dict) else content
    if isinstance(error, dict):
        return str(error.get("message") or error.get("detail") or error), str(error.get("code") or "")
    return str(error), ""
