"""SIGKILL at random moments across remember, learn and forget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_nothing_acknowledged_is_lost_and_work_goes_on(tmp_path: Path) -> None:
    """Run apart, so that forking happens in a process that has started no threads."""
    code = (
        "import sys, json, pathlib, torch; torch.set_num_threads(1);"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "import transformers, engram.memory, engram.train.loop, engram.models.lm, kill;"
        f"print(json.dumps(kill.rounds(pathlib.Path({str(tmp_path)!r}), 25, seed=1)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    import json

    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kills"] == 25
    assert result["wrong"] == []
