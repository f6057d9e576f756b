"""Attacks: ways to say or show the same so that a score falls. Each is a function of a text or a picture and a seed.

They measure what is left of a guard under disguise; none of them says how well a generator still reads the result.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from blake3 import blake3

from guardrail.errors import ConfigError
from guardrail.evaluate.attacks import pictures, texts
from guardrail.evaluate.rows import Picture, Row

Step = Callable[[Row, random.Random], Row]


@dataclass(frozen=True)
class Attack:
    """One attack, or several one after the other ("homoglyphs+spacing"). `says` is a line for whoever reads a list."""

    name: str
    says: str
    kind: str
    steps: tuple[Step, ...]

    def row(self, row: Row, seed: int) -> Row:
        """The row attacked; the same for the same row and seed, whatever rows stand around it."""
        for number, step in enumerate(self.steps):
            row = step(row, chance(f"{seed}:{self.name}:{number}:{row.id}"))
        return row


def chance(seed: str) -> random.Random:
    """A source of chance that is the same on every machine and version."""
    return random.Random(int.from_bytes(blake3(seed.encode("utf-8", "surrogatepass")).digest(8), "big"))


def _text(change: texts.Change) -> Step:
    return lambda row, source: replace(row, texts=tuple(change(text, source) for text in row.texts))


def _parts(split: texts.Split) -> Step:
    return lambda row, source: replace(row, texts=tuple(part for text in row.texts for part in split(text, source)))


def _picture(change: pictures.Change) -> Step:
    def all_of(shown: tuple[Picture, ...], source: random.Random) -> tuple[Picture, ...]:
        return tuple(pictures.changed(one, change, source) for one in shown)

    def step(row: Row, source: random.Random) -> Row:
        if row.outputs:
            return replace(row, outputs=all_of(row.outputs, source))
        return replace(row, inputs=all_of(row.inputs, source))

    return step


def _first_line(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


ATTACKS: dict[str, Attack] = {
    **{name: Attack(name, _first_line(one), "text", (_text(one),)) for name, one in texts.CHANGES.items()},
    **{name: Attack(name, _first_line(one), "text", (_parts(one),)) for name, one in texts.SPLITS.items()},
    **{name: Attack(name, _first_line(one), "picture", (_picture(one),)) for name, one in pictures.CHANGES.items()},
}


def find(name: str) -> Attack:
    """The attack of that name, or several joined with "+". Raises ConfigError for an unknown one."""
    parts = [part.strip() for part in name.split("+")]
    unknown = [part for part in parts if part not in ATTACKS]
    if unknown:
        raise ConfigError(f"no attack is called {unknown[0]!r}; there are {', '.join(ATTACKS)}")
    chosen = [ATTACKS[part] for part in parts]
    if len({one.kind for one in chosen}) > 1:
        raise ConfigError(f"attack {name}: attacks on texts and on pictures can't be joined")
    if len(chosen) == 1:
        return chosen[0]
    said = "; then ".join(one.says.rstrip(".") for one in chosen)
    return Attack("+".join(parts), said, chosen[0].kind, tuple(step for one in chosen for step in one.steps))


def for_task(task: str) -> Sequence[Attack]:
    """Every single attack on what the rows of a task hold."""
    kind = "picture" if task in {"image", "pair"} else "text"
    return [attack for attack in ATTACKS.values() if attack.kind == kind]
