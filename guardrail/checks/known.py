"""Known pictures: is this one of the block bank, or a copy of one?

Every frame that is looked at, if only at a glance, is looked up by its PDQ hash in all eight turned and mirrored
positions, and the file itself by its SHA-256. With an empty bank nothing is known; the score is then 0.0 and the
receipt says `bank@0`.

There is one common bank, and as many named ones as the operator opens. A named bank gives a factor of its own
(`known.acme`), so whose bank stops whose pictures is a policy's word: a tenant's policy reads the common one and its
own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from guardrail.checks import Tools
from guardrail.checks.bank import Bank
from guardrail.checks.hashes import NOTHING, Hashes
from guardrail.checks.store import POLL_S, Watched
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.image import pdq
from guardrail.inference.image.decode import picture
from guardrail.types import Artifact, Kind, Unknown

FOLDER = "bank"
BANK_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
MAX_BANKS = 64
"""Named banks of one server: each is looked up for every picture."""


def bank_of(home: Path, name: str | None = None) -> Bank:
    """The common bank of a home folder, or the one called `name`. Raises ConfigError when it cannot be read."""
    if name is None:
        return Bank(home / FOLDER)
    if not BANK_NAME.fullmatch(name):
        raise ConfigError(
            f"bank {name[:40]!r}: a name has 1 to 32 lower-case letters, digits and hyphens, as it stands in a signal"
        )
    return Bank(home / FOLDER / name)


def probability(distance: int) -> float:
    """Probability that two pictures this many bits apart are copies: 1.0 at 0, 0.5 at MATCH_BITS, 0.0 beyond.

    A straight line between the two ends that are known: equal hashes, and the distance at which PDQ's authors still
    speak of a match. It orders matches; it was not measured on real cases.
    """
    return 1.0 - 0.5 * distance / pdq.MATCH_BITS if distance <= pdq.MATCH_BITS else 0.0


class KnownImage:
    """Scores how probable it is that the picture is one of a bank: the nearest hash counts.

    A frame with too little in it to have a usable hash (flat, nearly black) matches nothing but its exact file.
    `named` are the banks beside the common one, by name.
    """

    name = "known"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"known"})

    def __init__(
        self,
        bank: Bank,
        named: Mapping[str, Bank] | None = None,
        *,
        every_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        banks = {"known": bank, **{f"known.{name}": one for name, one in (named or {}).items()}}
        self._banks = {
            factor: Watched(one.file, one.hashes, NOTHING, every_s=every_s, clock=clock)
            for factor, one in banks.items()
        }
        self.factors = frozenset(banks)

    @classmethod
    def open(cls, tools: Tools) -> KnownImage:
        """`checks.options.known.banks` lists the named banks.

        Raises ConfigError when a bank is there and cannot be read, or an option is wrong.
        """
        stray = sorted(set(tools.options) - {"banks"})
        if stray:
            raise ConfigError(f"checks.options.known: no option {stray[0]!r}; there is `banks`, a list of names")
        names = tools.options.get("banks", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > MAX_BANKS:
            raise ConfigError(f"checks.options.known.banks: a list of at most {MAX_BANKS} names is expected")
        return cls(bank_of(tools.home), {name: bank_of(tools.home, name) for name in names})

    @property
    def models(self) -> tuple[str, ...]:
        """ "pdq@1" and each bank with its revision, "bank@7", "bank.acme@3"; no verdict is remembered past a change."""
        return ("pdq@1", *(_label(factor, bank) for factor, bank in self._banks.items()))

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        """Raises CheckError when no bank can be read any longer; where one of several can't, its factor is unknown."""
        held = {factor: _held(bank) for factor, bank in self._banks.items()}
        if all(isinstance(one, Unknown) for one in held.values()):
            raise CheckError(next(one.why for one in held.values() if isinstance(one, Unknown)))
        return [self._score(artifact, held) for artifact in batch]

    def _score(self, artifact: Artifact, held: Mapping[str, Hashes | Unknown]) -> dict[str, float | Unknown]:
        said: dict[str, float | Unknown] = {}
        looked_up: dict[str, Hashes] = {}
        for factor, hashes in held.items():
            if isinstance(hashes, Unknown):
                said[factor] = hashes
            elif len(hashes.digests) and hashes.has(artifact.sha256):
                said[factor] = 1.0
            else:
                said[factor] = 0.0
                if len(hashes):
                    looked_up[factor] = hashes
        if not looked_up:
            return said
        try:
            found = picture(artifact)
        except CheckError as error:
            return {**said, **dict.fromkeys(looked_up, Unknown(str(error)))}
        if not found.frames:
            return {**said, **dict.fromkeys(looked_up, Unknown("no frame of the picture could be shown"))}
        if any(len(hashes.words) for hashes in looked_up.values()):
            eight = [*map(pdq.turned, found.frames), *(pdq.turned(one, glimpse=True) for one in found.glimpses)]
            turned = [one.bits for each in eight for one in each if one.usable]
            said |= {factor: probability(hashes.nearest(*turned)) for factor, hashes in looked_up.items()}
        return said


def _held(bank: Watched[Hashes]) -> Hashes | Unknown:
    try:
        return bank.get()
    except CheckError as error:
        return Unknown(str(error))


def _label(factor: str, bank: Watched[Hashes]) -> str:
    hashes = _held(bank)
    name = factor.replace("known", "bank", 1)
    if isinstance(hashes, Unknown):
        return f"{name}@unreadable"
    return f"{name}@{hashes.revision if len(hashes) else 0}"
