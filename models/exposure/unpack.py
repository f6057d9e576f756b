"""Take the pictures out of gcompris' resource files: paintings cut into pieces of a jigsaw, animals, monuments, music.

    python models/exposure/unpack.py RCC_FOLDER OUT_FOLDER

A resource file of Qt holds pictures as they are; they are found by their signatures.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from PIL import Image

FILES = ("paintings", "explore_farm_animals", "explore_world_animals", "explore_monuments", "explore_world_music")
SIGNATURES = re.compile(rb"RIFF....WEBP|\xff\xd8\xff[\xe0\xe1\xdb]|\x89PNG\r\n\x1a\n", re.DOTALL)
LONGEST = 6_000_000
LEAST_SIDE = 120


def main(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        body, count = (folder / f"{name}.rcc").read_bytes(), 0
        for found in SIGNATURES.finditer(body):
            try:
                image = Image.open(io.BytesIO(body[found.start() : found.start() + LONGEST]))
                image.load()
            except (OSError, SyntaxError, ValueError):
                continue
            if min(image.size) >= LEAST_SIDE:
                image.convert("RGB").save(out / f"{name}-{count:03d}.jpg", quality=92)
                count += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
