"""What a record costs: CPU time of this process per record, and how long an appender waits for its commit.

python serving/load/audit_cost.py [--url sqlite:///FILE] [--records 20000] [--appenders 1,64]

CPU time includes the appender's own coroutine, the writer and the sync to disk; the last column takes off what the
same loop, the one that the server runs on, costs when nothing is written. With --rate the appenders together append
that many records per second instead of as fast as they can. --steps tells how long one appender's records take from one
step of the writing to the next, in microseconds by the clock (medians): as fast as it goes, and after pauses of 5
and 50 ms in which this process does nothing but turn in a circle.

--floor tells, in microseconds of CPU of this process (medians and quartiles of blocks of 100, in turns), what a record
that is alone in its commit takes, and what the parts take that no record can do without, each by itself: SQLite's own
BEGIN, INSERT and COMMIT of the same row, synced within the same 50 ms; the canonical bytes; the digests of record and
head; and one turn of the event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if sys.platform != "win32":
    import uvloop

from guardrail.audit import AuditLog, Entry, Head, verify
from guardrail.audit.chain import DIGEST_BYTES, LOG_ID_BYTES, seal
from guardrail.audit.entry import to_row
from guardrail.audit.store import INSERT
from guardrail.audit.sync import WalSyncer

KEY = b"k" * 32
WINDOW_S = 0.05
BLOCK = 100
OURS = "a record of ours"
run = asyncio.run if sys.platform == "win32" else uvloop.run


def entry(number: str) -> Entry:
    """A record of the usual size: one prompt, one input and one output, twelve signals, one reason."""
    look = {"checked": ["face", "exposure", "age"], "unchecked": {}, "notes": []}
    signals = [[f"output.factor{i}", "data[0]", "exposure", 0.123456 + i / 100, None] for i in range(12)]
    body = {
        "receipt": {
            "id": number,
            "policy": "default@0123456789ab",
            "looks": [
                {"slot": slot, "kind": "output", "digest": "0" * 64, **look} for slot in ("prompt", "image", "d")
            ],
            "models": ["yunet@8f2383e4", "exposure@01234567", "age@76543210", "encoder@aaaaaaaa"],
            "absent": {"concept": "no CLIP weights"},
            "recorded": True,
        },
        "signals": signals,
        "reasons": [{"rule": "undress-request", "action": "block", "saw": {"prompt.undress": 0.91}, "says": ""}],
        "stage": "output",
        "would": None,
        "policy": "default@0123456789ab",
        "route": "POST /v1/images/edits",
        "status": 200,
        "took_ms": 41.5,
    }
    return Entry("decision", number, time.time(), "default", "allow", body)


async def round_of(log: AuditLog | None, appenders: int, total: int, rate: float, mark: str) -> list[float]:
    """Append `total` entries from `appenders` coroutines; returns each one's wait in milliseconds."""
    waits: list[float] = []
    begun = time.perf_counter()

    async def appender(which: int) -> None:
        for n in range(which, total, appenders):
            if rate:
                await asyncio.sleep(max(0.0, begun + n / rate - time.perf_counter()))
            made = entry(f"{mark}-{n}")
            started = time.perf_counter()
            if log is None:
                await asyncio.sleep(0)
            else:
                await log.append(made)
            waits.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(appender(which) for which in range(appenders)))
    return waits


def measure(url: str, appenders: int, total: int, rate: float, mark: str) -> None:
    bare_cpu = time.process_time()
    run(round_of(None, appenders, total, rate, mark))
    bare = (time.process_time() - bare_cpu) / total * 1000
    with AuditLog.open(url, KEY) as log:
        wall, cpu = time.perf_counter(), time.process_time()
        waits = sorted(run(round_of(log, appenders, total, rate, mark)))
        cpu_ms = (time.process_time() - cpu) / total * 1000
        wall_s = time.perf_counter() - wall
    p50, p99 = statistics.median(waits), waits[int(len(waits) * 0.99)]
    print(
        f"{appenders:>9} {total / wall_s:>10.0f} {p50:>8.2f} {p99:>8.2f} {waits[-1]:>8.2f} {cpu_ms:>8.4f} "
        f"{cpu_ms - bare:>8.4f}"
    )


