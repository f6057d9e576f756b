"""What a record costs: CPU time of this process per record, and how long an appender waits for its commit.

python serving/load/audit_cost.py [--url sqlite:///FILE] [--records 20000] [--appenders 1,64]

CPU time includes the appender's own coroutine, the writer and the sync to disk; the last column takes off what the
same loop costs when nothing is written. With --rate the appenders together append that many records per second
instead of as fast as they can.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from guardrail.audit import AuditLog, Entry, verify

KEY = b"k" * 32


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
    asyncio.run(round_of(None, appenders, total, rate, mark))
    bare = (time.process_time() - bare_cpu) / total * 1000
    with AuditLog.open(url, KEY) as log:
        wall, cpu = time.perf_counter(), time.process_time()
        waits = sorted(asyncio.run(round_of(log, appenders, total, rate, mark)))
        cpu_ms = (time.process_time() - cpu) / total * 1000
        wall_s = time.perf_counter() - wall
    p50, p99 = statistics.median(waits), waits[int(len(waits) * 0.99)]
    print(
        f"{appenders:>9} {total / wall_s:>10.0f} {p50:>8.2f} {p99:>8.2f} {waits[-1]:>8.2f} {cpu_ms:>8.4f} "
        f"{cpu_ms - bare:>8.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="default: a new SQLite file in the temporary folder")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--appenders", default="1,64")
    parser.add_argument("--rate", type=float, default=0.0, help="records per second together; 0: as fast as it goes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.url or f"sqlite:///{folder}/audit.db"
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
