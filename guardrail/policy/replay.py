"""Replay: what another policy would have done with what was seen before. Stored signals are enough, no pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardrail.policy.decide import decide
from guardrail.policy.model import ACTIONS, Policy
from guardrail.types import Action, Evidence, Signal

MOST_VERSIONS = 100
"""Sets of models that are told apart; a log of years may hold more, and memory must not grow with it."""
OTHER = ("others",)
STREAMING = "streaming"
"""Status of a record that was written before the end of its answer was known; another follows it."""
_BROKEN_OFF = frozenset({STREAMING, "unreadable_input", "turned_away", "failed", "client_gone", "shutdown"})
"""How records of requests end that were decided on less than the records hold."""


@dataclass(frozen=True)
class Stored:
    """One decision as it was recorded, ready to be taken again.

    `parts` is the evidence of each picture that came back, or of the request where none did: each is decided by
    itself and the strictest counts. `old` is what the policy of then said (what it did, unless it was in shadow).
    `cut` says that it was refused before everything was looked at: what was not seen cannot be replayed.
    """

    id: str
    parts: tuple[Evidence, ...]
    old: Action
    rules: frozenset[str]
    policy: str
    models: tuple[str, ...]
    cut: bool = False
    watched: bool = False


@dataclass(frozen=True)
class Labels:
    """What people ruled, against what both policies say: refusing is `hold` or `block`.

    `harmful` were ruled to be blocked and `harmless` to be allowed; `missed_*` are harmful ones let through,
    `refused_*` harmless ones refused.
    """

    harmful: int = 0
    harmless: int = 0
    missed_old: int = 0
    missed_new: int = 0
    refused_old: int = 0
    refused_new: int = 0


@dataclass(frozen=True)
class Difference:
    """A case that the policy decides otherwise than it was decided, and the rules that do so now.

    `partial` where it was refused before everything was looked at and the policy is milder: how it would have gone on
    cannot be known.
    """

    id: str
    old: Action
    new: Action
    rules: tuple[str, ...]
    partial: bool = False


@dataclass
class Version:
    """The cases that one set of models looked at; `partial` are those of `Difference.partial`."""

    models: tuple[str, ...]
    judged: int = 0
    partial: int = 0
    watched: int = 0
    moved: Counter[tuple[Action, Action]] = field(default_factory=Counter)
    gained: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def changed(self) -> int:
        return sum(count for (old, new), count in self.moved.items() if old is not new)


@dataclass(frozen=True)
class Replay:
    """What became of everything: one `Version` for each set of models, in the order they were first seen.

    `differences` are examples, at most so many of each way an action changed. `newest` are the models of the last
    case; figures of others are those of models that no longer judge. `unseen` is what the policy reads and no case
    says anything of: a condition on it held nowhere, whatever the traffic was.
    """

    policy: str
    versions: tuple[Version, ...]
    newest: tuple[str, ...]
    differences: tuple[Difference, ...]
    labels: Labels
    policies: Mapping[str, int]
    unseen: tuple[str, ...] = ()

    @property
    def judged(self) -> int:
        return sum(version.judged for version in self.versions)


def replay(
    policy: Policy, stored: Iterable[Stored], *, rulings: Mapping[str, Action] | None = None, examples: int = 5
) -> Replay:
    """Judge what is stored by `policy`; what it would do counts, also where it is in shadow.

    `rulings` says for the id of a case what it should have been, ALLOW or BLOCK. `stored` may be a stream of any
    length: what is kept grows with the kinds of change, not with the cases.
    """
    judge = policy.in_force()
    versions: dict[tuple[str, ...], Version] = {}
    policies: Counter[str] = Counter()
    kept: dict[tuple[Action, Action], list[Difference]] = {}
    counts: Counter[str] = Counter()
    newest: tuple[str, ...] = ()
    awaited = set(policy.signals)
    for case in stored:
        if awaited:
            awaited.difference_update(signal.name for part in case.parts for signal in part.signals)
        new, rules = strictest(judge, case.parts)
        newest = case.models if case.models in versions or len(versions) < MOST_VERSIONS else OTHER
        version = versions.setdefault(newest, Version(newest))
        version.judged += 1
        version.watched += case.watched
        version.moved[case.old, new] += 1
        version.gained.update(set(rules) - case.rules)
        version.lost.update(case.rules - set(rules))
        policies[case.policy] += 1
        partial = case.cut and new < case.old
        version.partial += partial
        if new is not case.old and len(some := kept.setdefault((case.old, new), [])) < examples:
            some.append(Difference(case.id, case.old, new, rules, partial))
        if rulings and case.id in rulings:
            _count(counts, rulings[case.id], case.old, new)
    return Replay(
        policy.label,
        tuple(versions.values()),
        newest,
        tuple(one for some in kept.values() for one in some),
        Labels(**counts),
        dict(policies),
        _unseen(policy, awaited),
    )


def _unseen(policy: Policy, awaited: Collection[str]) -> tuple[str, ...]:
    """Names that conditions read of which all signals are still awaited, in the order of the policy."""
    read = (condition for rule in policy.rules for condition in rule.when)
    return tuple(dict.fromkeys(one.name for one in read if awaited and set(one.signals) <= set(awaited)))


def strictest(policy: Policy, parts: Iterable[Evidence]) -> tuple[Action, tuple[str, ...]]:
    """The strictest decision of the parts, and every rule that makes it."""
    action = Action.ALLOW
    rules: tuple[str, ...] = ()
    for part in parts:
        decision = decide(policy, part)
        if decision.action > action:
            action, rules = decision.action, decision.rules
        elif decision.action is action and action:
            rules = tuple(dict.fromkeys((*rules, *decision.rules)))
    return action, rules


def _count(counts: Counter[str], should: Action, old: Action, new: Action) -> None:
    harm = should.refuses
    counts["harmful" if harm else "harmless"] += 1
    for word, said in (("old", old), ("new", new)):
        if said.refuses is not harm:
            counts[f"{'missed' if harm else 'refused'}_{word}"] += 1


def stored_of(entry_id: str, action: str, body: Mapping[str, Any]) -> Stored | None:
    """A recorded decision from its action and body, as the pipeline writes them.

    None for what is no whole decision: a record that says how a stream began, or of a request that ended before all of
    it was judged, and a body of another shape.
    """
    receipt, signals = body.get("receipt"), body.get("signals")
    if body.get("status") in _BROKEN_OFF or action not in ACTIONS:
        return None
    if not isinstance(signals, Sequence) or not isinstance(receipt, Mapping):
        return None
    try:
        evidence = tuple(_signal(one) for one in signals)
        reasons = [one for one in body.get("reasons") or () if isinstance(one, Mapping)]
        said = ACTIONS[body.get("would") or action]
        return Stored(
            id=entry_id,
            parts=parts_of(evidence),
            old=said,
            rules=frozenset(str(one["rule"]) for one in reasons if one.get("action") == said.word),
            policy=str(body.get("policy", "?")),
            models=tuple(sorted(str(one) for one in receipt.get("models") or ())),
            cut=said.refuses and any("*" in look["unchecked"] for look in receipt.get("looks") or ()),
            watched=said.word != action,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _signal(told: Sequence[Any]) -> Signal:
    name, slot, check, score, error = told
    return Signal(str(name), str(slot), str(check), score=None if score is None else float(score), error=error)


def parts_of(signals: tuple[Signal, ...]) -> tuple[Evidence, ...]:
    """The signals of each picture that came back with those of the request: how the pipeline decides them."""
    slots = dict.fromkeys(_output(signal) for signal in signals)
    slots.pop("", None)
    if len(slots) < 2:
        return (Evidence(signals),)
    return tuple(Evidence(tuple(one for one in signals if _output(one) in {"", slot})) for slot in slots)


def _output(signal: Signal) -> str:
    """Where the output stood that a signal is about; "" for one about the request."""
    kind = signal.name.partition(".")[0]
    if kind == "pair":
        return signal.slot.rpartition(">")[2]
    return signal.slot if kind == "output" else ""
