"""SIGKILL at random moments across remember, learn and forget."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_nothing_acknowledged_is_lost_and_work_goes_on() -> None:
    """In a process of its own: forking is safe only where no threads were started."""
    command = [sys.executable, str(Path(__file__).parent / "kill.py"), "--kills", "25", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kills"] == 25
    assert result["wrong"] == []
