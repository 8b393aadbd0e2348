"""Streams of intents: read from the publishers' files, or invented."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from byheart.core.errors import BadInput
from byheart.models.embedder import HashEmbedder
from byheart.world.stream.intents import Intent, invented, read, stream


def test_clinc_and_banking_files_are_read(tmp_path: Path) -> None:
    rows = {"train": [["move my money", "transfer"], ["hi", "hello"], ["hey", "hello"]], "test": [["hullo", "hello"]]}
    (tmp_path / "data_full.json").write_text(json.dumps({**rows, "oos_train": [["what", "oos"]]}))
    assert read(tmp_path) == [Intent("hello", ("hi", "hey"), ("hullo",)), Intent("transfer", ("move my money",), ())]
    other = tmp_path / "banking"
    other.mkdir()
    (other / "train.csv").write_text('text,category\n"late, again",card\nno pin,pin\n')
    (other / "test.csv").write_text("text,category\nlost it,card\n")
    assert read(other) == [Intent("card", ("late, again",), ("lost it",)), Intent("pin", ("no pin",), ())]
    with pytest.raises(BadInput, match="give CLINC150 or Banking77"):
        read(tmp_path / "nothing")


def test_a_stream_brings_every_class_once_and_numbers_it_by_its_turn() -> None:
    made = stream(invented(seed=3), HashEmbedder(64).encode, tasks=5, train=4, test=2, seed=1)
    assert [sorted({e["labels"] for e in t.train}) for t in made] == [[2 * n, 2 * n + 1] for n in range(5)]
    assert all(len(t.train) == 8 and len(t.test) == 4 for t in made)
    again = stream(invented(seed=3), HashEmbedder(64).encode, tasks=5, train=4, test=2, seed=1)
    assert torch.equal(made[4].test[3]["x"], again[4].test[3]["x"])
    assert float(made[0].train[0]["x"].square().mean()) == pytest.approx(1.0, abs=1e-5)


def test_vectors_stay_with_their_sentences() -> None:
    intents = [Intent(str(n), (f"a{n}", f"b{n}"), (f"c{n}",)) for n in range(4)]
    embedded: list[str] = []

    def encode(texts: object) -> np.ndarray:
        embedded.extend(texts)  # type: ignore[call-overload]
        return np.array([[float(t[1]), float(ord(t[0]))] for t in embedded], dtype=np.float32)

    for n, task in enumerate(stream(intents, encode, tasks=2, seed=0)):
        for part, letters in ((task.train, "ab"), (task.test, "c")):
            for e in part:
                number, letter = (e["x"] / 2**0.5).tolist()
                assert chr(round(letter)) in letters
                order = list(dict.fromkeys(t[1] for t in embedded))
                assert order[e["labels"]] == str(round(number))
                assert e["labels"] // 2 == n


def test_classes_that_make_no_equal_tasks_are_refused() -> None:
    with pytest.raises(BadInput, match="9 of 10 intents do not make 5"):
        stream(invented(), HashEmbedder().encode, tasks=5, classes=9)
