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
# Rows of one public set that teach.
OF_SET = 2000
# The first authors' lines are learned soonest: in each pass half of them are shown.
SOON, SHOWN = ("early", "A third"), 0.5
# Authors of whom the encoders knew nothing when `on.py` let them go on; those of whom they still know nothing are
# STRANGERS of `lesson`.
NEWER = ("A sixteenth", "A nineteenth")
Array = npt.NDArray[Any]


class Lines:
    """Pieces that teach, as arrays.

    `y` and `weights` are (pieces, factors), `own` is true for what was written here, `template` numbers the line of a
    grammar that a piece was made from, `soon` is true for the first authors', `newer` for those of NEWER.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.y, self.weights, self.own = arrays["y"], arrays["weights"], arrays["own"]
        self.template, self.soon, self.newer = arrays["template"], arrays["soon"], arrays["newer"]

    def rows(self, kind: str, longest: int, filler: int) -> tuple[Array, Array]:
        """The tokens of each piece for the encoder of a kind, marks included, and how many it has.

        int32 (pieces, longest) and (pieces,); what is longer loses its middle to keep its end mark.
        """
        ids, ends = self.arrays[f"{kind}.ids"], self.arrays[f"{kind}.ends"]
        counts = np.diff(ends, prepend=0)
        out = np.full((len(ends), longest), filler, np.int32)
        for place in range(longest):
            some = np.flatnonzero(counts > place)
            out[some, place] = ids[ends[some] - counts[some] + place]
        long = np.flatnonzero(counts > longest)
        out[long, -1] = ids[ends[long] - 1]
        return out, np.minimum(counts, longest)

    def draw(self, chance: np.random.Generator) -> Array:
        """Pieces of one pass: one of each template, of those that are learned soon some."""
        order = chance.permutation(len(self.y))
        _, firsts = np.unique(self.template[order], return_index=True)
        kept = order[firsts]
        shown: Array = kept[chance.random(len(kept)) < np.where(self.soon[kept], SHOWN, 1.0)]
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
        newer=np.array([rows[i].group.startswith(NEWER) for i in owner]),
        **flat("first", [[BEGIN, *read.ids(i), END] for i in pieces]),
        **flat("second", [second.ids(read.texts[i]) for i in pieces]),
    )
    print(f"{len(pieces)} pieces, {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
