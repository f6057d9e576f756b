"""Measure the shipped list of names on public prompts: recall on names, and the texts of each set that hold a find.

    python models/gazetteer/measure.py --shared FOLDER

FOLDER holds dev.jsonl.xz (lines with `id` and `text`) and dev_names.jsonl.xz (`text`, a name). No encoder is needed.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guardrail.inference.text.gazetteer import Gazetteer, packaged_names


def lines(file: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(file, "rt", encoding="utf-8") as opened:
        yield from map(json.loads, opened)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True)
    args = parser.parse_args()
    began = time.process_time()
    names = Gazetteer(packaged_names())
    print(f"{names.size} names, read in {time.process_time() - began:.2f} cpu-s")

    known = [names.finds(f"a photo of {one['text']} in a park") for one in lines(args.shared / "dev_names.jsonl.xz")]
    print(f"recall on {len(known)} names: {sum(known) / len(known):.3f}")

    asked, found, letters = Counter[str](), Counter[str](), 0
    began = time.process_time()
    for one in lines(args.shared / "dev.jsonl.xz"):
        origin = one["id"].rpartition("-")[0]
        asked[origin] += 1
        letters += len(one["text"])
        found[origin] += names.finds(one["text"])
    took = time.process_time() - began
    for origin, count in asked.items():
        print(f"{origin}: {found[origin]} of {count}, {100 * found[origin] / count:.2f} %")
    print(f"{1e6 * took / letters:.1f} cpu-µs a character")


if __name__ == "__main__":
    main()
