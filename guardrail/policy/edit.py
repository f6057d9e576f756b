"""Editing: other thresholds in a policy file, with everything else as it was written, comments too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from guardrail.errors import ConfigError
from guardrail.policy.load import parse
from guardrail.policy.model import Policy


@dataclass(frozen=True)
class Edit:
    """One threshold that was changed, or left: `rule` reads `signal`, in line `line` of the file."""

    rule: str
    signal: str
    line: int
    was: float
    now: float
    left: str = ""


def acting(policy: Policy, signal: str) -> float | None:
    """The threshold at which rules that name the signal itself mostly read it; the highest of several as frequent.

    Floors and joins do not count: what they read is a minimum, or several signals. None where no rule reads it so.
    """
    counted: dict[float, int] = {}
    for rule in policy.rules:
        for condition in () if rule.floor else rule.when:
            if condition.name == signal:
                counted[condition.at_least] = counted.get(condition.at_least, 0) + 1
    return max(counted, key=lambda at: (counted[at], at), default=None)


def with_thresholds(text: str, wanted: Mapping[str, float], *, source: str = "<policy>") -> tuple[str, list[Edit]]:
    """The policy `text` with the thresholds of signals replaced, and every condition that reads them.

    Replaced is what stands in `rules` at the signal's `acting` threshold. Floors, rules about minors, other thresholds
    and joins that hold the signal are left and listed: they say something else than where the signal acts.

    Raises ConfigError when `text` is no policy, or what comes out would be none.
    """
    policy = parse(text, source=source)
    usual = {signal: acting(policy, signal) for signal in wanted}
    values = _values(text)
    edits: list[Edit] = []
    replaced: dict[tuple[int, int], float] = {}
    for rule in policy.rules:
        for condition in rule.when:
            read = sorted(set(condition.signals) & wanted.keys())
            for signal in read:
                now, place = wanted[signal], condition.place
                left = ""
                if rule.floor:
                    left = "a floor"
                elif condition.name != signal:
                    left = f"read through {condition.name}"
                elif any(name.endswith(".minor") for each in rule.when for name in each.signals):
                    left = "a rule about minors"
                elif condition.at_least != usual[signal]:
                    left = f"not at {usual[signal]:g}"
                else:
                    replaced[values[place.line, place.column]] = now
                edits.append(Edit(rule.id, signal, place.line, condition.at_least, now, left))
    fresh = text
    for (start, end), now in sorted(replaced.items(), reverse=True):
        fresh = f"{fresh[:start]}{now:g}{fresh[end:]}"
    try:
        parse(fresh, source=source)
    except ConfigError as error:
        raise ConfigError(f"{source}: with the new thresholds it would not be a policy:\n{error}") from None
    return fresh, edits


def _values(text: str) -> dict[tuple[int, int], tuple[int, int]]:
    """Where the value of each key stands: from line and column of the key to first and last index of the value."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    waiting = [yaml.compose(text, Loader=yaml.SafeLoader)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                mark = key.start_mark
                found[mark.line + 1, mark.column + 1] = (value.start_mark.index, value.end_mark.index)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return found
