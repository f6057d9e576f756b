"""The words everything else is said in: requests, artifacts, signals, evidence, decisions, receipts.

All of it is plain data without behaviour that could fail. Scores are probabilities in [0, 1]; a score that
is not known is never a number, it is an `error`.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any, Protocol, TypeVar

from blake3 import blake3

T = TypeVar("T")


class Action(IntEnum):
    """What is done with a request. Ordered: the strictest of several wins."""

    ALLOW = 0
    FLAG = 1
    HOLD = 2
    BLOCK = 3

    @property
    def word(self) -> str:
        """The action as it is written in policies, records and headers: "allow", "flag", "hold", "block"."""
        return _WORDS[self]

    @property
    def refuses(self) -> bool:
        """True when the caller gets a refusal instead of an answer."""
        return self >= Action.HOLD


_WORDS = tuple(action.name.lower() for action in Action)  # a look-up of `name` takes as long as a whole rule


class Kind(StrEnum):
    """What an artifact is; the part of a signal's name before the dot."""

    PROMPT = "prompt"
    INPUT = "input"
    OUTPUT = "output"
    PAIR = "pair"


class Stage(StrEnum):
    """How far a request had come when it was decided."""

    PROMPT = "prompt"
    INPUT = "input"
    OUTPUT = "output"


class Artifact:
    """One thing to look at: a text, or the encoded bytes of a picture.

    `kind` is PROMPT, INPUT or OUTPUT (masks, mark-up layers and previews are INPUT or OUTPUT too); `slot` says
    where it stood in the request or answer: "prompt", "image[0]", "mask", "data[1]", "partial[0]".
    Exactly one of `text` and `data` is set. The receipt says of it, besides scores, its `notes` and its `remarks`,
    never the content. A note is true of these very bytes whoever sends them ("8 of 40 frames", "bytes after the end of
    the picture"): a check or the decoder makes it, and it is remembered with their verdict. A remark is true of this
    request alone ("latents was not looked at"), and is forgotten with it. `fault` says why a picture could not be read
    at all, once that was tried.
    """

    def __init__(self, kind: Kind, slot: str, *, text: str | None = None, data: bytes | None = None) -> None:
        if (text is None) == (data is None):
            raise ValueError(f"artifact {slot}: exactly one of text and data is expected")
        self.kind = kind
        self.slot = slot
        self.text = text
        self.data = data
        self.notes: tuple[str, ...] = ()
        self.remarks: tuple[str, ...] = ()
        self.fault: str | None = None
        self._memo: dict[str, Any] = {}
        self._lock = threading.RLock()

    @property
    def content(self) -> bytes:
        """The bytes of the picture, or the text in UTF-8."""
        if self.text is not None:
            return self.text.encode("utf-8", "surrogatepass")
        return self.data or b""

    @cached_property
    def digest(self) -> bytes:
        """BLAKE3 of the content, 32 bytes: a quarter of the time that SHA-256 takes. Not keyed: keep it inside the
        process, records hold keyed ones."""
        return blake3(self.content).digest()

    @cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the content, as hash lists exchange it. Not keyed either."""
        return hashlib.sha256(self.content).digest()

    def once(self, key: str, make: Callable[[], T]) -> T:
        """Compute `make()` the first time and share it: one decode, one face search, for every check.

        A `make` that raises is not remembered; the next caller tries again and gets the same error itself.
        """
        with self._lock:
            if key not in self._memo:
                self._memo[key] = make()
            found: T = self._memo[key]
            return found

    def __repr__(self) -> str:  # never the content
        size = len(self.text) if self.text is not None else len(self.data or b"")
        return f"Artifact({self.kind.value}, {self.slot}, {size} {'characters' if self.text is not None else 'bytes'})"


@dataclass(frozen=True)
class Pair:
    """An input picture beside an output picture of the same request."""

    input: Artifact
    output: Artifact
    kind: Kind = field(default=Kind.PAIR, init=False)

    @property
    def slot(self) -> str:
        return f"{self.input.slot}>{self.output.slot}"

    @property
    def digest(self) -> bytes:
        return blake3(self.input.digest + self.output.digest).digest()


Subject = Artifact | Pair


@dataclass(frozen=True)
class Unknown:
    """A factor that a check could not tell, and why: "face too small", never the content."""

    why: str


class Check(Protocol):
    """Looks at subjects of its kinds and says what it sees; knows no HTTP, policy, threads or deadlines.

    `score` returns one mapping per subject of the batch, with one entry for each of `factors`: a probability in
    [0, 1] or `Unknown`. The signal's name is "<kind>.<factor>". It may raise CheckError for what it cannot read.
    A subject's score must not depend on its batch mates. `score` is called from several threads at once.

    A check that takes microseconds may also have `light = True`: where all checks of a kind have it, they are asked on
    the event loop itself, without a worker and without a deadline.
    """

    @property
    def name(self) -> str: ...
    @property
    def kinds(self) -> frozenset[Kind]: ...
    @property
    def factors(self) -> frozenset[str]: ...
    @property
    def models(self) -> tuple[str, ...]:
        """What it judges with, for the receipt: "yunet@8f2383e4", "fold@1"."""
        ...

    def score(self, batch: Sequence[Any]) -> Sequence[Mapping[str, float | Unknown]]: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """One named score about one artifact or pair. Exactly one of `score` and `error` is set."""

    name: str
    slot: str
    check: str
    score: float | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if (self.score is None) == (self.error is None):
            raise ValueError(f"signal {self.name}: exactly one of score and error is expected")
        if self.score is not None and not (math.isfinite(self.score) and 0.0 <= self.score <= 1.0):
            raise ValueError(f"signal {self.name}: a score lies in [0, 1]")


@dataclass(frozen=True)
class Evidence:
    """All signals of one request so far. A name may occur often: once per artifact, face pair or frame."""

    signals: tuple[Signal, ...] = ()

    def plus(self, more: Iterable[Signal]) -> Evidence:
        return Evidence((*self.signals, *more))

    def scores(self) -> dict[str, float]:
        """The highest score of each name; names that are only unknown are left out."""
        highest: dict[str, float] = {}
        for signal in self.signals:
            if signal.score is not None and signal.score >= highest.get(signal.name, 0.0):
                highest[signal.name] = signal.score
        return highest

    def errors(self) -> dict[str, str]:
        """Why a name could not be told, for each name with at least one unknown; the first reason seen."""
        why: dict[str, str] = {}
        for signal in self.signals:
            if signal.error is not None:
                why.setdefault(signal.name, signal.error)
        return why


@dataclass(frozen=True)
class Reason:
    """A rule that spoke: what it did, and the scores that made it (None for a signal that could not be told).

    One that does not act (`acts` False) is in shadow: it says what it would have done.
    """

    rule: str
    action: Action
    saw: Mapping[str, float | None]
    says: str = ""
    unknown: bool = False
    acts: bool = True


@dataclass(frozen=True)
class Decision:
    """The action, and every reason that produced it.

    `action` is what is done; `would` is what the policy said: stricter where the policy is in shadow, milder where the
    guard itself turned the request back.
    `policy` is "name@digest". `stage` is the furthest stage whose evidence was judged.
    """

    action: Action
    reasons: tuple[Reason, ...]
    policy: str
    evidence: Evidence = field(default_factory=Evidence)
    would: Action | None = None
    stage: Stage = Stage.PROMPT
    receipt: Receipt | None = None
    took_ms: float = 0.0

    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of the rules that acted with the decision's own action, in their order and without repeats."""
        return tuple(dict.fromkeys(r.rule for r in self.reasons if r.acts and r.action == self.action))


