"""Lets atheris look for files that break the decoder, under a limit of memory; run by test_image_fuzz.

    python -m tests.inference.image.explore SECONDS SEED [FOLDER]

Coverage of the Python code steers it; the decoders beneath are not instrumented, so damage to pixels is rather the work
of `fuzz`. What breaks the decoder is kept in FOLDER. Anything but a picture or a CheckError ends it with a traceback.
Needs atheris, which has wheels for Linux and macOS: pip install atheris.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["guardrail.inference.image", "PIL"]):
    from guardrail.errors import CheckError
    from guardrail.inference.image.decode import Limits, decode
    from tests.inference.image.fuzz import MEMORY, seeds

LONGEST = 1 << 14  # bytes of a file that is tried: the seeds have 100 to 9,000


def one(body: bytes) -> None:
    try:
        found = decode(body, Limits())
    except CheckError:
        return
    assert found.frames


def main(seconds: int, seed: int, kept: Path | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY, 2 * MEMORY))  # libFuzzer itself takes a part of it
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as corpus:
        for at, body in enumerate(seeds()):
            Path(corpus, str(at)).write_bytes(body)
        options = {
            "max_total_time": seconds,
            "seed": seed,
            "max_len": LONGEST,
            "rss_limit_mb": MEMORY >> 20,
            "timeout": 20,
            "artifact_prefix": f"{kept or corpus}/",
        }
        atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
