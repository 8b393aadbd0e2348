"""Four processes in one folder for a few seconds; `crowd.py` by hand has eight for a minute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_processes_that_read_and_write_at_once_lose_and_tear_nothing() -> None:
    """In a process of its own: forking is safe only where no threads were started."""
    command = [sys.executable, str(Path(__file__).parent / "crowd.py"), "--small"]
    done = subprocess.run([*command, "--seconds", "3", "--processes", "4"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["wrong"] == []
    assert report["added"] > 100
    assert report["searches"] > 20
    assert report["files"] > 0
