"""What a policy is: rules that are conjunctions of thresholds, some of them floors that no tenant goes below.

A policy is plain data and cannot be built with a hole in it: no rules, an empty conjunction and a threshold that
matches everything or nothing are refused here, whether it came from a file or from code.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from guardrail.errors import ConfigError
from guardrail.policy.nodes import Place, PolicyError, Problem, guess, short
from guardrail.types import SIGNALS, Action, Kind

KINDS = tuple(kind.value for kind in Kind)
# Segments are separated by a dot that no segment may hold, so matching is linear.
SIGNAL_NAME = re.compile(r"(?:[a-z]+|\*)\.[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
MAX_NAME = 100
ACTIONS: Mapping[str, Action] = {action.word: action for action in Action}
"""Each action by the word that policies, cases and records have for it."""

Steps = tuple[tuple[int, float, str], ...]


class Mode(StrEnum):
    """Whether a policy acts, or only says what it would have done."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


def expand(pattern: str) -> tuple[str, ...]:
    """The signals that a name stands for: `*.minor` is prompt.minor, input.minor, output.minor and pair.minor."""
    return tuple(f"{kind}{pattern[1:]}" for kind in KINDS) if pattern.startswith("*.") else (pattern,)


@dataclass(frozen=True)
class Reading:
    """One signal, or one wildcard over kinds, that a condition reads, and where the file says so."""

    pattern: str
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Condition:
    """`name` scored at least `at_least`, in (0, 1]. A join reads several signals, any other name itself."""

    name: str
    at_least: float
    readings: tuple[Reading, ...] = ()
    place: Place = field(default=Place(), compare=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.at_least) and 0.0 < self.at_least <= 1.0):
            raise ConfigError(
                f"{self.place}: {self.name} at least {self.at_least:g}: expected above 0 (would match everything) "
                "and at most 1 (scores lie in [0, 1])"
            )
        if not self.readings:
            object.__setattr__(self, "readings", (Reading(self.name, self.place),))

    @cached_property
    def signals(self) -> tuple[str, ...]:
        """Every signal read, sorted and without repeats."""
        return tuple(sorted({name for reading in self.readings for name in expand(reading.pattern)}))


@dataclass(frozen=True)
class Rule:
    """When every condition holds, `action`; when that cannot be told, `on_unknown`.

    A floor is a rule that tenant policies inherit; where it cannot be told it holds at least. A rule that does not
    act (`acts` False) belongs to a policy in shadow: what it says is recorded and not done.
    """

    id: str
    when: tuple[Condition, ...]
    action: Action
    on_unknown: Action = Action.HOLD
    says: str = ""
    floor: bool = False
    acts: bool = True
    place: Place = field(default=Place(), compare=False)

    def __post_init__(self) -> None:
        if not self.when:
            raise ConfigError(f"{self.place}: rule {self.id!r} has no conditions and would match everything")
        if self.action is Action.ALLOW:
            raise ConfigError(f"{self.place}: rule {self.id!r}: 'allow' does nothing, the strictest rule wins")
        if self.floor and self.on_unknown < Action.HOLD:
            object.__setattr__(self, "on_unknown", Action.HOLD)

    @property
    def conditions(self) -> frozenset[tuple[tuple[str, ...], float]]:
        """What is read and how high it must be, whatever the names: two rules with the same are one rule."""
        return frozenset((condition.signals, condition.at_least) for condition in self.when)


@dataclass(frozen=True)
class Plan:
    """A policy with its names bound: each distinct set of signals is a column that evidence is gathered into.

    `readers` maps a signal to the columns that read it; `steps` holds for each rule the (column, threshold,
    name) of its conditions.
    """

    width: int
    readers: dict[str, tuple[int, ...]]
    steps: tuple[tuple[Rule, Steps], ...]


