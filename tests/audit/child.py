"""Run by the recovery tests in a process of its own, so that it can be killed or starved of disk.

python child.py URL kill STEP TIMES   append groups; die by SIGKILL when STEP is reached for the TIMES-th time
python child.py URL steps             append groups; print every step that was reached
python child.py URL fill MARK COUNT   append COUNT entries one by one
python child.py URL full              append until the disk is full, then give space back and go on
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from guardrail.audit import AuditLog, Entry
from guardrail.audit.log import SPOT_ROWS
from guardrail.errors import AuditError

KEY = bytes(range(32))


def entry(name: str) -> Entry:
    return Entry("decision", name, 1_700_000_000.0, "default", "allow", {"filler": "x" * 1500})


def say(*words: object) -> None:
    # One write a line: what was said before the kill is there, whole.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def groups(log: AuditLog, mark: str) -> None:
    async def one(name: str) -> None:
        sealed = await log.append(entry(name))
        say("ack", name, sealed.seq, sealed.digest)

    # Groups that the event loop writes itself, and groups that its thread writes.
    for n in range(4):
        await asyncio.gather(*(one(f"{mark}-{n}-{k}") for k in range(5 + (n % 2) * SPOT_ROWS)))
        await asyncio.sleep(0.03)


def kill(url: str, step: str, times: str) -> None:
    seen: Counter[str] = Counter()

    def hook(name: str) -> None:
        seen[name] += 1
        if name == step and seen[name] == int(times):
            os.kill(os.getpid(), signal.SIGKILL)

    with AuditLog.open(url, KEY, window_s=0.01, step=hook) as log:
        asyncio.run(groups(log, f"{step.replace(' ', '_')}{os.getpid()}"))


def steps(url: str) -> None:
    seen: list[str] = []
    with AuditLog.open(url, KEY, window_s=0.01, step=seen.append) as log:
        asyncio.run(groups(log, "steps"))
    for name in dict.fromkeys(seen):
        say("step", name)


def fill(url: str, mark: str, count: str) -> None:
    with AuditLog.open(url, KEY) as log:
        for n in range(int(count)):
            log.append_wait(entry(f"{mark}-{n}"))


def full(url: str) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    with AuditLog.open(url, KEY) as log:
        log.append_wait(entry("first"))
        largest = max(file.stat().st_size, Path(f"{file}-wal").stat().st_size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 200_000, resource.RLIM_INFINITY))
        written = failed = 0
        while failed < 5 and written < 10_000:
            try:
                log.append_wait(entry(f"more-{written}"))
                written += 1
                failed = 0  # SQLite may have made room by a checkpoint
            except AuditError as error:
                failed += 1
                message = str(error)
        say("written", written)
        say("failed", failed, message)
        say("writable", log.writable())
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        deadline = time.monotonic() + 10
        while not log.writable() and time.monotonic() < deadline:
            time.sleep(0.01)
        say("again", log.append_wait(entry("again")).seq)


if __name__ == "__main__":
    {"kill": kill, "steps": steps, "fill": fill, "full": full}[sys.argv[2]](sys.argv[1], *sys.argv[3:])
