"""The folder: its layout, its format, its lock."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from byheart.core.errors import BadInput, Busy, Newer
from byheart.store.folder import Folder
from byheart.store.schema import FORMAT
from byheart.store.sqlite import Store


def test_opening_creates_the_layout_and_opening_again_keeps_it(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path / "a" / "brain") as store:
            assert store.count() == 0
    names = {p.name for p in (tmp_path / "a" / "brain").iterdir()}
    assert names == {"memory.db", "weights", "work", "exports"}


def test_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    Store(tmp_path).close()
    link = sqlite3.connect(tmp_path / "memory.db")
    link.execute(f"PRAGMA user_version={FORMAT + 1}")
    link.close()
    with pytest.raises(Newer, match=rf"has format {FORMAT + 1}, this engram reads up to {FORMAT}; update it: pip"):
        Store(tmp_path)


@pytest.mark.parametrize("content", [b"# a note\n" * 100, b"SQLite format 3\0" + b"x" * 5000])
def test_a_database_that_is_not_one_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "memory.db").write_bytes(content)
    with pytest.raises(BadInput, match=r"memory\.db"):
        Store(tmp_path)
    assert (tmp_path / "memory.db").read_bytes() == content
    assert not (tmp_path / "weights").exists()


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    link = sqlite3.connect(tmp_path / "memory.db")
    link.execute("CREATE TABLE theirs (x)")
    link.commit()
    link.close()
    before = (tmp_path / "memory.db").read_bytes()
    with pytest.raises(BadInput, match="another program's database"):
        Store(tmp_path)
    assert (tmp_path / "memory.db").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["memory.db"]


def test_a_file_or_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text("hello")
    with pytest.raises(BadInput, match="is a file, but a memory is a folder"):
        Store(file)
    with pytest.raises(BadInput, match="a part of the path is a file"):
        Store(file / "brain")


def test_an_empty_database_file_left_by_a_kill_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"")
    with Store(tmp_path) as store:
        assert store.check() == []


def test_the_lock_names_its_holder_and_goes_when_the_holder_dies(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    code = (
        "import sys, time; from byheart.store.folder import Folder\n"
        "with Folder(sys.argv[1]).lock('learn'):\n    print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(Busy, match=rf"held by process {child.pid} \(learn\).*forget again"), folder.lock("forget"):
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    with folder.lock("forget"):
        assert folder.holder() == (os.getpid(), "forget")
    assert folder.holder() is None


def test_the_lock_excludes_within_one_process_and_does_not_stop_adding(tmp_path: Path, make) -> None:
    with Store(tmp_path) as store, store.folder.lock("learn"):
        with pytest.raises(Busy, match=str(os.getpid())), store.folder.lock("revert"):
            pass
        assert store.add([make("a")])[0].id == "a"


def test_importing_the_store_loads_no_torch() -> None:
    code = "import sys, byheart.store.sqlite, byheart.store.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
