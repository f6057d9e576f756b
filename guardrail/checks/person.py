"""Protected persons: who they are in the operator's words, and their faces as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError

Vector = npt.NDArray[np.float32]

WIDTH = 128
"""Numbers in a template: the width of the face embedding."""


@dataclass(frozen=True)
class Template:
    """One face as the embedding model sees it: a unit vector of WIDTH float32, and whether it is a child's."""

    vector: Vector = field(repr=False)
    child: bool = False

    @classmethod
    def of(cls, numbers: object, *, child: bool = False, named: str = "template") -> Template:
        """A template from WIDTH finite numbers that are not all zero, brought to length 1.

        `named` says in the message where the numbers came from. Raises ConfigError.
        """
        try:
            vector = np.asarray(numbers, dtype=np.float64)
        except (TypeError, ValueError):
            raise ConfigError(f"{named}: {WIDTH} numbers are expected, this is something else") from None
        vector = vector.reshape(-1) if vector.shape == (1, WIDTH) else vector
        if vector.shape != (WIDTH,):
            raise ConfigError(f"{named}: {WIDTH} numbers are expected, its shape is {vector.shape}")
        length = float(np.linalg.norm(vector))
        if not math.isfinite(length) or length < 1e-6:
            raise ConfigError(f"{named}: a face template has finite numbers that are not all zero")
        return cls((vector / length).astype(np.float32), child)


@dataclass(frozen=True)
class Person:
    """A protected person. The words in it are the operator's own and stay out of messages, logs and reprs.

    `label` is what the operator calls the person, `group` a set of persons ("staff"), `consent` refers to where the
    consent or the mandate is kept, `contact` is who asked for it and is told of removals. `expires` ends protection.
    """

    id: str
    label: str = field(repr=False)
    created: datetime
    group: str = field(default="", repr=False)
    consent: str = field(default="", repr=False)
    contact: str = field(default="", repr=False)
    expires: datetime | None = None
    templates: int = 0
    child: bool = False

    def in_force(self, now: datetime) -> bool:
        """True until `expires`."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True)
class Templates:
    """All templates as one matrix, as a server holds them in memory. Row i is `vectors[i]`, of a person's face.

    `vectors` is float32 (n, WIDTH) of unit rows, `child` bool (n,), `until` float64 (n,): the moment in seconds since
    1970 at which protection ends, inf for never.
    """

    vectors: Vector = field(repr=False)
    child: npt.NDArray[np.bool_] = field(repr=False)
    until: npt.NDArray[np.float64] = field(repr=False)
    people: int
    revision: int
    _later: tuple[float, Templates] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def none(cls) -> Templates:
        return cls(np.zeros((0, WIDTH), np.float32), np.zeros(0, np.bool_), np.zeros(0), people=0, revision=0)

    @cached_property
    def soonest(self) -> float:
        """When the first of the templates expires, in seconds since 1970; inf when none does."""
        return float(self.until.min()) if len(self.until) else math.inf

    @cached_property
    def has_children(self) -> bool:
        """True when a template is a child's."""
        return bool(self.child.any())

    def at(self, now_s: float) -> Templates:
        """Those that are in force at `now_s`, in seconds since 1970: itself where none has expired.

        The last answer is kept until the next of them expires: every picture asks several times, of a large matrix.
        """
        if now_s < self.soonest:
            return self
        since, left = self._later or (math.inf, self)
        if not since <= now_s < left.soonest:
            keep = self.until > now_s
            left = Templates(self.vectors[keep], self.child[keep], self.until[keep], self.people, self.revision)
            object.__setattr__(self, "_later", (now_s, left))
        return left

    def __len__(self) -> int:
        return len(self.vectors)