def steps(url: str, records: int, pause_s: float) -> None:
    """Print the median time of each step, in the order in which they come."""
    took: dict[str, list[float]] = {}
    last = 0.0

    def step(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        if last and threading.current_thread() is threading.main_thread():
            took.setdefault(name, []).append((now - last) * 1e6)
            last = now

    async def appended(log: AuditLog) -> None:
        nonlocal last
        for n in range(records):
            made = entry(f"{os.urandom(4).hex()}-{n}")
            until = time.perf_counter() + pause_s
            while time.perf_counter() < until:
                pass
            last = time.perf_counter()
            await log.append(made)
            last = 0.0

    with AuditLog.open(url, KEY, step=step) as log:
        run(appended(log))
    told = [f"{name} {statistics.median(times):.0f}" for name, times in took.items()]
    print(f"pause {pause_s * 1000:.0f} ms: {', '.join(told)}")


def floor(folder: Path, records: int) -> None:
    """Print what a lone record takes, and what its parts take by themselves."""
    bare = folder / "bare.db"
    with AuditLog.open(f"sqlite:///{bare}", KEY):
        pass  # the same tables and indexes
    conn = sqlite3.connect(bare, isolation_level=None, check_same_thread=False)
    conn.execute("PRAGMA synchronous=NORMAL")
    conn.execute("PRAGMA wal_autocheckpoint=0")
    cursor = conn.cursor()
    syncer = WalSyncer(bare, WINDOW_S, lambda name: None)
    digest, log_id, count = bytes(DIGEST_BYTES), bytes(LOG_ID_BYTES), 0

    async def ours(entries: list[Entry]) -> None:
        for one in entries:
            await log.append(one)

    async def sqlite(entries: list[Entry]) -> None:
        nonlocal count
        for one in entries:
            count += 1
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(INSERT, (count, one.kind, one.id, one.at, one.tenant, one.action, text, digest, digest))
            cursor.execute("COMMIT")
            syncer.committed()

    async def canonical(entries: list[Entry]) -> None:
        for one in entries:
            to_row(one)

    async def digests(entries: list[Entry]) -> None:
        for number, _ in enumerate(entries):
            Head.signed(KEY, log_id, number, seal(KEY, digest, number, row))

    async def turns(entries: list[Entry]) -> None:
        loop = asyncio.get_running_loop()
        for _ in entries:
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    parts: dict[str, Callable[[list[Entry]], Awaitable[None]]] = {
        OURS: ours,
        "SQLite: BEGIN, INSERT, COMMIT, sync": sqlite,
        "canonical bytes": canonical,
        "digests of record and head": digests,
        "a turn of the event loop": turns,
    }
    took: dict[str, list[float]] = {name: [] for name in parts}

    async def in_turns() -> None:
        for block in range(records // BLOCK + 1):
            for name in random.sample(list(parts), len(parts)):
                entries = [entry(os.urandom(16).hex()) for _ in range(BLOCK)]
                began = time.process_time()
                await parts[name](entries)
                await asyncio.sleep(WINDOW_S)  # the sync is part of it
                if block:  # the first is warming up
                    took[name].append((time.process_time() - began) / BLOCK * 1e6)
            conn.execute("PRAGMA wal_checkpoint(PASSIVE)")

    row = to_row(entry("floor"))
    text = row.body
    with AuditLog.open(f"sqlite:///{folder}/ours.db", KEY, window_s=WINDOW_S) as log:
        run(in_turns())
    syncer.close()
    conn.close()
    least = 0.0
    for name, times in took.items():
        low, median, high = statistics.quantiles(times, n=4)
        least += 0.0 if name == OURS else median
        print(f"{name:<36} {median:6.1f} ({low:.1f}-{high:.1f}), least {min(times):.1f}")
    whole = statistics.median(took[OURS])
    print(f"{'the floor: all but the first':<36} {least:6.1f}; ours is {whole / least:.2f} of it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="default: a new SQLite file in the temporary folder")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--appenders", default="1,64")
    parser.add_argument("--rate", type=float, default=0.0, help="records per second together; 0: as fast as it goes")
    parser.add_argument("--steps", action="store_true", help="how long each step of the writing takes")
    parser.add_argument("--floor", action="store_true", help="what a lone record takes beside what its parts take")
    chosen = parser.parse_args()
    if chosen.floor and (chosen.url or chosen.records < 2 * BLOCK):
        parser.error(f"--floor is of SQLite files of its own, without --url, and of at least {2 * BLOCK} --records")
    with tempfile.TemporaryDirectory() as folder:
        if chosen.floor:
            floor(Path(folder), chosen.records)
            return
        url = chosen.url or f"sqlite:///{folder}/audit.db"
        if chosen.steps:
            for pause_s in (0.0, 0.005, 0.05):
                steps(url, min(chosen.records, 500), pause_s)
            return
        print(f"{'appenders':>9} {'records/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'cpu-ms':>8} {'net':>8}")
        for appenders in map(int, chosen.appenders.split(",")):
            mark = os.urandom(4).hex()
            measure(url, appenders, chosen.records, chosen.rate, mark)
        if chosen.url is None:
            size = os.path.getsize(f"{folder}/audit.db")
            count = chosen.records * len(chosen.appenders.split(","))
            started = time.perf_counter()
            faults = verify(url, KEY)
            took = time.perf_counter() - started
            print(f"{size / count:.0f} bytes per record; verified {count} records in {took:.1f} s: {faults or 'whole'}")


if __name__ == "__main__":
    main()
