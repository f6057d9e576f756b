"""Rows to learn from, made from the grammars: harmful text and its harmless twin, in fourteen languages.

    python models/prompt-safety/generate.py --out /tmp/written.jsonl

A grammar is a text file per language: `$slot = a | b`, sections of labels in brackets, one template a line with
`{slot}` and `(a|b)`. Labels are letters: s sexual, u undress, r revealing, p person, m minor; a letter after `?` is
left out of training for that head, one after `~` is as likely as not. Nothing here is both sexual and about a minor,
and the script refuses it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks import ATTACKS

HERE = Path(__file__).parent
HEADS = {"s": "sexual", "u": "undress", "r": "revealing", "p": "person", "m": "minor"}
SEED = 7
# How many rows one template gives at most; fewer where its slots don't allow as many.
PER_TEMPLATE = 6
SLOT = re.compile(r"\{(\w+)\}")
EITHER = re.compile(r"\(([^()|]+(?:\|[^()|]+)+)\)")
# Blocks of neighbouring templates, the same part of every language's file: what one mind wrote about one thing, and
# its translations, are held out together.
FAMILIES = 24
# Slots that mean the same in every language, so that one may borrow from another: "trek haar clothes uit".
SHARED_SLOTS = ("garment", "outer", "wear", "reveal", "tiny", "bare", "child", "cage", "aage", "colour", "thing")
# What "as likely as not" is worth. A little less than half, since harmful rows weigh more in training than they are.
EVEN = 0.45
# Share of the rows that come a second time in another guise, and what such a row weighs.
GUISES, GUISE_WEIGHT = 0.35, 0.7
LATIN = ("en", "nl", "de", "fr", "es", "it", "pt", "pl", "tr")


def labels(section: str) -> dict[str, float | None]:
    """Label of each head for a section: 1, 0, EVEN for as likely as not, or None where it does not teach that head."""
    section, _, even = section.partition("~")
    known, _, unsure = section.partition("?")
    told: dict[str, float | None] = {head: int(letter in known) for letter, head in HEADS.items()}
    for letter in even:
        told[HEADS[letter]] = EVEN
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


def famous(lang: str) -> list[str]:
    """Public figures of the lexicon, as a text in this language may name them; English ones where it has few."""
    text = (HERE.parent.parent / "guardrail" / "inference" / "heads" / "prompt_lexicon.txt").read_text("utf-8")
    _, _, section = text.partition("[famous]\n")
    lines = dict(line.split(": ", 1) for line in section.partition("\n[")[0].splitlines())
    # A stem of a Russian name is the name itself, or nearly.
    words = [
        word.rstrip("*").replace("_", " ").title() for word in lines[lang].split() if lang == "ru" or "*" not in word
    ]
    if lang in LATIN:
        words += [word.replace("_", " ").title() for word in lines["en"].split()]
    return words


def expand(template: str, slots: dict[str, list[str]], chance: random.Random) -> str:
    text = template
    while found := EITHER.search(text):
        text = text[: found.start()] + chance.choice(found[1].split("|")) + text[found.end() :]
    for _ in range(3):  # a slot may hold a slot
        text = SLOT.sub(lambda m: chance.choice(slots[m[1]]), text)
    return text


def rows() -> Iterator[dict[str, Any]]:
    """Every generated row: id, text, lang, origin "grammar", group (its family of templates), labels by head."""
    people = names()
    grammars = {path.stem: read(path) for path in sorted((HERE / "grammar").glob("??.txt"))}
    for lang, (slots, _) in grammars.items():
        slots["name"] = people[lang]
        slots["famous"] = famous(lang)
        slots.setdefault("num", ["3", "4", "5", "6", "7", "8"])
    harmless = {
        lang: [expand(line, slots, random.Random(f"{SEED} {line}")) for section, line in templates if not section]
        for lang, (slots, templates) in grammars.items()
    }
    for lang, (slots, templates) in grammars.items():
        for number, (section, template) in enumerate(templates):
            chance = random.Random(f"{SEED} {lang} {number}")
            # Templates without slots weigh as much as three fillings, so that hand-written lines are not drowned.
            seen = {expand(template, slots, chance) for _ in range(PER_TEMPLATE)}
            for i, text in enumerate(sorted(seen)):
                row = {
                    "id": f"{lang}-{number:04d}-{i:02d}",
                    "text": _register(text, chance),
                    "lang": lang,
                    "origin": "grammar",
                    "group": f"family-{number * FAMILIES // len(templates):02d}",
                    "weight": round(3 / len(seen), 3) if len(seen) < 3 else 1.0,
                    "labels": labels(section),
                }
                yield row
                if chance.random() < GUISES:
                    # What is sexual, or about a minor, stands alone: nobody knows what a neighbour makes of it.
                    told = row["labels"]
                    beside = [] if told["sexual"] or told["minor"] else harmless[lang]
                    guise = _guise(text, template, slots, grammars, beside, lang, chance)
                    yield {**row, "id": row["id"] + "g", "text": guise, "weight": row["weight"] * GUISE_WEIGHT}


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


def _guise(
    text: str,
    template: str,
    slots: dict[str, list[str]],
    grammars: dict[str, tuple[dict[str, list[str]], list[tuple[str, str]]]],
    harmless: list[str],
    lang: str,
    chance: random.Random,
) -> str:
    """The same request as others put it: mistyped, among others, in chat, in JSON, disguised, half in English."""
    draw = chance.random()
    if draw < 0.3 and harmless:
        before, after = chance.choice(harmless), chance.choice(harmless)
        stop = "。" if lang in ("ja", "zh") else ". "
        return stop.join(chance.choice(((before, text, after), (before, text), (text, after))))
    if draw < 0.55 and lang not in ("ja", "zh", "ko"):
        return _mistyped(text, chance)
    borrowed = [name for name in SHARED_SLOTS if f"{{{name}}}" in template]
    if draw < 0.75 and borrowed and lang not in ("ru", "ar", "ja", "ko", "zh"):
        other, _ = grammars[chance.choice(("nl", "de", "es")) if lang == "en" else "en"]
        mixed = {**slots, **{name: other[name] for name in borrowed if name in other}, "who": slots["who"]}
        return expand(template, mixed, chance)
    if draw < 0.85:
        return _wrapped(text, chance.choice(harmless) if harmless else "", chance)
    opening = chance.choice(("@bot ", "@ai ", "hey, ", "/imagine ", "edit: ", "#art ", "pls ", "@artbot ", ""))
    closing = chance.choice(
        ("", "", " pls", " 🙏", " lol", " #ai #edit", "!!", " thx", " 😏", " --ar 1:1", ", same face")
    )
    return f"{opening}{text}{closing}"


def _wrapped(text: str, beside: str, chance: random.Random) -> str:
    """As a program or a page of tags puts it: as a value of JSON, with weights, among tags, or disguised."""
    draw = chance.random()
    if draw < 0.25:
        return json.dumps({chance.choice(("prompt", "text", "instruction")): text, "seed": 7}, ensure_ascii=False)
    if draw < 0.5:
        return f"{text}, {chance.choice(('8k', 'photo', 'best quality', '35mm'))}, {chance.choice(('sharp', 'film'))}"
    if draw < 0.75 and beside:
        return f"{beside}, {text}"
    return chance.choice(list(ATTACKS.values()))(text, chance)


def _mistyped(text: str, chance: random.Random) -> str:
    """One or two longer words with two letters swapped, one left out or one doubled."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for i in chance.sample(long, min(len(long), chance.choice((1, 2)))):
        at = chance.randrange(1, len(words[i]) - 1)
        word = words[i]
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[i] = chance.choice((swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]))
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with out.open("w", encoding="utf-8") as file:
        for row in rows():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
