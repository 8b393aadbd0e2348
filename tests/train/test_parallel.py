"""Several processes train to what one process trains to, under strategies that must agree among them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("parallel.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    home = tmp_path_factory.mktemp("parallel")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    out = []
    for n in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        several = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(n), "--num_machines", "1",
                   "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(port)]  # fmt: skip
        launch = several if n > 1 else []
        path = home / f"{n}.json"
        ran = subprocess.run(
            [sys.executable, *launch, str(SCRIPT), str(path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        out.append(json.loads(path.read_text()))
    return out[0], out[1]


def test_the_second_run_is_of_two_processes(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert [r["processes"] for r in runs] == [1, 2]


@pytest.mark.parametrize("name", ["replay", "ewc", "a-gem", "kl", "view-batch"])
def test_two_processes_reach_the_weights_of_one(runs: tuple[dict[str, Any], dict[str, Any]], name: str) -> None:
    one, two = (r["arms"][name] for r in runs)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert two["some"] == pytest.approx(one["some"], abs=1e-5)
    assert two["norm"] == pytest.approx(one["norm"], rel=1e-5)
    assert one["losses"][4] < one["losses"][0]
