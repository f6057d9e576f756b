"""Known pictures: is this one of the block bank, or a copy of one?

Every frame that can be shown is looked up by its PDQ hash in all eight turned and mirrored positions, and the file
itself by its SHA-256. With an empty bank nothing is known; the score is then 0.0 and the receipt says `bank@0`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from guardrail.checks import Tools
from guardrail.checks.bank import NOTHING, Bank, Hashes
from guardrail.checks.store import POLL_S, Watched
from guardrail.errors import CheckError
from guardrail.inference import pdq
from guardrail.inference.image import picture
from guardrail.types import Artifact, Kind, Unknown

FOLDER = "bank"


def probability(distance: int) -> float:
    """Probability that two pictures this many bits apart are copies: 1.0 at 0, 0.5 at MATCH_BITS, 0.0 beyond.

    A straight line between the two ends that are known: equal hashes, and the distance at which PDQ's authors still
    speak of a match. It orders matches; it was not measured on real cases.
    """
    return 1.0 - 0.5 * distance / pdq.MATCH_BITS if distance <= pdq.MATCH_BITS else 0.0


class KnownImage:
    """Scores how probable it is that the picture is one of the bank: the nearest hash counts.

    A frame with too little in it to have a usable hash (flat, nearly black) matches nothing but its exact file.
    """

    name = "known"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"known"})

    def __init__(self, bank: Bank, *, every_s: float = POLL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._hashes = Watched(bank.file, bank.hashes, NOTHING, every_s=every_s, clock=clock)

    @classmethod
    def open(cls, tools: Tools) -> KnownImage:
        """Raises ConfigError when the bank is there and cannot be read."""
        return cls(Bank(tools.home / FOLDER))

    @property
    def models(self) -> tuple[str, ...]:
        """ "pdq@1" and the bank with its revision, "bank@7"; a verdict is never remembered past a change."""
        try:
            hashes = self._hashes.get()
        except CheckError:
            return ("pdq@1", "bank@unreadable")
        return ("pdq@1", f"bank@{hashes.revision if len(hashes) else 0}")

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        """Raises CheckError when the bank can no longer be read."""
        hashes = self._hashes.get()
        return [{"known": self._score(artifact, hashes)} for artifact in batch]

    def _score(self, artifact: Artifact, hashes: Hashes) -> float | Unknown:
        if not len(hashes):
            return 0.0
        if artifact.sha256 in hashes.digests:
            return 1.0
        try:
            frames = picture(artifact).frames
        except CheckError as error:
            return Unknown(str(error))
        nearest = min((self._nearest(pdq.pixels(frame), hashes) for frame in frames), default=None)
        return Unknown("no frame of the picture could be shown") if nearest is None else probability(nearest)

    @staticmethod
    def _nearest(rgb: pdq.Pixels, hashes: Hashes) -> int:
        if not hashes.words.shape[1]:
            return pdq.BITS
        return min((hashes.nearest(one.bits) for one in pdq.turned(rgb) if one.usable), default=pdq.BITS)
