"""A process that changes a bank and puts it on record, and dies at a step of it.

python changing.py FOLDER STEP TIMES    kill it at the STEP, the TIMES-th time that it comes; print every step reached
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from guardrail.audit import AuditLog, Changes
from guardrail.audit.changes import SUBJECTS
from guardrail.checks.bank import Bank, Entry
from tests.audit.support import KEY, OTHER_KEY

# More than one event holds: dying between two parts of one change is a step of its own.
HASHES = [f"{number:064x}" for number in range(SUBJECTS + 1)]


def main(folder: Path, last: str, times: int) -> None:
    reached = Counter[str]()

    def step(name: str) -> None:
        reached[name] += 1
        print("step", name, flush=True)
        if (name, reached[name]) == (last, times):
            os.kill(os.getpid(), signal.SIGKILL)

    bank = Bank(folder)
    with AuditLog.open(f"sqlite:///{folder}/audit.db", KEY, window_s=0) as log:
        with Changes(log, OTHER_KEY, by="anna", step=step).change("bank-add", about=HASHES) as change:
            bank.add([Entry(sha256=digits) for digits in HASHES], now=datetime.now(UTC))
            step("changed")
            change.moved(bank.file.moved)
        print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
