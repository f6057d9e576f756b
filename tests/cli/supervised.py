"""Supervised workers that note their process ids in a folder: the first breaks at once, the others stay."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from guardrail.cli.workers import supervise


def work(folder: Path, listening: Callable[[], None]) -> None:
    before = len(list(folder.iterdir()))
    (folder / str(os.getpid())).write_text("")
    if not before:
        raise SystemExit(1)
    time.sleep(60.0)


if __name__ == "__main__":
    raise SystemExit(supervise(partial(work, Path(sys.argv[1])), 1))
