"""Supervised workers that note their process ids in a folder: the first breaks at once, the others stay.

Of two, the first ends as one that is wrongly set, once the second takes requests, which it does
once a file `go` is there.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from guardrail.cli.workers import WRONG, supervise


def work(folder: Path, listening: Callable[[], None]) -> None:
    before = len(list(folder.iterdir()))
    (folder / str(os.getpid())).write_text("")
    if not before:
        raise SystemExit(1)
    time.sleep(60.0)


def work_of_two(folder: Path, listening: Callable[[], None]) -> None:
    first = multiprocessing.current_process().name == "SpawnProcess-1"
    awaited = folder / ("listens" if first else "go")
    (folder / str(os.getpid())).write_text("first" if first else "")
    while not awaited.exists():
        time.sleep(0.001)
    if first:
        os._exit(WRONG)
    listening()
    (folder / "listens").touch()
    time.sleep(60.0)


if __name__ == "__main__":
    two = sys.argv[2:] == ["two"]
    raise SystemExit(supervise(partial(work_of_two if two else work, Path(sys.argv[1])), 2 if two else 1))
