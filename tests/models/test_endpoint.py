"""Replies, refusals, retries and keys of endpoints, over real HTTP on the loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from byheart.core.errors import BadInput, ByheartError
from byheart.memory import Memory
from byheart.models.endpoint import Endpoint, answered
from byheart.models.transport import KEYS

CHAT = [{"role": "user", "content": "Who signs off travel?"}]


class Handler(BaseHTTPRequestHandler):
    """Answers each request by a function of its body and headers, and records both."""

    reply: Callable[[dict[str, Any], Any], tuple[int, Any]]
    bodies: list[dict[str, Any]]
    keys: list[str | None]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        self.keys.append(self.headers.get("Authorization"))
        status, content = type(self).reply(body, self.headers)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", data.decode())
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server:
    """A server on the loopback."""

    def __init__(self, port: int = 0) -> None:
        self.handler = type("Handler", (Handler,), {"bodies": [], "keys": []})
        self.http = ThreadingHTTPServer(("127.0.0.1", port), self.handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def answers(self, *replies: Any) -> None:
        """Give these replies in turn, the last for ever; a pair is a status and a content."""
        left = list(replies)

        def reply(body: dict[str, Any], headers: Any) -> tuple[int, Any]:
            now = left.pop(0) if len(left) > 1 else left[0]
            return now if isinstance(now, tuple) else (200, now)

        self.handler.reply = staticmethod(reply)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    opened = Server()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content}, **more}]}


def ask(server: Server, **settings: Any) -> str:
    return Endpoint(server.url, "m", **settings).generate([CHAT])[0][0].text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<think>\nMaybe Ilo.\n</think>\n\nMarta Kask", "Marta Kask"),
        ("<think>\n\n</think>\n\nMarta Kask", "Marta Kask"),
        ("<thinking>Ilo?</thinking>Marta Kask", "Marta Kask"),
        ("Maybe Ilo.\n</think>\n\nMarta Kask", "Marta Kask"),
        ("<think>a</think><think>b</think> Marta Kask", "Marta Kask"),
        ("Marta Kask <think>sure?", "Marta Kask"),
        ("Think of Marta Kask", "Think of Marta Kask"),
        ("a < b", "a < b"),
    ],
)
def test_what_stands_between_think_tags_is_no_answer(server: Server, content: str, text: str) -> None:
    server.answers(chat(content))
    assert ask(server) == answered(content) == text


def test_log_probabilities_are_those_of_the_answer(server: Server) -> None:
    tokens = [("<think>", -1.0), ("Il", -2.0), ("o?</th", -3.0), ("ink>", -4.0), (" Marta", -0.5), (" Kask", -0.25)]
    logprobs = {"content": [{"token": t, "logprob": p} for t, p in tokens]}
    server.answers(chat("".join(t for t, _ in tokens), logprobs=logprobs))
    (made,) = Endpoint(server.url, "m").generate([CHAT])[0]
    assert (made.text, made.logprobs) == ("Marta Kask", [-0.5, -0.25])
    server.answers(chat(" Marta", logprobs={"content": logprobs["content"][4:5]}))
    assert Endpoint(server.url, "m").generate([CHAT])[0][0].logprobs == [-0.5]


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [{"message": {"role": "assistant", "reasoning_content": "hm"}}]},
        {"choices": [{"message": {"content": None, "reasoning": "hm"}}]},
        chat("<think>Maybe Marta or"),
        {**chat(""), "usage": {"completion_tokens_details": {"reasoning_tokens": 48}}},
    ],
)
def test_reasoning_without_an_answer_is_an_error(server: Server, reply: dict[str, Any]) -> None:
    server.answers(reply)
    with pytest.raises(ByheartError, match=r"model 'm' .* wrote only reasoning and no answer; give it more tokens"):
        ask(server)


def test_an_empty_answer_is_an_answer(server: Server) -> None:
    for content in ("", None):
        server.answers(chat(content))
        assert ask(server) == ""


def test_content_in_parts_is_joined(server: Server) -> None:
    server.answers(
        chat([{"type": "thinking", "text": "hm"}, {"type": "text", "text": "Mar"}, {"type": "text", "text": "ta"}])
    )
    assert ask(server) == "Marta"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"error": {"message": "overloaded", "code": 502}}, r"answered 502 2 times \(overloaded\); try again later"),
        ({"error": {"message": "no credit", "code": "broke"}}, r"answered with an error \(no credit\)"),
        ({"error": "out of order"}, r"answered with an error \(out of order\)"),
        ({"choices": [{"error": {"message": "cut"}, "message": None}]}, r"failed while it answered \(cut\)"),
        ({}, "no choices for model 'm'"),
        ({"choices": [{}]}, "a choice without a message"),
        ({"choices": [{"message": {"role": "assistant"}}]}, "a message without content"),
        (b"<html>Sign in</html>", "did not answer in JSON; check the address"),
        (b"\xff\xfe", "did not answer in JSON"),
        ([1], "did not answer with a JSON object"),
        ((503, b"\xffbusy"), "answered 503 2 times"),
        ((501, {}), r"refused the request \(501\)"),
    ],
)
def test_replies_of_another_shape_are_errors_in_words(server: Server, reply: Any, message: str) -> None:
    server.answers(reply)
    with pytest.raises(ByheartError, match=message):
        ask(server, retries=1)


def test_an_error_inside_a_200_is_tried_again(server: Server) -> None:
    server.answers({"error": {"message": "overloaded", "code": 502}}, chat("Marta"))
    assert ask(server) == "Marta"
    assert len(server.handler.bodies) == 2


def test_a_refused_temperature_is_left_out_from_then_on(server: Server) -> None:
    refusal = {"error": {"message": "'temperature' does not support 0.0 with this model.", "param": "temperature"}}
    server.answers((400, refusal), chat("Marta"))
    endpoint = Endpoint(server.url, "m")
    assert [endpoint.generate([CHAT])[0][0].text for _ in range(2)] == ["Marta", "Marta"]
    assert ["temperature" in body for body in server.handler.bodies] == [True, False, False]


def test_a_temperature_out_of_range_is_not_left_out(server: Server) -> None:
    server.answers((400, {"error": {"message": "temperature must be at most 2"}}))
    with pytest.raises(ByheartError, match="temperature must be at most 2"):
        Endpoint(server.url, "m").generate([CHAT], temperature=9.0)


def test_a_server_that_starts_late_is_reached() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    opened: list[Server] = []

    def start() -> None:
        time.sleep(0.3)
        opened.append(Server(port))
        opened[0].answers(chat("Marta"))

    thread = threading.Thread(target=start)
    thread.start()
    try:
        assert Endpoint(f"http://127.0.0.1:{port}", "m").generate([CHAT])[0][0].text == "Marta"
    finally:
        thread.join()
        opened[0].close()


def test_a_host_without_an_address_is_not_tried_again() -> None:
    started = time.monotonic()
    with pytest.raises(ByheartError, match="cannot reach"):
        Endpoint("http://no-such-host.invalid/v1", "m", retries=9).generate([CHAT])
    assert time.monotonic() - started < 20


def test_a_reply_that_never_comes_ends_at_the_time_out(server: Server) -> None:
    def late(body: dict[str, Any], headers: Any) -> tuple[int, Any]:
        time.sleep(1.0)
        return 200, chat("Marta")

    server.handler.reply = staticmethod(late)
    with pytest.raises(ByheartError, match="cannot reach"):
        ask(server, timeout=0.2, retries=0)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="is no http address"):
        Endpoint(url, "m")


# keys
def test_a_key_comes_from_the_call_or_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers(chat("Marta"))
    ask(server)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-open\n")
    ask(server)
    monkeypatch.setenv("BYHEART_API_KEY", "sk-own")
    ask(server)
    ask(server, key="sk-call")
    ask(server, key="")
    assert server.handler.keys == [None, "Bearer sk-open", "Bearer sk-own", "Bearer sk-call", None]


def test_a_key_is_not_sent_where_a_redirect_points(server: Server) -> None:
    other = Server()
    other.answers(chat("Marta"))
    for status in (301, 302, 307, 308):
        server.answers((status, other.url.encode()))
        with pytest.raises(BadInput, match=f"redirects to {other.url}"):
            ask(server, key="sk-secret")
    other.close()
    assert other.handler.keys == []


def test_a_key_is_neither_printed_nor_public(server: Server) -> None:
    server.answers((401, {"error": {"message": "no"}}))
    with pytest.raises(BadInput) as refused:
        ask(server, key="sk-secret")
    with pytest.raises(BadInput, match="characters that a header cannot carry") as unfit:
        Endpoint(server.url, "m", key="sk-\nsecret")
    for text in (str(refused.value), str(unfit.value), repr(vars(Endpoint(server.url, "m", key="sk-secret")))):
        assert "secret" not in text


def test_a_memory_sends_the_key_to_the_address_of_the_call_and_not_of_the_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYHEART_API_KEY", "sk-secret")
    server.answers(chat("Marta"))
    address = f"{server.url}#m"
    for model in (address, None, address):
        with Memory.open(tmp_path / "brain", model=model, embedder="hash") as memory:
            assert memory.ask("Who signs off travel?", form="weights").text == "Marta"
    assert server.handler.keys == ["Bearer sk-secret", None, "Bearer sk-secret"]
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"sk-secret" in p.read_bytes()]


def test_a_refused_request_without_a_key_says_how_to_give_one(server: Server) -> None:
    server.answers((401, {"error": {"message": "no key"}}))
    with pytest.raises(BadInput, match=r"refused a request without a key \(401\); .* set BYHEART_API_KEY and name"):
        ask(server)
