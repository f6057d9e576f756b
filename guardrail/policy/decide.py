"""The decision: evidence in, action and reasons out. Pure, total and monotone.

Adding a signal, raising a score or adding an error never weakens the action. That has one price: where nothing was
looked at, nothing matches. A check that was asked and said nothing must therefore come in as an error, and it is
the pipeline that makes it one.
"""

from __future__ import annotations

from guardrail.policy.model import Plan, Policy, Rule, Steps
from guardrail.types import Action, Decision, Evidence, Kind, Reason, Stage

_STAGES = {Kind.PROMPT.value: 0, Kind.INPUT.value: 1, Kind.OUTPUT.value: 2, Kind.PAIR.value: 2}
_ORDER = (Stage.PROMPT, Stage.INPUT, Stage.OUTPUT)
_NOTHING = -1.0  # below every score and every threshold


def decide(policy: Policy, evidence: Evidence, *, stage: Stage | None = None) -> Decision:
    """Judge `evidence` by `policy`.

    A condition reads the highest score of its signals over all artifacts: at least the threshold is true; else an
    error among its signals is unknown; else false, also where there is no signal. A rule is true when all of its
    conditions are, false when one is, else unknown. A true rule gives its action, or `on_unknown` where that is
    stricter and one of its signals has an error; an unknown one gives `on_unknown`, a floor at least HOLD.
    The strictest wins. Reasons stand strictest first, then in the order of the policy. `would` takes rules in shadow
    into account, `action` only those that act.

    `stage` is recorded; without it, it is the furthest stage that the evidence shows. Never raises for any
    Evidence: a score that is no number in [0, 1] counts as an error.
    """
    plan = policy.plan
    best, blind = _gathered(plan, evidence)
    reasons: list[Reason] = []
    would = action = Action.ALLOW
    for rule, steps in plan.steps:
        unknown = False
        for column, at_least, _ in steps:
            if best[column] < at_least:
                if not blind[column]:
                    break
                unknown = True
        else:
            reason = _reason(rule, steps, best, blind, unknown)
            reasons.append(reason)
            would = max(would, reason.action)
            if rule.acts and reason.action > action:
                action = reason.action
    if len(reasons) > 1:
        reasons.sort(key=_strictest_first)
    return Decision(
        action=action,
        reasons=tuple(reasons),
        policy=policy.label,
        evidence=evidence,
        would=would,
        stage=stage if stage is not None else furthest(evidence),
    )


def furthest(evidence: Evidence) -> Stage:
    """The furthest stage that the names of the signals show; PROMPT for no evidence."""
    return _ORDER[max((_STAGES.get(signal.name.partition(".")[0], 0) for signal in evidence.signals), default=0)]


def _gathered(plan: Plan, evidence: Evidence) -> tuple[list[float], list[bool]]:
    """For each column of the plan: the highest score seen, and whether something could not be told."""
    best = [_NOTHING] * plan.width
    blind = [False] * plan.width
    readers = plan.readers
    for signal in evidence.signals:
        columns = readers.get(signal.name)
        if columns is None:
            continue
        score = signal.score
        if score is not None and 0.0 <= score <= 1.0:
            for column in columns:
                best[column] = max(best[column], score)
        else:
            for column in columns:
                blind[column] = True
    return best, blind


def _reason(rule: Rule, steps: Steps, best: list[float], blind: list[bool], unknown: bool) -> Reason:
    action = rule.on_unknown if unknown else rule.action
    if not unknown and rule.on_unknown > action:
        for column, _, _ in steps:
            if blind[column]:
                # Part of what the rule reads could not be looked at: knowing more may not be milder than knowing less.
                action = rule.on_unknown
                unknown = True
                break
    saw: dict[str, float | None] = {}
    for column, at_least, name in steps:
        score = best[column]
        saw[name] = score if score >= at_least else None
    return Reason(rule.id, action, saw, rule.says, unknown, rule.acts)


def _strictest_first(reason: Reason) -> int:
    return -reason.action
