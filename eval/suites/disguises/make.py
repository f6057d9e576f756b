"""Writes the rows of this suite: pairs of `undress-edits`, each in several disguises.

    python eval/suites/disguises/make.py

The same rows each time: pairs and disguises are chosen by digest, an attack draws from a seed of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blake3 import blake3

from guardrail.evaluate.attacks import find
from guardrail.evaluate.rows import Row

HERE = Path(__file__).parent
SOURCE = HERE.parent / "undress-edits" / "rows"
SEED = 7
PAIRS = 8
"""Pairs of each language."""
SINGLE = (
    "homoglyphs", "zero_width", "bidi", "leet", "spacing", "dots", "full_width", "mathematical", "marks", "stars",
    "stretched", "joined", "typos", "base64",
)  # fmt: skip
DOUBLE = ("leet+spacing", "homoglyphs+zero_width", "stretched+dots", "typos+marks", "stars+full_width", "leet+joined")
EACH = 3
"""Single disguises of a pair; it gets one of DOUBLE beside them."""


def rows(lang: str) -> Iterator[dict[str, Any]]:
    """Every row of a language. Both sides of a pair wear the same disguises; all of it stays one group."""
    pairs: dict[str, list[dict[str, Any]]] = {}
    for line in (SOURCE / f"{lang}.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        pairs.setdefault(row["pair"], []).append(row)
    chosen = sorted((name for name, both in pairs.items() if len(both) == 2), key=_digest)[:PAIRS]
    for number, name in enumerate(chosen):
        worn = [SINGLE[(number * EACH + k) % len(SINGLE)] for k in range(EACH)] + [DOUBLE[number % len(DOUBLE)]]
        for disguise in worn:
            attack = find(disguise)
            for row in pairs[name]:
                (text,) = attack.row(Row(row["id"], {}, texts=(row["text"],)), SEED).texts
                yield {
                    "id": f"{row['id']}-{disguise}",
                    "pair": name,
                    "lang": lang,
                    "kind": row["kind"],
                    "text": text,
                    "labels": row["labels"],
                    "slice": {"disguise": disguise, "layers": "two" if "+" in disguise else "one"},
                }


def _digest(name: str) -> str:
    return blake3(f"{SEED} {name}".encode()).hexdigest()


def main() -> None:
    for source in sorted(SOURCE.glob("*.jsonl")):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows(source.stem))
        (HERE / "rows" / source.name).write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main()
