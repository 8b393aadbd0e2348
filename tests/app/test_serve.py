"""The server and the endpoint against each other, over real HTTP on the loopback."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from byheart.core.errors import BadInput, ByheartError, Unknown
from byheart.models.endpoint import Endpoint

uvicorn = pytest.importorskip("uvicorn")
CHAT = [{"role": "user", "content": "Who keeps the lamp?"}]


def serve(app) -> Iterator[str]:
    """Run an app on a port of its own, in a thread."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))  # handed over open, so that nobody takes the port in between
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture(scope="module")
def tiny():
    from byheart.models import load

    return load("tiny")


@pytest.fixture(scope="module")
def url(tiny) -> Iterator[str]:
    from byheart.app.serve import build
    from byheart.models import load_embedder

    yield from serve(build(tiny, load_embedder("hash")))


def post(url: str, path: str, **body) -> dict:
    request = Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as reply:
        return json.loads(reply.read())


def refusal(url: str, path: str, **body) -> tuple[int, dict]:
    with pytest.raises(HTTPError) as caught:
        post(url, path, **body)
    with caught.value as error:
        return error.code, json.loads(error.read())["error"]


def test_greedy_chat_is_the_same_as_local(tiny, url) -> None:
    prompts = [CHAT, [{"role": "user", "content": "And the boat?"}], "The lamp is"]
    far = Endpoint(url, "tiny").generate(prompts, max_tokens=12)
    near = tiny.generate(prompts, max_tokens=12, batch=1)
    for f, n in zip(far, near, strict=True):
        assert f[0].text == n[0].text
        assert f[0].logprobs == pytest.approx(n[0].logprobs, abs=1e-4)


def test_copies_are_sampled_and_repeatable(url) -> None:
    endpoint = Endpoint(url, "tiny")
    first, again = (endpoint.generate([CHAT], max_tokens=8, temperature=1.0, copies=5, seed=3) for _ in range(2))
    assert first == again
    assert len({g.text for g in first[0]}) > 1
    assert endpoint.generate([CHAT], max_tokens=8, temperature=1.0, copies=5, seed=4) != first


def test_scores_are_the_same_as_local(tiny, url) -> None:
    pairs = [(CHAT, "Marta ☂ Kask"), ("The lamp is kept by", " Marta"), ("naïve ", "☂☂")]
    far, near = Endpoint(url, "tiny").score(pairs), tiny.score(pairs)
    for f, n in zip(far, near, strict=True):
        assert f == pytest.approx(n, abs=1e-4)
    assert len(far[0]) == len("Marta ☂ Kask".encode())


def test_protocol_of_completions(url) -> None:
    reply = post(
        url, "/completions", model="tiny", prompt="abc", max_tokens=4, n=2, temperature=0, logprobs=0, echo=True
    )
    assert reply["object"] == "text_completion"
    assert reply["usage"]["prompt_tokens"] == 3
    assert [c["index"] for c in reply["choices"]] == [0, 1]
    found = reply["choices"][0]
    assert found["text"].startswith("abc")
    assert found["logprobs"]["token_logprobs"][0] is None
    assert found["logprobs"]["text_offset"][:4] == [0, 1, 2, 3]


def test_stop_text_cuts_text_and_tokens(url) -> None:
    body = {"model": "tiny", "messages": CHAT, "max_tokens": 20, "temperature": 0, "logprobs": True}
    whole = post(url, "/chat/completions", **body)["choices"][0]
    text = whole["message"]["content"]
    stop = text[5:7]
    cut = post(url, "/chat/completions", **body, stop=[stop])["choices"][0]
    assert cut["message"]["content"] == text[: text.index(stop)]
    assert cut["finish_reason"] == "stop"
    assert len(cut["logprobs"]["content"]) < len(whole["logprobs"]["content"])
    assert whole["finish_reason"] == "length"


def test_models_and_embeddings(url) -> None:
    assert Endpoint(url, "tiny").models() == ["tiny", "hash"]
    plain = post(url, "/embeddings", model="hash", input=["a red boat", "income tax"])
    coded = post(url, "/embeddings", model="hash", input="a red boat", encoding_format="base64")
    vector = np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4")
    assert vector == pytest.approx(np.array(plain["data"][0]["embedding"]), abs=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/chat/completions", {"model": "gpt", "messages": CHAT}, 404, "model_not_found"),
        ("/chat/completions", {"model": "tiny", "messages": []}, 400, "invalid_request"),
        ("/chat/completions", {"model": "tiny", "messages": CHAT, "temperature": 9}, 400, "invalid_request"),
        ("/chat/completions", {"model": "tiny", "messages": CHAT, "stream": True}, 400, "unsupported_value"),
        ("/chat/completions", {"model": "tiny", "messages": CHAT, "top_logprobs": 3}, 400, "unsupported_value"),
        ("/completions", {"model": "tiny", "prompt": "a", "max_tokens": 9999}, 400, "context_length_exceeded"),
        ("/embeddings", {"model": "tiny", "input": "a"}, 404, "model_not_found"),
    ],
)
def test_refusals_have_the_protocols_shape(url, path, body, status, code) -> None:
    got, error = refusal(url, path, **body)
    assert (got, error["code"]) == (status, code)
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_a_key_is_asked_for(tiny) -> None:
    from byheart.app.serve import build

    for url in serve(build(tiny, key="secret")):
        assert Endpoint(url, "tiny", key="secret").models() == ["tiny"]
        with pytest.raises(BadInput, match=r"refused a request without a key \(401\).*key="):
            Endpoint(url, "tiny").generate([CHAT], max_tokens=2)
        with pytest.raises(BadInput, match="refused the key given"):
            Endpoint(url, "tiny", key="guess").generate([CHAT], max_tokens=2)


