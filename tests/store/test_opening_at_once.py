"""A new folder that several processes open at once."""

from __future__ import annotations

import os
from pathlib import Path

from byheart.core.records import Engram
from byheart.store.sqlite import Store


def test_many_processes_may_make_one_folder(tmp_path: Path) -> None:
    for turn in range(12):
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        start, go = os.pipe()
        children = []
        for n in range(6):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    os.close(go)
                    os.read(start, 1)
                    with Store(folder) as store:
                        store.add([Engram(id=f"e{n}", text=f"note {n}", created="")])
                    code = 0
                finally:
                    os._exit(code)
            children.append(pid)
        os.close(start)
        os.close(go)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 6
        with Store(folder) as store:
            assert store.count() == 6
            assert store.check() == []
