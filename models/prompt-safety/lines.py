"""What teaches the encoders in one pass: texts as token ids, labels and weights by factor, in one file.

    python models/prompt-safety/lines.py --shared FOLDER --out FILE [--weights FOLDER] [--cache FOLDER]

`tune.py` needs this file and the published weights and nothing else, on whichever machine it runs. It holds token ids
of public prompts, which stay outside the repository, and so does the file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SEED = 7
# Pieces of one template that teach in one pass, and rows of one public set in all.
OF_TEMPLATE, OF_SET = 1, 1000
# The first authors' lines are learned soonest: in each pass half of them are shown.
SOON, SHOWN = ("early", "A third"), 0.5
# Whose lines an encoder that goes on from the change that ships has not seen.
NEWEST = "An eighth"
KINDS = ("first", "second")
Array = npt.NDArray[Any]


class Lines:
    """Pieces that teach, as arrays.

    `y` and `weights` are (pieces, factors), `own` is true for what was written here, `template` numbers the line of a
    grammar that a piece was made from, `soon` is true for the first authors' and `newest` for the last one's.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.y, self.weights, self.own = arrays["y"], arrays["weights"], arrays["own"]
        self.template, self.soon, self.newest = arrays["template"], arrays["soon"], arrays["newest"]

    def ids(self, kind: str) -> list[list[int]]:
        """The tokens of each piece for the encoder of a kind, marks included."""
        ends = self.arrays[f"{kind}.ends"]
        parts: list[list[int]] = [one.tolist() for one in np.split(self.arrays[f"{kind}.ids"], ends[:-1])]
        return parts

    def draw(self, chance: np.random.Generator, known: float = 1.0) -> Array:
        """Pieces of one pass: of each template OF_TEMPLATE at most, of those that are learned soon some.

        `known` is the share of the others to be shown beside the newest author's.
        """
        order = chance.permutation(len(self.y))
        _, place = np.unique(self.template[order], return_inverse=True)
        ranked = np.argsort(place, kind="stable")
        firsts = np.r_[0, np.flatnonzero(np.diff(place[ranked])) + 1]
        rank = np.arange(len(order)) - np.repeat(firsts, np.diff(np.r_[firsts, len(order)]))
        kept = order[ranked[rank < OF_TEMPLATE]]
        likely = np.where(self.newest[kept], 1.0, known * np.where(self.soon[kept], SHOWN, 1.0))
        shown: Array = kept[chance.random(len(kept)) < likely]
        return shown

    @classmethod
    def load(cls, file: Path) -> Lines:
        with np.load(file, allow_pickle=False) as archive:
            return cls(dict(archive))


def flat(kind: str, sequences: Sequence[Sequence[int]]) -> dict[str, Array]:
    """Token ids one after the other, and where each text ends."""
    ids = np.concatenate([np.array(one, np.int32) for one in sequences])
    return {f"{kind}.ids": ids, f"{kind}.ends": np.cumsum([len(one) for one in sequences])}


def main() -> None:
    # What reads texts is needed here alone, not where a file of lines is learned.
    import data
    import lesson
    import reading

    from guardrail.inference.text.encoder import BEGIN, END

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    started = time.time()
    models = reading.models(args.weights)
    reader, second = reading.first_reader(models), reading.second_encoder(models)
    rows = [row for part in data.everything(args.shared, reader.lexicon) for row in part]
    read = reading.read(rows, reader, args.cache)
    lessons = lesson.Lesson(rows, read.words, read.owner, reader.lexicon.names, np.ones(len(read.owner), bool))
    use = lessons.taught & ~lessons.aside
    chance = np.random.default_rng(SEED)
    for origin in sorted(set(lessons.origins[use]) - {"grammar"}):
        where = np.flatnonzero(use & (lessons.origins == origin))
        use[chance.permutation(where)[OF_SET:]] = False
    weights = lessons.weights(use)
    pieces = np.flatnonzero(weights.any(axis=1))
    share = weights[pieces] / weights.sum(axis=0)
    owner = read.owner[pieces]
    template = np.array([rows[i].template or f"{i}" for i in owner])
    np.savez_compressed(
        args.out,
        y=lessons.y[pieces],
        weights=np.minimum(share * len(pieces), 20).astype(np.float32),
        own=lessons.origins[owner] == "grammar",
        template=np.unique(template, return_inverse=True)[1].astype(np.int32),
        soon=np.array([rows[i].group.startswith(SOON) for i in owner]),
        newest=np.array([rows[i].group.startswith(NEWEST) for i in owner]),
        **flat("first", [[BEGIN, *read.ids(i), END] for i in pieces]),
        **flat("second", [second.ids(read.texts[i]) for i in pieces]),
    )
    print(f"{len(pieces)} pieces, {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
