"""Lay out harmless pictures as a suite: at most 1,024 pixels long, on white, as JPEG, so that every peer can read them.

    python eval/peers/pictures.py PICTURES LIST.tsv SUITE

PICTURES is what a fetch.sh under models/ made, LIST.tsv the pictures.tsv beside it (what is shown, source, package,
path).
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from PIL import Image

Image.MAX_IMAGE_PIXELS = 90_000_000
SUITE = """\
id: harmless-pictures
version: 1
task: image
factors: [exposure]
licence: those of the packages
misses:
  - "nudity: none of it is here, so nothing is said of recall"
  - "swimwear, sport, beach, medicine and children, beyond single pictures"
"""


def main(pictures: Path, listed: Path, suite: Path) -> None:
    """Write the suite. Pictures that are not there or can't be read are said and left out."""
    (suite / "rows").mkdir(parents=True, exist_ok=True)
    (suite / "suite.yaml").write_text(SUITE, "utf-8")
    with listed.open(newline="") as file, (suite / "rows/all.jsonl").open("w", encoding="utf-8") as rows:
        for number, (shows, source, package, path) in enumerate(csv.reader(file, delimiter="\t")):
            out = suite / f"{number:04d}.jpg"
            try:
                with Image.open(pictures / package / path) as image:
                    image.draft("RGB", (1024, 1024))
                    flat = image.convert("RGBA")
            except (OSError, SyntaxError, ValueError) as error:
                print(f"{package}/{path}: left out: {type(error).__name__}", file=sys.stderr)
                continue
            flat.thumbnail((1024, 1024))
            canvas = Image.new("RGB", flat.size, (255, 255, 255))
            canvas.paste(flat, mask=flat.getchannel("A"))
            canvas.save(out, "JPEG", quality=92)
            row = {"id": out.stem, "image": out.name, "labels": {"exposure": 0}}
            rows.write(json.dumps({**row, "slice": {"shows": shows, "source": source}}) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