@dataclass(frozen=True)
class Look:
    """One artifact in a receipt: which checks scored it, and which could not."""

    slot: str
    kind: Kind
    digest: str
    checked: tuple[str, ...]
    unchecked: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Receipt:
    """What was looked at and with what: goes out with every answer and into the record.

    `id` names the record. `models` are the "name@digest" of everything that scored; `absent` says which checks
    were not there at all, and why. `recorded` is False only where the operator runs without a required audit.
    """

    id: str
    policy: str
    looks: tuple[Look, ...]
    models: tuple[str, ...]
    absent: Mapping[str, str]
    recorded: bool = True


@dataclass(frozen=True)
class Request:
    """What was asked, in no generator's dialect."""

    texts: tuple[Artifact, ...]
    inputs: tuple[Artifact, ...]
    count: int = 1
    tenant: str = "default"
    subject: str | None = None
    stream: bool = False
    clamped: tuple[str, ...] = ()

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return (*self.texts, *self.inputs)


# The contract between checks, policy, audit, evaluation and console: every signal that the built-in checks give.
# `*.concept.<name>` comes on top where the operator brings CLIP weights, `*.known.<bank>` where there are named banks.
SIGNALS: Mapping[str, str] = {
    "prompt.sexual": "the text asks for sexual or nude content",
    "prompt.undress": "the text asks to remove, shrink or see through the clothes of a person who is there",
    "prompt.revealing": "the text asks for lingerie, swimwear, sheer or suggestive dress without nudity",
    "prompt.person": "the text names or points at a real person",
    "prompt.minor": "someone in the text is or may be under 18",
    "prompt.evasion": "the text was disguised; strength of the disguise",
    "input.person": "a person is visible in an input picture",
    "input.photo": "an input picture is photographic rather than drawn",
    "input.exposure": "bare skin and nudity in an input: 0 none, 0.33 suggestive, 0.66 partly nude, 1 explicit",
    "input.minor": "a person visible in an input picture may be under 18",
    "input.protected": "a face of the registry of protected persons is in an input picture",
    "input.known": "an input picture matches the block bank",
    "output.person": "a person is visible in an output picture",
    "output.photo": "an output picture is photographic rather than drawn",
    "output.exposure": "bare skin and nudity in an output: 0 none, 0.33 suggestive, 0.66 partly nude, 1 explicit",
    "output.minor": "a person visible in an output picture may be under 18",
    "output.protected": "a face of the registry of protected persons is in an output picture",
    "output.known": "an output picture matches the block bank",
    "pair.same_face": "an output picture shows a face of an input picture",
    "pair.exposure_increase": "exposure of output minus that of input, where the same face or body region is shown",
}
