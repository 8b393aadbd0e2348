"""Weights: bit for bit, checked on reading, content-addressed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from byheart.core.errors import BadInput, Damaged
from byheart.core.records import Version
from byheart.store.sqlite import Store
from byheart.store.weights import Weights


def tensors() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    patterns = torch.randint(-(2**15), 2**15, (4096,), generator=g).to(torch.int16)
    return {
        "bf16": patterns.view(torch.bfloat16),
        "f16": torch.randn(3, 5, generator=g).half(),
        "f32": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
        "transposed": torch.randn(4, 6, generator=g).T,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 7),
        "int": torch.arange(5),
        "bool": torch.tensor([True, False]),
        "grad": torch.nn.Parameter(torch.ones(2)),
    }


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_every_type_and_shape_round_trips_bit_for_bit(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    given = tensors()
    back = weights.get(weights.put(given))
    assert back.keys() == given.keys()
    for name, tensor in given.items():
        assert back[name].dtype == tensor.dtype, name
        assert back[name].shape == tensor.shape, name
        assert bits(back[name]) == bits(tensor), name


def test_names_come_from_type_shape_and_bytes_alone(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    first = weights.put({"a": torch.zeros(4), "b": torch.zeros(4)})
    assert first["a"] == first["b"]
    assert len(list(tmp_path.iterdir())) == 1
    two = weights.put({"a": torch.zeros(2, 2), "b": torch.zeros(4, dtype=torch.int32), "c": torch.zeros(4)})
    assert two["c"] == first["a"]
    assert len({two["a"], two["b"], two["c"]}) == 3


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    manifest = weights.put({"a": torch.arange(9.0)})
    path = tmp_path / f"{manifest['a']}.safetensors"
    before = path.stat()
    weights.put({"z": torch.arange(9.0)})
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("place", [3, 40, -1])
def test_an_altered_tensor_is_damaged(tmp_path: Path, place: int) -> None:
    weights = Weights(tmp_path)
    manifest = weights.put({"a": torch.arange(9.0)})
    path = tmp_path / f"{manifest['a']}.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=r"tensor a: .* does not match its hash"):
        weights.get(manifest)
    path.write_bytes(b"")
    with pytest.raises(Damaged, match="tensor a"):
        weights.get(manifest)
    path.unlink()
    with pytest.raises(Damaged, match="cannot be read"):
        weights.get(manifest)


def test_blobs_round_trip_and_are_checked(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(range(256)) * 100}
    key = weights.put_blob(files)
    assert weights.put_blob(dict(reversed(files.items()))) == key
    assert weights.get_blob(key) == files
    assert (weights.blob_path(key) / "adapter_config.json").read_bytes() == b"{}"
    assert weights.put_blob({"adapter_config.json": b"{", "x": b"}"}) != weights.put_blob(
        {"adapter_config.json": b"{}"}
    )
    (weights.blob_path(key) / "extra").write_bytes(b"x")
    with pytest.raises(Damaged, match="does not match"):
        weights.get_blob(key)
    with pytest.raises(Damaged, match="cannot be read"):
        weights.get_blob("0" * 64)
    for name in ("../x", "a/b", "..", ""):
        with pytest.raises(BadInput, match="plain file name"):
            weights.put_blob({name: b""})
    with pytest.raises(BadInput, match="without files"):
        weights.put_blob({})


def test_collect_keeps_what_is_named_and_what_is_not_ours(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    manifest = weights.put({"a": torch.zeros(1), "b": torch.ones(1)})
    blob, other = weights.put_blob({"x": b"1"}), weights.put_blob({"x": b"2"})
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".new-left").mkdir()
    (tmp_path / ".new-left" / "half").write_bytes(b"x")
    assert sorted(weights.collect({manifest["a"], blob})) == sorted([manifest["b"], other])
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"notes.txt", blob, f"{manifest['a']}.safetensors"}
    assert Weights(tmp_path / "none").collect(set()) == []


def test_check_reads_the_weights_of_every_version(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        weights = Weights(store.folder.weights)
        manifest = weights.put({"a": torch.zeros(3)})
        blob = weights.put_blob({"x": b"1"})
        store.put_version(Version(id="v1", created="now", weights=manifest, adapter=blob))
        assert store.check() == []
        (store.folder.weights / blob / "x").write_bytes(b"2")
        (store.folder.weights / f"{manifest['a']}.safetensors").unlink()
        faults = store.check()
        assert len(faults) == 2
        assert faults[0].startswith("version v1, tensor a: ")
        assert faults[1].startswith("version v1, adapter: ")
