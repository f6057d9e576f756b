"""A run that takes its time, for a test that kills it: python -m tests.evaluate.slow_run SUITE FOLDER SECONDS."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.pools import Threads
from guardrail.evaluate.suite import read_suite
from tests.evaluate.stand_ins import POLICY, Words


class Slow(Words):
    def judge(self, rows):
        time.sleep(float(sys.argv[3]))
        return super().judge(rows)


if __name__ == "__main__":
    run(Plan(read_suite(Path(sys.argv[1])), POLICY), Threads(Slow(), 2), Path(sys.argv[2]), chunk=7)
