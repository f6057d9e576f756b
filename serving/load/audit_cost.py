"""What a record costs: CPU time of this process per record, and how long an appender waits for its commit.

python serving/load/audit_cost.py [--url sqlite:///FILE] [--records 20000] [--appenders 1,64]

CPU time includes the appender's own coroutine, the writer and the sync to disk; the last column takes off what the
same loop, the one that the server runs on, costs when nothing is written. With --rate the appenders together append
that many records per second instead of as fast as they can. --steps tells how long one appender's records take from one
step of the writing to the next, in microseconds by the clock (medians): as fast as it goes, and after pauses of 5
and 50 ms in which this process does nothing but turn in a circle.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if sys.platform != "win32":
    import uvloop

from guardrail.audit import AuditLog, Entry, verify

KEY = b"k" * 32
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="default: a new SQLite file in the temporary folder")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--appenders", default="1,64")
    parser.add_argument("--rate", type=float, default=0.0, help="records per second together; 0: as fast as it goes")
    parser.add_argument("--steps", action="store_true", help="how long each step of the writing takes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
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