def test_errors_name_the_next_step(url) -> None:
    with pytest.raises(Unknown, match=r"no model 'tinny'; did you mean 'tiny'\?"):
        Endpoint(url, "tinny").generate([CHAT], max_tokens=2)
    with pytest.raises(BadInput, match="often ends in /v1"):
        Endpoint(url + "/nowhere", "tiny").generate([CHAT], max_tokens=2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ByheartError, match=r"cannot reach .*byheart serve"):
            Endpoint(dead, "tiny", retries=1).generate([CHAT], max_tokens=2)
    with pytest.raises(BadInput, match="is no http address"):
        Endpoint("localhost:8000", "tiny")


class Moody(BaseHTTPRequestHandler):
    """A server that answers from a script: (status, headers, body) per request; keeps what was asked."""

    script: list[tuple[int, dict, dict]]
    asked: list[dict]

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, headers, body = self.script.pop(0)
        data = json.dumps(body).encode()
        self.send_response(status)
        for k, v in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def moody() -> Iterator[tuple[str, type[Moody]]]:
    handler = type("Script", (Moody,), {"script": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


GOOD = {"choices": [{"message": {"content": " hello "}}]}


def test_busy_servers_are_asked_again_when_they_say(moody) -> None:
    url, handler = moody
    handler.script = [(429, {"Retry-After": "1"}, {}), (503, {"Retry-After": "0"}, {}), (200, {}, GOOD)]
    started = time.monotonic()
    assert Endpoint(url, "m").generate([CHAT])[0][0].text == "hello"
    assert 1.0 <= time.monotonic() - started < 3.0
    assert len(handler.asked) == 3


def test_a_server_that_stays_busy_is_an_error(moody) -> None:
    url, handler = moody
    handler.script = [(429, {"Retry-After": "0"}, {"error": {"message": "slow down"}})] * 3
    with pytest.raises(ByheartError, match=r"answered 429 3 times \(slow down\); try again later"):
        Endpoint(url, "m", retries=2).generate([CHAT])


def test_fields_that_a_server_refuses_are_left_out(moody) -> None:
    url, handler = moody
    handler.script = [
        (400, {}, {"error": {"message": "Use 'max_completion_tokens' instead of max_tokens."}}),
        (400, {}, {"error": {"message": "Unsupported parameter: logprobs"}}),
        (200, {}, GOOD),
        (200, {}, GOOD),
    ]
    endpoint = Endpoint(url, "m")
    assert endpoint.generate([CHAT], copies=2)[0][1].logprobs is None
    assert "logprobs" not in handler.asked[-1]
    assert handler.asked[-1]["max_completion_tokens"] == 64
    assert [a["n"] for a in handler.asked[-2:]] == [2, 1]


def test_scoring_a_service_that_does_not_show_prompts(moody) -> None:
    url, handler = moody
    handler.script = [(200, {}, {**GOOD, "usage": {"prompt_tokens": 4}}), (200, {}, GOOD)]
    with pytest.raises(ByheartError, match=r"no log-probabilities of prompts.*byheart serve"):
        Endpoint(url, "m").score([(CHAT, "x")])
    handler.script = [(400, {}, {"error": {"message": "echo is not supported"}})]
    with pytest.raises(ByheartError, match="no log-probabilities of prompts"):
        Endpoint(url, "m").score([("a", "b")])


@pytest.mark.real
def test_smollm2_answers_over_http() -> None:
    from byheart.app.serve import build
    from byheart.models import load

    lm = load("smollm2-135m")
    question = [{"role": "user", "content": "What is the capital of France?"}]
    for url in serve(build(lm)):
        endpoint = Endpoint(url, "smollm2-135m")
        answer = endpoint.generate([question], max_tokens=16)[0][0]
        assert "Paris" in answer.text
        assert answer.text == lm.generate([question], max_tokens=16)[0][0].text
        near = lm.score([(question, "Paris")])[0]
        assert endpoint.score([(question, "Paris")])[0] == pytest.approx(near, abs=0.05)
