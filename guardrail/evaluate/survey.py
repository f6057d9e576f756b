"""Surveys: one pass over a whole suite before anything is scored, so that whatever is wrong with it is said at once."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3

from guardrail.errors import ConfigError
from guardrail.evaluate.rows import Row
from guardrail.evaluate.suite import Suite

MOST_PROBLEMS = 20
"""Kinds of fault that are told apart, and rows that are named of each."""
BLOCK_BYTES = 1 << 20
"""What is read of a picture at once."""
_OTHER = "other faults"


@dataclass(frozen=True)
class Survey:
    """What a suite holds, from one pass over all of it: rows, those with a fault, labels of each factor, slices."""

    digest: str
    rows: int
    faults: int
    labels: Mapping[str, tuple[int, int]]
    slices: Mapping[str, Mapping[str, int]]


def survey(suite: Suite) -> Survey:
    """Read the whole suite once and check it.

    Raises ConfigError with the place of everything that is wrong: a column that is missing, an id that is there
    twice, a label outside its set, a slice that is declared and empty, a factor that no row is labelled with, and a
    digest that is not the one that `suite.yaml` names. A picture that is missing is no error: it is counted.
    """
    digest = hashlib.sha256()
    said: dict[str, tuple[list[str], int]] = {}
    wrong = count = faults = 0
    hashes = array("Q")  # eight bytes a row: ids themselves would be the only thing here that grows with them
    labels = {factor: [0, 0] for factor in suite.factors}
    slices: dict[str, Counter[str]] = {name: Counter() for name in suite.declared}
    for place, made in suite.made():
        if isinstance(made, str):
            wrong += 1
            words = made if made in said or len(said) < MOST_PROBLEMS else _OTHER
            places, times = said.get(words, ([], 0))
            said[words] = ([*places, place][:MOST_PROBLEMS], times + 1)
            continue
        count += 1
        faults += made.fault is not None
        hashes.append(_hash(made.id))
        digest.update(canonical(made))
        for factor, label in made.labels.items():
            labels[factor][label] += 1
        for name, value in made.slices.items():
            slices.setdefault(name, Counter())[value] += 1
    problems = _wrong(said)
    problems += _twice(suite, hashes)
    if not count and not wrong:
        problems.append("no row at all")
    elif not wrong:
        problems += _empty(suite, labels, slices) + _unseen(suite, slices.get("kind", {}))
    found = digest.hexdigest()
    if suite.digest is not None and not problems and suite.digest != found:
        problems.append(
            f"the rows have the digest {found}, suite.yaml expects {suite.digest}: they are not those it was made for"
        )
    if problems:
        raise ConfigError(f"suite {suite.id}:\n  " + "\n  ".join(problems))
    return Survey(
        found,
        count,
        faults,
        {factor: (none, some) for factor, (none, some) in labels.items()},
        {name: dict(sorted(values.items())) for name, values in slices.items()},
    )


def _wrong(said: Mapping[str, tuple[Sequence[str], int]]) -> list[str]:
    """What is wrong with rows, the same fault of many rows said once: a wrong column is wrong in each of them."""
    problems = []
    for words, (places, times) in said.items():
        more = f" and {times - len(places)} rows more" if times > len(places) else ""
        problems.append(f"{', '.join(places)}{more}: {words}")
    return problems


def _hash(name: str) -> int:
    return int.from_bytes(blake3(name.encode("utf-8", "surrogatepass")).digest(8), "big")


def canonical(row: Row) -> bytes:
    """A row as the digest of a suite counts it; a picture counts by its bytes, and by its name where it has one.

    Raises OSError for a picture that is there and cannot be read.
    """
    return (
        json.dumps(
            [
                row.id,
                dict(row.labels),
                dict(row.slices),
                row.group,
                row.texts,
                [_counted(one) for one in row.inputs],
                [_counted(one) for one in row.outputs],
                row.fault,
            ],
            sort_keys=True,
        ).encode()
        + b"\n"
    )


def _counted(picture: Path | bytes) -> str:
    if isinstance(picture, bytes):
        return blake3(picture).hexdigest()
    digest = blake3()
    try:
        with picture.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return picture.name  # the row has a fault that says so
    return f"{picture.name} {digest.hexdigest()}"


def _twice(suite: Suite, hashes: array[int]) -> list[str]:
    every = np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
    values, counts = np.unique(every, return_counts=True)
    doubled = {int(value) for value in values[counts > 1]}
    if not doubled:
        return []
    first: dict[str, str] = {}
    problems = []
    for place, made in suite.made():
        if isinstance(made, str) or _hash(made.id) not in doubled:
            continue
        if made.id in first:
            problems.append(f"{place}: the id {made.id!r} is that of {first[made.id]} too; each row needs its own")
        first.setdefault(made.id, place)
        if len(problems) >= MOST_PROBLEMS:
            break
    return problems


def _unseen(suite: Suite, kinds: Mapping[str, int]) -> list[str]:
    """Scores that are given for rows which there are none of: somebody takes decisions for what they are not."""
    return [
        f"assume {kind}: no row is of that kind; there are {', '.join(sorted(kinds)) or 'none'}"
        for kind in suite.assume
        if kind not in kinds
    ]


def _empty(suite: Suite, labels: Mapping[str, Sequence[int]], slices: Mapping[str, Counter[str]]) -> list[str]:
    return [
        f"factor {factor}: no row is labelled with it; label some, or take it out of suite.yaml"
        for factor, counts in labels.items()
        if not sum(counts)
    ] + [
        f"slice {name}: no row has {value!r}; take it out of suite.yaml, or add rows"
        for name, values in suite.declared.items()
        for value in values
        if not slices[name][value]
    ]
