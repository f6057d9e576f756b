"""The words that people write to image tools, most frequent first, counted in the grammars: `prompt_words.txt`.

    python models/prompt-safety/words.py

The fold guesses masked, joined and mistyped words with them, and tells a text's language. Only words that are written
small are counted, and German nouns: what else has a capital is a name. Japanese and Chinese write no words apart.
Whoever ships another list raises `fold.VERSION`, by which a receipt names it.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import generate

OUT = generate.HERE.parent.parent / "guardrail" / "inference" / "heads" / "prompt_words.txt"
LANGUAGES = (*generate.LATIN, "ru", "ar", "ko")
# Templates that a word must be in, and the most words of a language: rarer ones are as often slips and names.
FEWEST, MOST = 2, 6000
LONGEST = 24
WORD = re.compile(r"[^\W\d_]+")
HEADER = """\
# Words that people write to image tools, most frequent first, a line per language.
# Made from the grammars by models/prompt-safety/words.py.
"""


def texts() -> Iterator[tuple[str, str]]:
    """Language and text of every template, its slots filled once, and of every value that a slot may have."""
    for lang in LANGUAGES:
        slots, templates = generate.read(generate.HERE / "grammar" / f"{lang}.txt")
        known = {**slots, "name": [""], "famous": [""]}
        known.setdefault("num", ["3"])
        for template in templates:
            yield lang, generate.expand(template.text, known, random.Random(template.text))
        for value in (value for values in slots.values() for value in values):
            yield lang, generate.expand(value, known, random.Random(value))


def names() -> set[str]:
    """Given and family names of nobody, as the grammars use them."""
    text = (generate.HERE / "grammar" / "names.txt").read_text("utf-8")
    return {word.lower() for word in WORD.findall(text)}


def counted() -> dict[str, Counter[str]]:
    """In how many texts each word of a language stands."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    people = names()
    for lang, text in texts():
        if text.isupper():
            continue
        found[lang].update(
            {
                match[0].lower()
                for match in WORD.finditer(text)
                if match[0].islower()
                or match[0].lower() == match[0].upper()
                or (lang == "de" and match.start() and match[0][1:].islower() and match[0].lower() not in people)
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    lines = []
    for lang, words in counted().items():
        kept = [word for word, times in words.items() if times >= FEWEST and 1 <= len(word) <= LONGEST]
        kept.sort(key=lambda word: (-words[word], word))
        lines.append(f"{lang}: {' '.join(kept[:MOST])}\n")
    out.write_text(HEADER + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()
