"""How near the hash of a shrunk picture keeps to the PDQ hash of the whole one.

python models/likeness/measure.py FOLDER OF PICTURES
"""

from __future__ import annotations

import io
import statistics
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from guardrail.inference.image import pdq, pdq_bits
from guardrail.inference.image.decode import picture
from guardrail.types import Artifact, Kind


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
            grid = pdq_bits.grid_of(np.asarray(Image.open(buffer).convert("RGB")))
            if pdq_bits.quality_of(grid) < pdq.MIN_QUALITY:
                continue
            frame = picture(Artifact(Kind.INPUT, "measured", data=buffer.getvalue())).frames[0]
            whole = int.from_bytes(pdq_bits.bits_of(pdq_bits.waves_of(grid)))
            apart.append((int.from_bytes(pdq.hash_of(frame).bits) ^ whole).bit_count())
        name = f"{width} px wide" if width else "own size"
        print(f"{name}: {len(apart)} pictures, bits apart: median {statistics.median(apart)}, most {max(apart)}")


if __name__ == "__main__":
    parity(Path(sys.argv[1]))
