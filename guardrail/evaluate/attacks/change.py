"""How much an attack changed: characters of texts, levels of pixels. What its cost is measured by."""

from __future__ import annotations

import numpy as np
from PIL import Image

from guardrail.errors import CheckError
from guardrail.evaluate.attacks import pictures
from guardrail.evaluate.rows import Picture, Row

LONGEST = 4000
"""Characters of a text whose distance is counted; a longer one counts by its first so many."""
SIDE = 256
"""Pixels of the longer edge that two pictures are compared at."""


def of(row: Row, attacked: Row) -> float:
    """Characters of texts that were changed, added or lost; for pictures the mean change of a pixel, of 255.

    The parts that a text was cut into count as lines of one text. A picture that can't be read counts as unchanged.
    """
    if row.texts != attacked.texts:
        return float(distance("\n".join(row.texts), "\n".join(attacked.texts)))
    shown = zip((*row.inputs, *row.outputs), (*attacked.inputs, *attacked.outputs), strict=True)
    return max((levels(one, other) for one, other in shown if one != other), default=0.0)


def distance(one: str, other: str) -> int:
    """Levenshtein's distance in characters: the least number of insertions, losses and changes.

    A column of the table of all prefixes is two numbers of a bit a character (Myers 1999, as Hyyrö 2003 has it).
    """
    one, other = one[:LONGEST], other[:LONGEST]
    if not one:
        return len(other)
    places: dict[str, int] = {}
    for at, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << at
    whole, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    rises, falls, told = whole, 0, len(one)
    for letter in other:
        same = places.get(letter, 0)
        flat = (((same & rises) + rises) ^ rises) | same
        up, down = (falls | ~(flat | rises)) & whole, rises & flat
        told += 1 if up & last else -1 if down & last else 0
        up, down = (up << 1 | 1) & whole, down << 1 & whole
        rises, falls = (down | ~(same | falls | up)) & whole, up & (same | falls)
    return told


def levels(one: Picture, other: Picture) -> float:
    """The mean absolute difference of two pictures, of 255, both at the first one's shape and on white."""
    try:
        first, second = pictures.opened(one), pictures.opened(other)
    except CheckError:
        return 0.0
    first.thumbnail((SIDE, SIDE))
    gap = np.asarray(first, np.float32) - np.asarray(second.resize(first.size, Image.Resampling.BILINEAR), np.float32)
    return float(np.abs(gap).mean())
