"""Categories: what was seen, in the words of OpenAI's moderation endpoint.

`sexual` reads what the shipped policy's join `any.sexual` reads, `sexual/minors` is as sure as the less sure of
minor and sexual: the two are separate factors. Every factor that was looked at is there under its own name too. The
categories of OpenAI that nobody here judges are null: not looked at, which is not the same as clean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from guardrail.types import Evidence, Kind
from guardrail.upstream.dialect import Judged

# Of OpenAI's thirteen categories, those that Guardrail does not judge.
UNJUDGED = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "violence",
    "violence/graphic",
)
SEXUAL = ("prompt.sexual", "prompt.exposure", "input.exposure", "output.exposure", "pair.exposure")
# A category that no rule of the policy named is true where it is more likely than not.
LIKELY = 0.5
_KINDS = {Kind.PROMPT.value: "text", Kind.INPUT.value: "image", Kind.OUTPUT.value: "image"}
# How alike the picture is to itself is nothing to tell.
_PAIRS = f"{Kind.PAIR.value}."


def result(judged: Judged) -> dict[str, Any]:
    """One entry of `results`. `flagged` is what the policy would refuse; `guardrail` says the rest of it."""
    decision, evidence = judged.decision, judged.evidence
    scores = category_scores(evidence)
    ruled = {name.partition(".")[2] for reason in decision.reasons for name, saw in reason.saw.items() if saw}
    if "minor" in ruled and ruled & {"sexual", "exposure", "undress", "revealing"}:
        ruled |= {"sexual", "sexual/minors"}
    if "exposure" in ruled:
        ruled.add("sexual")
    sides = _sides(evidence)
    return {
        "flagged": decision.action.refuses,
        "categories": {
            name: None if score is None and name not in ruled else name in ruled or (score or 0.0) >= LIKELY
            for name, score in scores.items()
        },
        "category_scores": scores,
        "category_applied_input_types": {name: sides.get(name, []) for name in scores},
        "guardrail": {
            "decision": decision.action.word,
            "rules": list(decision.rules),
            "policy": decision.policy,
            "receipt": decision.receipt.id if decision.receipt is not None else None,
        },
    }


def category_scores(evidence: Evidence) -> dict[str, float | None]:
    """A score for each category and factor; None for one that nobody looked at, or that could not be told."""
    known, blind = evidence.scores(), evidence.errors()
    factors: dict[str, list[str]] = {}
    for name in sorted({*known, *blind}):
        if not name.startswith(_PAIRS):
            factors.setdefault(name.partition(".")[2], []).append(name)
    sexual = _highest(SEXUAL, known, blind)
    minor = _highest(factors.get("minor", ()), known, blind)
    scores: dict[str, float | None] = dict.fromkeys(UNJUDGED)
    scores["sexual"] = sexual
    scores["sexual/minors"] = min(minor, sexual) if minor is not None and sexual is not None else None
    for factor, names in factors.items():
        if factor not in scores:
            scores[factor] = _highest(names, known, blind)
    return scores


def _highest(names: Iterable[str], known: Mapping[str, float], blind: Mapping[str, str]) -> float | None:
    """The highest score. None where there is none, and where one is unknown while no other is likely."""
    there = [known[name] for name in names if name in known]
    best = max(there, default=None)
    if best is None or (best < LIKELY and any(name in blind for name in names)):
        return None
    return best


def _sides(evidence: Evidence) -> dict[str, list[str]]:
    """For each category, whether a text or a picture was looked at for it."""
    found: dict[str, set[str]] = {}
    for signal in evidence.signals:
        kind, _, factor = signal.name.partition(".")
        side = _KINDS.get(kind)
        if side is None or signal.score is None:
            continue
        found.setdefault(factor, set()).add(side)
        if signal.name in SEXUAL:
            found.setdefault("sexual", set()).add(side)
        if signal.name in SEXUAL or factor == "minor":
            found.setdefault("sexual/minors", set()).add(side)
    return {name: sorted(sides, reverse=True) for name, sides in found.items()}
