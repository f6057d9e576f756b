"""Replay: what another policy would have done with what was seen before. Stored signals are enough, no pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from guardrail.policy.decide import decide
from guardrail.policy.model import Policy
from guardrail.types import Action, Evidence, Reason


@dataclass(frozen=True)
class Difference:
    """A case that the policy decides otherwise than it was decided; `reasons` are the new ones."""

    id: str
    old: Action
    new: Action
    reasons: tuple[Reason, ...]

    @property
    def stricter(self) -> bool:
        return self.new > self.old


@dataclass(frozen=True)
class Replay:
    """How many cases were judged, how many went from which action to which, and each that changed, in order."""

    policy: str
    judged: int
    moved: Mapping[tuple[Action, Action], int]
    differences: tuple[Difference, ...]


def replay(policy: Policy, stored: Iterable[tuple[str, Evidence, Action]]) -> Replay:
    """Judge stored evidence, (id, evidence, old action) each, by `policy`; what it would do counts, shadow or not.

    Holds the differences in memory, not the evidence: `stored` may be a stream of any length.
    """
    moved: Counter[tuple[Action, Action]] = Counter()
    differences: list[Difference] = []
    for case, evidence, old in stored:
        decision = decide(policy, evidence)
        new = decision.action if decision.would is None else decision.would
        moved[old, new] += 1
        if new is not old:
            differences.append(Difference(case, old, new, decision.reasons))
    return Replay(policy.label, moved.total(), dict(moved), tuple(differences))
