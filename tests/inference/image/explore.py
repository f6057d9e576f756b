"""Lets atheris look for files that break the decoder, under a limit of memory; run by test_image_fuzz.

    python -m tests.inference.image.explore SECONDS SEED [FOLDER]

Coverage of the Python code steers it; the decoders beneath are not instrumented, so half of the files are damaged as
`fuzz` damages them. What breaks the decoder is kept in FOLDER. Anything but a picture or a CheckError ends it with a
traceback.
Needs atheris, which has wheels for Linux and macOS: pip install atheris.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["guardrail.inference.image", "PIL"]):
    from tests.inference.image.fuzz import MEMORY, damaged, seeds, tried

LONGEST = 1 << 14  # bytes of a file that is tried: the seeds have 100 to 9,000
# Seconds by the clock for one file. What the limits let through takes some seconds of one core that does nothing else.
PATIENCE = 60


def one(body: bytes) -> None:
    tried(body)


def main(seconds: int, seed: int, kept: Path | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY, 2 * MEMORY))  # libFuzzer itself takes a part of it
    warnings.simplefilter("ignore")
    files = seeds()

    def changed(body: bytes, longest: int, chance: int) -> bytes:
        drawn = random.Random(chance)
        if drawn.random() < 0.5:
            return bytes(atheris.Mutate(body, longest))
        return damaged(body or files[0], drawn.choice(files), drawn)[:longest]

    with tempfile.TemporaryDirectory() as corpus:
        for at, body in enumerate(files):
            Path(corpus, str(at)).write_bytes(body)
        options = {
            "max_total_time": seconds,
            "seed": seed,
            "max_len": LONGEST,
            "rss_limit_mb": MEMORY >> 20,
            "timeout": PATIENCE,
            "artifact_prefix": f"{kept or corpus}/",
        }
        flags = [f"-{name}={value}" for name, value in options.items()]
        atheris.Setup([sys.argv[0], *flags, corpus], one, custom_mutator=changed)
        atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
