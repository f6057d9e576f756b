"""Rows to learn from, made from the grammars: harmful text and its harmless twin, in fourteen languages.

    python models/prompt-safety/generate.py --out /tmp/written.jsonl

A grammar is a text file per language: `$slot = a | b`, sections of labels in brackets, one template a line with
`{slot}` and `(a|b)`. Labels are letters: s sexual, u undress, r revealing, p person, m minor; a letter after `?` is
left out of training for that head. Nothing here is both sexual and about a minor, and the script refuses it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEADS = {"s": "sexual", "u": "undress", "r": "revealing", "p": "person", "m": "minor"}
SEED = 7
# How many rows one template gives at most; fewer where its slots don't allow as many.
PER_TEMPLATE = 14
SLOT = re.compile(r"\{(\w+)\}")
EITHER = re.compile(r"\(([^()|]+(?:\|[^()|]+)+)\)")
LATIN = ("en", "nl", "de", "fr", "es", "it", "pt", "pl", "tr")


def labels(section: str) -> dict[str, int | None]:
    """Label of each head for a section: 1, 0, or None where this text does not teach that head."""
    known, _, unsure = section.partition("?")
    told: dict[str, int | None] = {head: int(letter in known) for letter, head in HEADS.items()}
    if told["minor"] and (told["sexual"] or told["undress"] or told["revealing"]):
        raise SystemExit(f"[{section}]: no text is both sexual and about a minor")
    for letter in unsure:
        told[HEADS[letter]] = None
    if told["undress"] and not told["sexual"]:
        told["sexual"] = None  # in a string bikini: the revealing head's business
    if told["sexual"]:
        told["revealing"] = None
    return told


def read(path: Path) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """The slots of a grammar, and its templates with their section."""
    slots: dict[str, list[str]] = {}
    templates = []
    section = None
    for number, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("$"):
            name, _, values = line[1:].partition("=")
            slots[name.strip()] = [value.strip() for value in values.split("|") if value.strip()]
        elif line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section is None:
            raise SystemExit(f"{path.name}, line {number}: a template before any [section]")
        else:
            templates.append((section, line))
    return slots, templates


def names() -> dict[str, list[str]]:
    """Full names by language: people put together at random, who do not exist."""
    lists: dict[str, list[str]] = {}
    for line in (HERE / "grammar" / "names.txt").read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, values = line.partition("=")
            lists[name.strip()] = [value.strip() for value in values.split("|")]
    chance = random.Random(SEED)
    first, last = lists.pop("first.latin"), lists.pop("last.latin")
    everyone = [f"{chance.choice(first)} {chance.choice(last)}" for _ in range(600)]
    return {**lists, **dict.fromkeys(LATIN, everyone)}


def expand(template: str, slots: dict[str, list[str]], chance: random.Random) -> str:
    text = template
    while found := EITHER.search(text):
        text = text[: found.start()] + chance.choice(found[1].split("|")) + text[found.end() :]
    for _ in range(3):  # a slot may hold a slot
        text = SLOT.sub(lambda m: chance.choice(slots[m[1]]), text)
    return text


def rows() -> Iterator[dict[str, Any]]:
    """Every generated row: id, text, lang, origin "grammar", group (its template) and labels by head."""
    people = names()
    for path in sorted((HERE / "grammar").glob("??.txt")):
        lang = path.stem
        slots, templates = read(path)
        slots["name"] = people[lang]
        slots.setdefault("num", ["3", "4", "5", "6", "7", "8"])
        for number, (section, template) in enumerate(templates):
            chance = random.Random(f"{SEED} {lang} {number}")
            # Templates without slots weigh as much as three fillings, so that hand-written lines are not drowned.
            seen = {expand(template, slots, chance) for _ in range(PER_TEMPLATE)}
            for i, text in enumerate(sorted(seen)):
                yield {
                    "id": f"{lang}-{number:04d}-{i:02d}",
                    "text": _register(text, chance),
                    "lang": lang,
                    "origin": "grammar",
                    "group": f"{lang}-{number}",
                    "weight": round(3 / len(seen), 3) if len(seen) < 3 else 1.0,
                    "labels": labels(section),
                }


def _register(text: str, chance: random.Random) -> str:
    """As people type: mostly as written, now and then with a capital, a full stop, a please or all in capitals."""
    draw = chance.random()
    if draw < 0.25:
        text = text[:1].upper() + text[1:]
    if draw < 0.15:
        text += "."
    elif draw > 0.97:
        text = text.upper()
    elif draw > 0.9:
        text = text.lower()
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with out.open("w", encoding="utf-8") as file:
        for row in rows():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
