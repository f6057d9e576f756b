"""What looking a face and a picture up costs, and how near a hash of a shrunk picture keeps to that of the whole.

    python models/likeness/measure.py [FOLDER OF PICTURES]

Times are CPU milliseconds of this process, the median of many runs; run it with OPENBLAS_NUM_THREADS=1 to see one core.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pdqhash
from PIL import Image

from guardrail.checks.bank import Bank, Entry, Hashes
from guardrail.checks.likeness import best_match
from guardrail.checks.registry import Registry, Template, Templates
from guardrail.inference import pdq
from guardrail.inference.image import picture
from guardrail.types import Artifact, Kind


def cost_ms(work: Callable[[], object], runs: int = 50) -> float:
    work()
    took = []
    for _ in range(runs):
        began = time.process_time()
        work()
        took.append((time.process_time() - began) * 1000)
    return statistics.median(took)


def registry() -> None:
    chance = np.random.default_rng(0)
    for size in (100, 1_000, 20_000):
        rows = chance.normal(size=(size, 128)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        held = Templates(rows, np.zeros(size, np.bool_), np.full(size, np.inf), people=size, revision=1)
        print(f"search of {size:6} templates: {cost_ms(lambda one=rows[0], held=held: best_match(one, held)):.3f} ms")
    with tempfile.TemporaryDirectory() as folder:
        store = Registry(Path(folder), bytes(32), model="measure@1")
        for start in range(0, 2_000, 20):
            templates = [Template(row) for row in rows[start : start + 20]]
            last = store.enrol(templates, label="x", now=datetime.now(UTC))
        print(f"opening 2,000 sealed templates: {cost_ms(store.templates, 5):.1f} ms")
        print(f"asking whether the file changed: {cost_ms(store.file.revision):.3f} ms")
        began = time.perf_counter()
        store.remove([last.id])
        print(f"removing one of 100 persons: {(time.perf_counter() - began) * 1000:.0f} ms of wall time")


def bank() -> None:
    chance = np.random.default_rng(0)
    for size in (1_000, 10_000, 100_000):
        hashes = Hashes.of([chance.bytes(32).hex() for _ in range(size)], (), 1)
        eight = [chance.bytes(32) for _ in range(8)]
        print(
            f"eight look-ups in {size:7} hashes: {cost_ms(lambda h=hashes, e=eight: [h.nearest(q) for q in e]):.3f} ms"
        )
    with tempfile.TemporaryDirectory() as folder:
        entries = [Entry(pdq=chance.bytes(32).hex()) for _ in range(100_000)]
        store = Bank(Path(folder))
        began = time.perf_counter()
        store.add(entries, now=datetime.now(UTC))
        print(f"adding 100,000 hashes: {time.perf_counter() - began:.1f} s of wall time")
        print(f"reading 100,000 hashes: {cost_ms(store.hashes, 3):.0f} ms")
    for side in (512, 1024):
        pixels = chance.integers(0, 256, (side, side, 3), dtype=np.uint8)
        print(f"eight PDQ hashes of {side} x {side}: {cost_ms(lambda p=pixels: pdq.turned(p), 20):.2f} ms")


def parity(folder: Path) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp"}]
    for width in (0, 1024, 2000):
        apart = []
        for path in files:
            image = Image.open(path).convert("RGB")
            if min(image.size) < 200:
                continue
            if width:
                image = image.resize((width, round(width * image.height / image.width)), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=90)
            bits, quality = pdqhash.compute(np.asarray(Image.open(buffer).convert("RGB")))
            if quality < pdq.MIN_QUALITY:
                continue
            frame = picture(Artifact(Kind.INPUT, "measured", data=buffer.getvalue())).frames[0]
            whole = int.from_bytes(np.packbits(np.asarray(bits, np.uint8)).tobytes())
            apart.append((int.from_bytes(pdq.hash_of(pdq.pixels(frame)).bits) ^ whole).bit_count())
        name = f"{width} px wide" if width else "own size"
        print(f"{name}: {len(apart)} pictures, bits apart: median {statistics.median(apart)}, most {max(apart)}")


if __name__ == "__main__":
    registry()
    bank()
    if len(sys.argv) > 1:
        parity(Path(sys.argv[1]))
