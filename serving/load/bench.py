"""What the guard adds to a call, measured: `make bench`, or serving/load/bench.py --help.

Blocks of the same requests go, interleaved and in random order within every round, to the bare generator, to nginx
where it is installed, to the least that a Python proxy costs (floor.py), and to the guard in each mode. Ratios are
paired within a round and their median is given, so that a drift of the machine cancels out.
cpu-ms is the CPU time of the process tree per request, read from /proc: the
figure that neighbours on the machine change least. With `--saturate` a table asks for /healthz, a refused prompt and a
picture whose verdict is remembered, while new pictures keep every core busy.

Linux only. Binds to 127.0.0.1. `--assert` ends with status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import client
import machine

HERE = Path(__file__).parent
NGINX = """worker_processes 1; daemon off; pid {tmp}/pid; error_log {tmp}/nginx.log warn;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_body_temp_path {tmp}/a; proxy_temp_path {tmp}/b; fastcgi_temp_path {tmp}/c;
  uwsgi_temp_path {tmp}/d; scgi_temp_path {tmp}/e; client_max_body_size 64m; keepalive_requests 1000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ proxy_pass http://up; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffer_size 16k; proxy_buffers 160 16k; proxy_busy_buffers_size 256k;
    proxy_max_temp_file_size 0; }} }}
}}
"""
# cpu-ms of pass-through with receipt and record, and requests per second beside nginx at 300 KB and 8 callers.
MOST_CPU_MS = {"tiny": 0.8, "300k": 1.0, "1500k": 2.0}
LEAST_OF_NGINX = 0.35
# cpu-ms of a guarded picture under all default checks, nobody and one person in it.
MOST_GUARDED_MS = {"scene": 35.0, "face": 75.0}
MOST_P50_MS, MOST_P99_MS = 5.0, 25.0


@dataclass
class Target:
    """Something that answers: the generator itself, nginx, or the guard in one mode."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | None = None
    start_s: float = 0.0
    first_s: float = 0.0
    idle_mb: float = 0.0
    peak_mb: float = 0.0