@dataclass(frozen=True)
class Policy:
    """An ordered, versioned set of rules, floors first. Immutable: share it between threads.

    Raises ConfigError when there are no rules, or two of one id.
    """

    name: str
    rules: tuple[Rule, ...]
    on_unknown: Action = Action.HOLD
    mode: Mode = Mode.ENFORCE
    says: str = ""
    source: str = field(default="<policy>", compare=False)

    def __post_init__(self) -> None:
        if not self.rules:
            raise ConfigError(f"{self.source}: policy {self.name!r} has no floors and no rules and would allow all")
        ids: set[str] = set()
        for rule in self.rules:
            if rule.id in ids:
                raise ConfigError(f"{rule.place}: two rules are called {rule.id!r}; give each its own id")
            ids.add(rule.id)

    @property
    def floors(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.floor)

    @cached_property
    def signals(self) -> frozenset[str]:
        """Every signal that some rule reads, wildcards expanded."""
        return frozenset(name for rule in self.rules for condition in rule.when for name in condition.signals)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what the policy says: comments, spacing and places do not count, everything else does."""
        content = {
            "version": 1,
            "name": self.name,
            "mode": self.mode.value,
            "on_unknown": self.on_unknown.word,
            "says": self.says,
            "rules": [_content(rule) for rule in self.rules],
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def label(self) -> str:
        """Name and first eight digits of the digest: "default@1a2b3c4d"."""
        return f"{self.name}@{self.digest[:8]}"

    @cached_property
    def plan(self) -> Plan:
        """Names bound once, so that deciding is two short loops."""
        columns: dict[tuple[str, ...], int] = {}
        for rule in self.rules:
            for condition in rule.when:
                columns.setdefault(condition.signals, len(columns))
        readers: dict[str, list[int]] = {}
        for signals, column in columns.items():
            for name in signals:
                readers.setdefault(name, []).append(column)
        return Plan(
            width=len(columns),
            readers={name: tuple(read_by) for name, read_by in readers.items()},
            steps=tuple(
                (rule, tuple((columns[each.signals], each.at_least, each.name) for each in rule.when))
                for rule in self.rules
            ),
        )

    def require(self, available: Collection[str]) -> None:
        """Refuse to start when a rule names a signal that no loaded check gives.

        `available` holds signal names ("input.person"). A wildcard needs one of the signals it stands for, and each
        of `SIGNALS` of a kind that is looked at at all: a rule about minors must not lose the pictures in silence.
        Raises PolicyError (a ConfigError) that points at each such name.
        """
        there = frozenset(available)
        kinds = {name.partition(".")[0] for name in there}
        problems: dict[Reading, Problem] = {}
        for rule in self.rules:
            for condition in rule.when:
                for reading in condition.readings:
                    signals = expand(reading.pattern)
                    blind = [
                        name
                        for name in signals
                        if name in SIGNALS and name not in there and name.partition(".")[0] in kinds
                    ]
                    never = there.isdisjoint(signals)
                    if not (never or blind):
                        continue
                    through = "" if reading.pattern == condition.name else f" through {condition.name}"
                    reads = f"rule {rule.id!r} reads {short(reading.pattern)}{through}"
                    message = (
                        f"{reads}, which no loaded check gives, so it "
                        f"could never match{guess(reading.pattern, there)}; load the check or remove the rule"
                        if never
                        else f"{reads}, but no loaded check gives {' and '.join(blind)}, so it would be blind there; "
                        "load the check, or name the signals that you mean"
                    )
                    problems.setdefault(reading, Problem(reading.place, message))
        if problems:
            raise PolicyError(list(problems.values()))

    def under(self, base: Policy) -> Policy:
        """This policy with the floors of `base` imposed, which act where `base` does or this policy has them itself.

        A rule of its own that says the same as a floor is dropped; one of the same id that says something else is
        kept as "<policy>/<id>", so that the id of a floor means one thing for every tenant.
        """
        floors = {rule.id: rule for rule in base.floors}
        own: list[Rule] = []
        for rule in self.rules:
            floor = floors.get(rule.id)
            if floor is None:
                own.append(rule)
            elif replace(rule, acts=floor.acts) != floor:
                own.append(replace(rule, id=f"{self.name}/{rule.id}"))
            elif rule.acts:
                floors[rule.id] = replace(floor, acts=True)
        return replace(self, rules=(*floors.values(), *own))

    def in_force(self) -> Policy:
        """This policy as it would act if it were put in force: how a candidate is decided beside the one that is."""
        return replace(self, mode=Mode.ENFORCE, rules=tuple(replace(rule, acts=True) for rule in self.rules))


def _content(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "when": sorted([c.name, c.at_least, list(c.signals)] for c in rule.when),
        "action": rule.action.word,
        "on_unknown": rule.on_unknown.word,
        "says": rule.says,
        "floor": rule.floor,
        "acts": rule.acts,
    }


def described(when: Iterable[Condition]) -> str:
    """Conditions in words: "prompt.undress >= 0.5 and input.person >= 0.5"."""
    return " and ".join(f"{condition.name} >= {condition.at_least:g}" for condition in when)


def joins_described(policy: Policy) -> Iterator[str]:
    """What each join reads, in words: "any.minor = highest of input.minor, prompt.minor".

    Under the floors of another policy one name may mean two things: each is told then, with the rules that mean it.
    """
    meanings: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for rule in policy.rules:
        for condition in rule.when:
            if condition.signals != (condition.name,):
                meanings.setdefault(condition.name, {}).setdefault(condition.signals, []).append(rule.id)
    for name, meant in meanings.items():
        for signals, rules in meant.items():
            highest = "highest of " if len(signals) > 1 else ""
            where = f" (in {', '.join(rules)})" if len(meant) > 1 else ""
            yield f"{name} = {highest}{', '.join(signals)}{where}"
