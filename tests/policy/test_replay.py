"""Replay: another policy over what was seen before."""

from __future__ import annotations

from guardrail.policy import parse, replay
from guardrail.types import Action, Evidence, Signal

POLICY = parse("version: 1\nname: p\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n")


def seen(score: float) -> Evidence:
    return Evidence((Signal("prompt.sexual", "prompt", "c", score=score),))


STORED = [
    ("a", seen(0.5), Action.ALLOW),
    ("b", seen(0.49), Action.ALLOW),
    ("c", seen(0.9), Action.BLOCK),
    ("d", seen(0.2), Action.HOLD),
]


def test_a_replay_names_what_changes_and_counts_everything():
    result = replay(POLICY, iter(STORED))
    assert result.policy == POLICY.label
    assert result.judged == 4
    assert [(d.id, d.old, d.new, d.stricter) for d in result.differences] == [
        ("a", Action.ALLOW, Action.BLOCK, True),
        ("d", Action.HOLD, Action.ALLOW, False),
    ]
    assert [reason.rule for reason in result.differences[0].reasons] == ["r"]
    assert result.moved == {
        (Action.ALLOW, Action.BLOCK): 1,
        (Action.ALLOW, Action.ALLOW): 1,
        (Action.BLOCK, Action.BLOCK): 1,
        (Action.HOLD, Action.ALLOW): 1,
    }


def test_a_policy_in_shadow_is_replayed_by_what_it_would_do():
    shadow = parse(
        "version: 1\nname: p\nmode: shadow\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n"
    )
    assert [d.id for d in replay(shadow, STORED).differences] == ["a", "d"]


def test_a_policy_replayed_over_its_own_decisions_changes_nothing():
    assert replay(POLICY, [("a", seen(0.5), Action.BLOCK), ("b", seen(0.1), Action.ALLOW)]).differences == ()