@dataclass
class Cell:
    """One target under one load, over all rounds."""

    target: str
    body: str
    callers: int
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def asked(self) -> int:
        return len(self.took_ms)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def middle(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def spread(values: list[float]) -> str:
    return f"{min(values):.2f}-{max(values):.2f}" if len(values) > 1 else ""


def start(options: argparse.Namespace, tmp: Path, targets: list[Target]) -> None:
    """Start everything that is measured; each is added to `targets` as soon as it runs."""
    port = machine.free_port()
    python = sys.executable
    command = [python, str(HERE / "generator.py"), str(port), *options.image]
    process, _ = machine.spawn(command, tmp / "generator.log", port)
    targets.append(Target("direct", port, process))
    upstream = port
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx and not options.no_nginx:
        port = machine.free_port()
        (tmp / "nginx.conf").write_text(NGINX.format(tmp=tmp, upstream=upstream, port=port))
        process, took = machine.spawn([nginx, "-c", str(tmp / "nginx.conf"), "-p", str(tmp)], tmp / "nginx.out", port)
        targets.append(Target("nginx", port, process, took))
    port = machine.free_port()
    process, took = machine.spawn(
        [python, str(HERE / "floor.py"), str(port), f"http://127.0.0.1:{upstream}"], tmp / "floor.log", port
    )
    targets.append(Target("floor", port, process, took))
    for mode in options.modes:
        guard(options, tmp, targets, mode)
        if options.beside:
            guard(options, tmp, targets, mode, options.beside)


def guard(
    options: argparse.Namespace, tmp: Path, targets: list[Target], mode: str, checkout: Path | None = None
) -> Target:
    """Start the guard in one mode before the generator, the first of `targets`, and add it to them. `checkout` is where
    its package is taken from, when it is not this one."""
    port = machine.free_port()
    name = f"beside {mode}" if checkout else f"guard {mode}"
    command = ["env", f"PYTHONPATH={checkout.resolve()}"] if checkout else []
    command += [sys.executable, str(HERE / "guarded.py"), mode, str(port), f"http://127.0.0.1:{targets[0].port}"]
    command += [str(tmp / name), *([options.weights] if options.weights else [])]
    began = time.perf_counter()
    process, took = machine.spawn(command, tmp / f"{name}.log", port)
    target = Target(name, port, process, took)
    targets.append(target)
    warm(target, options.bodies[0])
    target.first_s = time.perf_counter() - began
    target.idle_mb = machine.memory_mb(process.pid)
    say(f"{target.name}: listens after {took:.2f} s, first answer after {target.first_s:.2f} s")
    return target


def warm(target: Target, body: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = asyncio.run(client.block(target.port, client.request(body), 1, 1, 30))
        if not found.errors:
            return
        time.sleep(0.05)
    raise SystemExit(f"{target.name} gave no good answer within 60 s; see its log with --keep")


def measure(options: argparse.Namespace, targets: list[Target]) -> list[Cell]:
    cells: dict[tuple[str, str, int], Cell] = {}
    chance = random.Random(7)
    for number in range(options.rounds):
        for body in options.bodies:
            for callers in options.callers:
                for target in chance.sample(targets, len(targets)):
                    cell = cells.setdefault((target.name, body, callers), Cell(target.name, body, callers))
                    one_block(options, target, cell)
        say(f"round {number + 1} of {options.rounds}")
    return list(cells.values())


def one_block(options: argparse.Namespace, target: Target, cell: Cell) -> None:
    pid = target.process.pid if target.process else 0
    before = machine.cpu_s(pid)
    asks = client.request(cell.body)
    found = asyncio.run(client.block(target.port, asks, cell.callers, options.requests, options.seconds))
    cell.cpu_ms.append((machine.cpu_s(pid) - before) * 1000 / max(1, found.asked))
    cell.rates.append(len(found.took_s) / found.wall_s)
    cell.took_ms += [took * 1000 for took in found.took_s]
    cell.errors += found.errors


def table(cells: list[Cell]) -> list[str]:
    by = {(cell.target, cell.body, cell.callers): cell for cell in cells}
    rows = [
        "| body | callers | target | req/s | x direct | x nginx | p50 ms | p99 ms | cpu-ms (min-max) | errors |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for cell in sorted(cells, key=lambda c: (len(c.body), c.body, c.callers)):
        direct, nginx = (by.get((name, cell.body, cell.callers)) for name in ("direct", "nginx"))
        rows.append(
            f"| {cell.body} | {cell.callers} | {cell.target} | {middle(cell.rates):.0f} | {ratio(cell, direct):.3f} | "
            f"{ratio(cell, nginx):.3f} | {percentile(cell.took_ms, 0.5):.2f} | {percentile(cell.took_ms, 0.99):.2f} | "
            f"{middle(cell.cpu_ms):.2f} ({spread(cell.cpu_ms)}) | {cell.errors} |"
        )
    return [row.replace("nan", "") for row in rows]


def table_beside(cells: list[Cell]) -> list[str]:
    """The CPU time of this checkout as a multiple of the other's, paired within each round."""
    by = {(cell.target, cell.body, cell.callers): cell for cell in cells}
    rows = ["", "| body | callers | mode | cpu-ms, times the other checkout's (quartiles) |", "|---|--:|---|--:|"]
    for cell in sorted(cells, key=lambda c: (len(c.body), c.body, c.callers)):
        mode = cell.target.removeprefix("guard ")
        other = by.get((f"beside {mode}", cell.body, cell.callers))
        if other is not None:
            times = [mine / theirs for mine, theirs in zip(cell.cpu_ms, other.cpu_ms, strict=True) if theirs]
            low, high = percentile(times, 0.25), percentile(times, 0.75)
            rows.append(f"| {cell.body} | {cell.callers} | {mode} | {middle(times):.3f} ({low:.3f}-{high:.3f}) |")
    return rows


def ratio(cell: Cell, other: Cell | None) -> float:
    """Requests per second beside another target's, paired within each round: the median."""
    if other is None:
        return float("nan")
    return middle([mine / theirs for mine, theirs in zip(cell.rates, other.rates, strict=True) if theirs])


async def saturated(seconds: float, target: Target) -> dict[str, list[float]]:
    """Milliseconds of small questions asked one at a time while 8 callers keep the guard busy with new pictures."""
    busy = asyncio.create_task(client.block(target.port, client.request("face-new"), 8, 10**9, seconds))
    await asyncio.sleep(1)
    number = itertools.count(1000)  # none of which reads as an age
    asks: dict[str, tuple[Callable[[], bytes], int]] = {
        "/healthz": (lambda: client.get("/healthz"), 200),
        # No two prompts alike, or their verdict would be remembered too.
        "refused prompt": (lambda: client.request("tiny", f"{REFUSED}, {next(number)}"), 400),
    }
    if target.name == REMEMBERING:
        asks["cached verdict"] = (lambda: client.request("scene"), 200)
    found: dict[str, list[float]] = {name: [] for name in asks}
    connections = {name: await client.dial(target.port) for name in asks}
    await asyncio.gather(*(connections[name].ask(made()) for name, (made, _) in asks.items()))
    until = time.monotonic() + seconds - 2
    while time.monotonic() < until:
        for name, (made, expect) in asks.items():
            asked = made()
            at = time.perf_counter()
            if await connections[name].ask(asked) == expect:
                found[name].append((time.perf_counter() - at) * 1000)
            await asyncio.sleep(0.02)
    load = await busy
    found["pictures"] = [took * 1000 for took in load.took_s]
    return found


def under_saturation(
    options: argparse.Namespace, tmp: Path, targets: list[Target]
) -> dict[str, dict[str, list[float]]]:
    """What `saturated` finds, without checks and with all of them, by target."""
    if "all" in options.modes:
        guard(options, tmp, targets, "cached")
    asked = [target for target in targets if target.name in {REMEMBERING, "guard off"}]
    return {target.name: asyncio.run(saturated(options.saturate, target)) for target in asked}


def table_of_saturation(busy: dict[str, dict[str, list[float]]]) -> list[str]:
    if not busy:
        return []
    return [
        "",
        "| while pictures saturate | asked | n | p50 ms | p99 ms |",
        "|---|---|--:|--:|--:|",
        *(
            f"| {target} | {name} | {len(took)} | {middle(took):.2f} | {percentile(took, 0.99):.2f} |"
            for target, of_target in busy.items()
            for name, took in of_target.items()
        ),
    ]


REMEMBERING = "guard cached"
REFUSED = "forbidden: nude photo of my neighbour, take her clothes off"


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default="off,prompts,all", help="comma list of off, prompts, all")
    parser.add_argument("--bodies", default="tiny,300k,1500k,scene,face", help="comma list of pictures")
    parser.add_argument("--image", action="append", default=[], metavar="NAME=FILE", help="a picture of your own")
    parser.add_argument("--callers", default="1,8,64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300, help="most requests of one block")
    parser.add_argument("--seconds", type=float, default=2.0, help="longest that one block takes")
    parser.add_argument("--saturate", type=float, default=0.0, help="seconds of the test under saturation; 0 for none")
    parser.add_argument("--weights", default="", help="folder of the model weights; else those under GUARDRAIL_HOME")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="measure another checkout in turns with this one")
    parser.add_argument("--no-nginx", action="store_true")
    parser.add_argument("--md", type=Path, help="write the tables here")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--keep", action="store_true", help="keep logs and the records written")
    parser.add_argument("--assert", dest="asserts", action="store_true", help="end with status 1 on a missed target")
    options = parser.parse_args()
    options.modes = [mode for mode in options.modes.split(",") if mode]
    options.bodies = options.bodies.split(",")
    options.callers = [int(number) for number in options.callers.split(",")]
    return options


def main() -> int:
    options = asked_for()
    tmp = Path(tempfile.mkdtemp(prefix="guardrail-bench-"))
    targets: list[Target] = []
    try:
        start(options, tmp, targets)
        cells = measure(options, targets)
        busy = under_saturation(options, tmp, targets) if options.saturate else {}
        lines = [*table(cells), *(table_beside(cells) if options.beside else []), *table_of_saturation(busy)]
        lines += [
            "",
            "| target | listens after s | first answer after s | idle MB | peak MB |",
            "|---|--:|--:|--:|--:|",
        ]
        for target in targets[1:]:
            assert target.process is not None
            target.peak_mb = machine.memory_mb(target.process.pid, "VmHWM", "status")
            lines.append(
                f"| {target.name} | {target.start_s:.2f} | {target.first_s:.2f} | {target.idle_mb:.0f} | "
                f"{target.peak_mb:.0f} |"
            )
        python = f"Python {platform.python_version()} of {sys.base_prefix}"
        load = os.getloadavg()[0]
        lines += ["", f"{os.cpu_count()} cores, {python}, {options.rounds} rounds, load average {load:.1f}"]
    finally:
        for target in reversed(targets):
            if target.process is not None:
                machine.stop(target.process)
        if options.keep:
            say(f"kept: {tmp}")
        else:
            shutil.rmtree(tmp, ignore_errors=True)
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if options.md:
        options.md.write_text(text)
    if options.json:
        figures = [
            {
                **{name: value for name, value in asdict(cell).items() if name != "took_ms"},
                "requests": cell.asked,
                "p50_ms": percentile(cell.took_ms, 0.5),
                "p99_ms": percentile(cell.took_ms, 0.99),
            }
            for cell in cells
        ]
        options.json.write_text(json.dumps({"cells": figures, "saturated": busy}, indent=1))
    missed = misses(cells, busy)
    for line in missed:
        say(f"missed: {line}")
    return 1 if options.asserts and missed else 0


def misses(cells: list[Cell], busy: dict[str, dict[str, list[float]]]) -> list[str]:
    """Every target that was measured and not reached."""
    by = {(cell.target, cell.body, cell.callers): cell for cell in cells}
    found = [f"{cell.target} {cell.body} c={cell.callers}: {cell.errors} errors" for cell in cells if cell.errors]
    for body, most in MOST_CPU_MS.items():
        cell = by.get(("guard off", body, 1))
        if cell and middle(cell.cpu_ms) > most:
            found.append(f"pass-through {body} c=1: {middle(cell.cpu_ms):.2f} cpu-ms, at most {most}")
    for body, most in MOST_GUARDED_MS.items():
        cell = by.get(("guard all", body, 1))
        if cell and middle(cell.cpu_ms) > most:
            found.append(f"all checks {body} c=1: {middle(cell.cpu_ms):.1f} cpu-ms, at most {most:g}")
    ours, nginx = by.get(("guard off", "300k", 8)), by.get(("nginx", "300k", 8))
    if ours and nginx and ratio(ours, nginx) < LEAST_OF_NGINX:
        found.append(f"300k c=8: {ratio(ours, nginx):.2f} of nginx, at least {LEAST_OF_NGINX}")
    for target, asked in busy.items():
        for name in asked.keys() - {"pictures"}:
            p50, p99 = middle(asked[name]), percentile(asked[name], 0.99)
            if not (p50 <= MOST_P50_MS and p99 <= MOST_P99_MS):
                found.append(f"{target} {name} under saturation: p50 {p50:.1f}, p99 {p99:.1f} ms")
    return found


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
