"""How long `guardrail eval run` and `eval report` take for many prompts, and how much memory, by the number of rows.

    python serving/load/evaluation.py [--rows 5000,50000] [--workers 0]

The rows are captions and one probe line in twenty (`prompts.py`), each once. Everything is run as a user runs it, with
the default settings, the weights of GUARDRAIL_HOME and nothing remembered; `cpu-s` is of all processes together, `MB`
what all held at most at once. Wall times belong to the machine and its neighbours. The table is that of
docs/reference/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from machine import cpu_s, memory_mb
from prompts import captions, probes

from guardrail.home import Home

LOOK_EVERY_S = 0.5
ONE_IN = 20


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock and of all cores, MB at most of all processes together."""

    wall_s: float
    cpu_s: float
    mb: float

    @property
    def cells(self) -> str:
        return f"{self.wall_s:.0f} s | {self.cpu_s:.0f} | {self.mb:.0f}"


def write(rows: int, out: Path) -> None:
    """Prompts with a label, as JSON lines."""
    made, lines = captions(7), probes()
    chance = random.Random(7)
    with out.open("w", encoding="utf-8") as file:
        for at in range(rows):
            harmful = at % ONE_IN == 0 and chance.random() < 0.5
            if at % ONE_IN:
                text = next(made)
            else:
                text = f"{chance.choice(lines['probe, harmful' if harmful else 'probe, harmless'])} ({at})"
            file.write(json.dumps({"text": text, "harm": int(harmful)}, ensure_ascii=False) + "\n")


def spent(command: list[str], home: Path) -> Spent:
    """Run a command of guardrail and watch what it takes. Ends the program where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", "from guardrail.cli import main; main()", *command],
        env={**os.environ, "GUARDRAIL_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    cpu = together = 0.0
    while process.poll() is None:
        cpu = max(cpu, cpu_s(process.pid))  # of processes that live; those that ended are counted by their parent
        together = max(together, memory_mb(process.pid))
        time.sleep(LOOK_EVERY_S)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(process.stderr.read().decode(errors="replace")[-2000:])
    return Spent(time.perf_counter() - began, cpu, together)


def main() -> None:
    """Print a table."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rows", default="5000,50000")
    asked.add_argument("--workers", type=int, default=0)
    told = asked.parse_args()
    weights = Home.default().path / "models"
    print("| rows | scored in | cpu-s | MB | reported in | cpu-s | MB |", flush=True)
    print("|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for rows in map(int, told.rows.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            (home / "models").symlink_to(weights.resolve())
            write(rows, home / "prompts.jsonl")
            run = [
                "eval",
                "run",
                str(home / "prompts.jsonl"),
                "--label",
                "sexual=harm",
                "--name",
                "speed",
                "--no-cache",
            ]
            report = ["eval", "report", "speed", "--html", str(home / "report.html"), "--json", str(home / "r.json")]
            scored, reported = spent([*run, "--workers", str(told.workers)], home), spent(report, home)
            print(f"| {rows:,} | {scored.cells} | {reported.cells} |", flush=True)


if __name__ == "__main__":
    main()
