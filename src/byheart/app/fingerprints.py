"""What every study is today, for `make docs`: `python -m byheart.app.fingerprints [SLUG ...]` runs smoke sizes."""

from __future__ import annotations

import sys

from byheart.core import results
from byheart.study.base import study
from byheart.study.base.record import write_today


def main(slugs: list[str]) -> int:
    """Bring `docs/results/today` up to date, for these papers or for all; returns the exit code."""
    folder = results.folder()
    every = study.slugs()
    for slug in slugs or every:
        path = folder / "today" / f"{slug}.json"
        before = path.read_bytes() if path.exists() else b""
        write_today(slug, folder)
        if path.read_bytes() != before:
            print(f"wrote {path}", flush=True)
    for path in (folder / "today").glob("*.json"):
        if path.stem not in every:
            path.unlink()
            print(f"deleted {path}, which has no study")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
