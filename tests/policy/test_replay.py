"""Replay: another policy over what was seen before."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from guardrail.policy import Stored, decide, parse, replay, stored_of
from guardrail.policy.replay import MOST_VERSIONS, OTHER, Labels
from guardrail.policy.unjudged import UNDECIDED
from guardrail.types import Action, Evidence, Signal

RULE = "rules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n"
POLICY = parse("version: 1\nname: p\n" + RULE)


def seen(score: float) -> Evidence:
    return Evidence((Signal("prompt.sexual", "prompt", "c", score=score),))


def case(name: str, score: float, old: Action, *rules: str, models: tuple[str, ...] = ("m@1",)) -> Stored:
    return Stored(name, (seen(score),), old, frozenset(rules), "old@1", models)


STORED = [
    case("a", 0.5, Action.ALLOW),
    case("b", 0.49, Action.ALLOW),
    case("c", 0.9, Action.BLOCK, "r"),
    case("d", 0.2, Action.HOLD, "q"),
]


def test_a_replay_names_what_changes_and_counts_everything():
    result = replay(POLICY, iter(STORED))
    assert result.policy == POLICY.label
    assert result.judged == 4
    assert [(d.id, d.old, d.new, d.rules) for d in result.differences] == [
        ("a", Action.ALLOW, Action.BLOCK, ("r",)),
        ("d", Action.HOLD, Action.ALLOW, ()),
    ]
    [version] = result.versions
    assert version.moved == {
        (Action.ALLOW, Action.BLOCK): 1,
        (Action.ALLOW, Action.ALLOW): 1,
        (Action.BLOCK, Action.BLOCK): 1,
        (Action.HOLD, Action.ALLOW): 1,
    }
    (version,) = result.versions
    assert (version.changed, version.gained, version.lost) == (2, {"r": 1}, {"q": 1})
    assert result.policies == {"old@1": 4}


def test_what_the_policy_reads_and_no_case_says_anything_of_is_named():
    policy = parse(
        "version: 1\nname: p\njoins: {any.sexual: [prompt.sexual, '*.exposure']}\nrules:\n"
        "  - {id: r, when: {prompt.sexual: 0.5, input.persn: 0.5}, action: block}\n"
        "  - {id: s, when: {any.sexual: 0.5}, action: block}\n"
        "  - {id: t, when: {'*.minor': 0.5}, action: block}\n"
    )
    assert replay(policy, STORED).unseen == ("input.persn", "*.minor")
    told = Evidence((Signal("pair.minor", "s", "c", error="too small"), Signal("input.persn", "s", "c", score=0.0)))
    case_of_it = Stored("e", (told,), Action.ALLOW, frozenset(), "old@1", ("m@1",))
    assert replay(policy, [*STORED, case_of_it]).unseen == ()


def test_a_policy_in_shadow_is_replayed_by_what_it_would_do():
    shadow = parse("version: 1\nname: p\nmode: shadow\n" + RULE)
    assert [d.id for d in replay(shadow, STORED).differences] == ["a", "d"]


def test_a_policy_replayed_over_its_own_decisions_changes_nothing():
    own = [case("a", 0.5, Action.BLOCK, "r"), case("b", 0.1, Action.ALLOW)]
    told = replay(POLICY, own)
    assert told.differences == ()
    assert (told.versions[0].gained, told.versions[0].lost) == ({}, {})


def test_cases_of_other_models_are_counted_apart():
    told = replay(POLICY, [case("a", 0.9, Action.ALLOW), case("b", 0.9, Action.ALLOW, models=("m@2",))])
    assert [(one.models, one.judged) for one in told.versions] == [(("m@1",), 1), (("m@2",), 1)]
    assert told.newest == ("m@2",)


def test_memory_does_not_grow_with_the_cases_nor_with_the_models():
    def peak(count: int) -> int:
        tracemalloc.start()
        told = replay(POLICY, (case(f"c{n}", 0.9, Action.ALLOW, models=(f"m@{n}",)) for n in range(count)))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert told.judged == count
        assert len(told.differences) == 5
        assert len(told.versions) == MOST_VERSIONS + 1
        assert told.newest == OTHER
        return size

    peak(500)  # what is made once
    assert peak(10_000) < 1.5 * peak(1000)


def test_rulings_are_labels_for_both_policies():
    rulings = {"a": Action.BLOCK, "b": Action.BLOCK, "c": Action.ALLOW, "d": Action.ALLOW, "gone": Action.BLOCK}
    told = replay(POLICY, STORED, rulings=rulings)
    assert told.labels == Labels(harmful=2, harmless=2, missed_old=2, missed_new=1, refused_old=2, refused_new=1)


def test_a_refusal_before_all_was_looked_at_cannot_be_replayed_milder():
    cut = replace(case("a", 0.1, Action.BLOCK, "q"), cut=True)
    stricter = replace(case("b", 0.9, Action.HOLD, "q"), cut=True)
    told = replay(POLICY, [cut, stricter])
    assert [one.partial for one in told.differences] == [True, False]
    assert told.versions[0].partial == 1


def body(**more):
    return {
        "policy": "p@12345678",
        "stage": "prompt",
        "would": "allow",
        "reasons": [],
        "signals": [["prompt.sexual", "prompt", "c", 0.9, None]],
        "receipt": {"models": ["m@1"], "looks": [{"unchecked": {}}]},
        "status": "answered",
        **more,
    }


@pytest.mark.parametrize(
    "status", ["streaming", "unreadable_input", "client_gone", "turned_away", "failed", "shutdown"]
)
def test_a_request_that_ended_before_all_was_judged_is_no_decision(status):
    assert stored_of("x", "allow", body(status=status)) is None
    assert stored_of("x", "allow", body(status="upstream_timeout")) is not None


@pytest.mark.parametrize("status", sorted(UNDECIDED))
def test_where_nothing_was_decided_there_is_nothing_to_take_again(status):
    assert stored_of("x", "none", body(status=status)) is None


def test_a_record_is_read_back():
    told = stored_of("x", "block", body(would="block", reasons=[{"rule": "r", "action": "block"}]))
    assert told == Stored("x", told.parts, Action.BLOCK, frozenset({"r"}), "p@12345678", ("m@1",))
    assert told.parts[0].scores() == {"prompt.sexual": 0.9}


def test_a_record_of_a_policy_in_shadow_counts_by_what_it_said():
    told = stored_of("x", "allow", body(would="hold", reasons=[{"rule": "r", "action": "hold"}]))
    assert (told.old, told.watched, told.rules) == (Action.HOLD, True, {"r"})


def test_errors_stay_errors():
    told = stored_of("x", "hold", body(would="hold", signals=[["prompt.sexual", "prompt", "c", None, "timed out"]]))
    assert decide(POLICY, told.parts[0]).action is Action.HOLD


def test_each_picture_of_an_answer_is_decided_for_itself():
    """One shows a face of the input, another is explicit: no single picture is both."""
    policy = parse(
        "version: 1\nname: p\nrules:\n"
        "  - {id: r, when: {pair.same_face: 0.5, output.exposure: 0.5}, action: block}\n"
        "  - {id: s, when: {prompt.sexual: 0.5, output.exposure: 0.5}, action: flag}\n"
    )
    signals = [
        ["prompt.sexual", "prompt", "c", 0.9, None],
        ["output.exposure", "data[0]", "c", 0.9, None],
        ["output.exposure", "data[1]", "c", 0.1, None],
        ["pair.same_face", "image[0]>data[0]", "c", 0.1, None],
        ["pair.same_face", "image[0]>data[1]", "c", 0.9, None],
    ]
    told = stored_of("x", "allow", body(signals=signals))
    assert len(told.parts) == 2
    assert replay(policy, [told]).versions[0].moved == {(Action.ALLOW, Action.FLAG): 1}


def test_a_refusal_that_stopped_the_looking_is_marked():
    unseen = {"models": [], "looks": [{"unchecked": {}}, {"unchecked": {"*": "not looked at"}}]}
    assert stored_of("x", "block", body(would="block", receipt=unseen)).cut
    assert not stored_of("x", "allow", body(receipt=unseen)).cut


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("allow", {"status": "streaming"}),
        ("reload", {}),
        ("allow", {"signals": None}),
        ("allow", {"signals": [["one"]]}),
        ("allow", {"signals": [["prompt.sexual", "prompt", "c", 7.0, None]]}),
        ("allow", {"receipt": None}),
        ("allow", {"would": "maybe"}),
    ],
)
def test_what_is_no_whole_decision_is_left_out(action, more):
    assert stored_of("x", action, body(**more)) is None
