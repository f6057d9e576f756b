"""Deciding: three-valued conditions, the strictest wins, and nothing more ever makes it milder."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.policy import Condition, Mode, Policy, Rule, decide, load
from guardrail.policy.model import Reading
from guardrail.types import SIGNALS, Action, Evidence, Signal, Stage


def saw(**scores: float | str | list[float | str]) -> Evidence:
    """Evidence from prompt__sexual=0.7; a text is the reason why something could not be told."""
    signals = []
    for name, given_ in scores.items():
        for at, score in enumerate(given_ if isinstance(given_, list) else [given_]):
            called = name.replace("__", ".")
            if isinstance(score, str):
                signals.append(Signal(called, f"slot[{at}]", "says", error=score))
            else:
                signals.append(Signal(called, f"slot[{at}]", "says", score=score))
    return Evidence(tuple(signals))


def rule(action: Action = Action.BLOCK, on_unknown: Action = Action.HOLD, **when: float) -> Rule:
    conditions = tuple(Condition(name.replace("__", "."), at_least) for name, at_least in when.items())
    return Rule("the-rule", conditions, action, on_unknown)


UNDRESS = Policy("p", (rule(prompt__undress=0.5, input__person=0.5),))


@pytest.mark.parametrize(
    ("undress", "person", "action"),
    [
        (0.5, 0.5, Action.BLOCK),
        (0.49, 0.5, Action.ALLOW),
        (0.5, 0.49, Action.ALLOW),
        (1.0, 1.0, Action.BLOCK),
        (0.0, 0.0, Action.ALLOW),
    ],
)
def test_a_rule_holds_when_all_of_its_conditions_do(undress, person, action):
    assert decide(UNDRESS, saw(prompt__undress=undress, input__person=person)).action is action


def test_a_condition_reads_the_highest_score_of_several_pictures():
    decision = decide(UNDRESS, saw(prompt__undress=0.6, input__person=[0.1, 0.7, 0.2]))
    assert decision.action is Action.BLOCK
    assert decision.reasons[0].saw == {"prompt.undress": 0.6, "input.person": 0.7}


def test_what_could_not_be_told_is_unknown_and_held():
    decision = decide(UNDRESS, saw(prompt__undress=0.6, input__person="timed out"))
    assert decision.action is Action.HOLD
    [reason] = decision.reasons
    assert reason.unknown
    assert reason.saw == {"prompt.undress": 0.6, "input.person": None}


def test_a_low_score_beside_an_error_is_unknown_and_not_clean():
    decision = decide(UNDRESS, saw(prompt__undress=0.6, input__person=[0.1, "cut short"]))
    assert decision.action is Action.HOLD
    assert decision.reasons[0].saw["input.person"] is None


def test_a_false_condition_makes_an_unknown_one_irrelevant():
    assert decide(UNDRESS, saw(prompt__undress=0.1, input__person="timed out")).reasons == ()


def test_a_signal_that_is_not_there_makes_its_rule_false():
    assert decide(UNDRESS, saw(prompt__undress=0.9)).action is Action.ALLOW


def test_a_true_rule_is_no_milder_than_not_knowing():
    policy = Policy("p", (rule(Action.FLAG, Action.HOLD, input__exposure=0.5),))
    assert decide(policy, saw(input__exposure=0.6)).action is Action.FLAG
    decision = decide(policy, saw(input__exposure=[0.6, "cut short"]))
    assert decision.action is Action.HOLD
    assert decision.reasons[0].unknown


def test_a_rule_stricter_than_not_knowing_keeps_its_action_beside_an_error():
    decision = decide(UNDRESS, saw(prompt__undress=0.6, input__person=[0.6, "cut short"]))
    assert decision.action is Action.BLOCK
    assert not decision.reasons[0].unknown


@pytest.mark.parametrize("on_unknown", list(Action))
def test_each_rule_says_what_not_knowing_means(on_unknown):
    policy = Policy("p", (rule(Action.BLOCK, on_unknown, prompt__sexual=0.5),))
    decision = decide(policy, saw(prompt__sexual="not UTF-8"))
    assert decision.action is on_unknown
    assert decision.reasons[0].unknown  # told even where it is let through


@pytest.mark.parametrize("on_unknown", [Action.ALLOW, Action.FLAG])
def test_a_floor_that_cannot_be_told_holds_at_least(on_unknown):
    floor = Rule("f", (Condition("prompt.minor", 0.3),), Action.BLOCK, on_unknown, floor=True)
    assert decide(Policy("p", (floor,)), saw(prompt__minor="timed out")).action is Action.HOLD


def test_the_strictest_rule_wins_and_all_reasons_stay_strictest_first():
    policy = Policy(
        "p",
        tuple(
            Rule(word, (Condition("prompt.sexual", 0.5),), action, says=f"says {word}")
            for word, action in [("a", Action.FLAG), ("b", Action.BLOCK), ("c", Action.FLAG), ("d", Action.BLOCK)]
        ),
    )
    decision = decide(policy, saw(prompt__sexual=0.5))
    assert decision.action is Action.BLOCK
    assert [reason.rule for reason in decision.reasons] == ["b", "d", "a", "c"]
    assert decision.rules == ("b", "d")
    assert decision.reasons[0].says == "says b"


def test_a_join_reads_the_highest_of_its_signals_and_is_named_in_the_reason():
    sexual = Condition("any.sexual", 0.2, (Reading("prompt.sexual"), Reading("*.exposure")))
    policy = Policy("p", (Rule("r", (sexual,), Action.BLOCK),))
    for name in ("prompt__sexual", "input__exposure", "output__exposure"):
        assert decide(policy, saw(**{name: 0.2})).reasons[0].saw == {"any.sexual": 0.2}
        assert decide(policy, saw(**{name: 0.19})).action is Action.ALLOW
    assert decide(policy, saw(prompt__sexual=0.1, output__exposure="no decoder")).action is Action.HOLD


def test_the_furthest_stage_of_the_evidence_is_the_stage_unless_it_is_given():
    assert decide(UNDRESS, saw(prompt__undress=0.1)).stage is Stage.PROMPT
    assert decide(UNDRESS, saw(input__person=0.1, prompt__undress=0.1)).stage is Stage.INPUT
    assert decide(UNDRESS, saw(pair__same_face=0.1, prompt__undress=0.1)).stage is Stage.OUTPUT
    assert decide(UNDRESS, Evidence()).stage is Stage.PROMPT
    assert decide(UNDRESS, Evidence(), stage=Stage.INPUT).stage is Stage.INPUT


def test_the_decision_carries_the_label_of_the_policy_and_the_evidence():
    evidence = saw(prompt__undress=0.1)
    decision = decide(UNDRESS, evidence)
    assert decision.policy == UNDRESS.label
    assert decision.evidence is evidence


def test_a_policy_in_shadow_says_and_does_not_act():
    shadow = Policy("p", (Rule("r", (Condition("prompt.sexual", 0.5),), Action.BLOCK, acts=False),), mode=Mode.SHADOW)
    decision = decide(shadow, saw(prompt__sexual=0.9))
    assert decision.action is Action.ALLOW
    assert decision.would is Action.BLOCK
    assert decision.rules == ()
    assert [reason.rule for reason in decision.reasons] == ["r"]


def test_a_rule_in_shadow_is_not_named_for_what_a_floor_did():
    """Of a tenant in shadow only the floors of the default act: the refusal is theirs alone."""
    shadow = Policy("p", (Rule("own", (Condition("prompt.sexual", 0.5),), Action.BLOCK, acts=False),), mode=Mode.SHADOW)
    floor = Rule("floor", (Condition("prompt.minor", 0.3),), Action.BLOCK, floor=True)
    decision = decide(shadow.under(Policy("base", (floor,))), saw(prompt__sexual=0.9, prompt__minor=0.9))
    assert (decision.action, decision.would) == (Action.BLOCK, Action.BLOCK)
    assert decision.rules == ("floor",)
    assert {reason.rule: reason.acts for reason in decision.reasons} == {"floor": True, "own": False}


def test_a_score_that_is_no_number_in_0_to_1_counts_as_not_told():
    signal = Signal("prompt.sexual", "prompt", "broken", score=0.1)
    object.__setattr__(signal, "score", float("nan"))
    policy = Policy("p", (rule(prompt__sexual=0.5),))
    assert decide(policy, Evidence((signal,))).action is Action.HOLD


def test_deciding_costs_microseconds():
    # 20 signals, every rule of the default fires: 36 us measured; eight times that is a real regression.
    policy = load("default")
    everything = Evidence(tuple(Signal(name, "slot", "c", score=0.9) for name in SIGNALS))
    assert len(decide(policy, everything).reasons) == len(policy.rules)
    assert min(timeit.repeat(lambda: decide(policy, everything), number=50, repeat=10)) / 50 < 300e-6


# -- properties: total, deterministic, monotone ----------------------------------------------------------------------

NAMES = st.sampled_from(["prompt.sexual", "prompt.undress", "input.person", "input.minor", "output.exposure", "x.y"])
SCORES = st.one_of(st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.floats(0.0, 1.0))
SIGNAL = st.builds(Signal, NAMES, st.just("slot"), st.just("c"), score=SCORES) | st.builds(
    Signal, NAMES, st.just("slot"), st.just("c"), error=st.just("why")
)
EVIDENCE = st.lists(SIGNAL, max_size=8).map(lambda signals: Evidence(tuple(signals)))
THRESHOLD = st.one_of(st.sampled_from([0.3, 0.5, 1.0]), st.floats(1e-6, 1.0))
CONDITION = st.builds(Condition, NAMES, THRESHOLD) | st.builds(
    Condition,
    st.just("any.join"),
    THRESHOLD,
    st.lists(NAMES | st.just("*.minor"), min_size=1, max_size=3).map(lambda names: tuple(map(Reading, names))),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    rules = [
        Rule(
            f"r{at}",
            tuple(draw(st.lists(CONDITION, min_size=1, max_size=3))),
            draw(st.sampled_from([Action.FLAG, Action.HOLD, Action.BLOCK])),
            draw(st.sampled_from(list(Action))),
            floor=draw(st.booleans()),
            acts=draw(st.booleans()),
        )
        for at in range(draw(st.integers(1, 5)))
    ]
    return Policy("p", tuple(rules))


@settings(max_examples=300, deadline=None)
@given(policies(), EVIDENCE, SIGNAL, st.integers(0, 8))
def test_adding_a_signal_or_an_error_never_weakens_the_action(policy, evidence, signal, at):
    more = Evidence((*evidence.signals[:at], signal, *evidence.signals[at:]))
    before, after = decide(policy, evidence), decide(policy, more)
    assert after.action >= before.action
    assert after.would >= before.would
    assert {reason.rule for reason in before.reasons} <= {reason.rule for reason in after.reasons}


@settings(max_examples=300, deadline=None)
@given(policies(), EVIDENCE.filter(lambda e: any(s.score is not None for s in e.signals)), st.data())
def test_raising_a_score_never_weakens_the_action(policy, evidence, data):
    at = data.draw(st.sampled_from([at for at, s in enumerate(evidence.signals) if s.score is not None]))
    old = evidence.signals[at]
    raised = Signal(old.name, old.slot, old.check, score=data.draw(st.floats(old.score, 1.0)))
    higher = Evidence((*evidence.signals[:at], raised, *evidence.signals[at + 1 :]))
    assert decide(policy, higher).action >= decide(policy, evidence).action


@settings(max_examples=200, deadline=None)
@given(policies(), EVIDENCE, st.randoms())
def test_a_decision_depends_on_nothing_but_what_was_seen(policy, evidence, random):
    shuffled = list(evidence.signals)
    random.shuffle(shuffled)
    first, second = decide(policy, evidence), decide(policy, Evidence(tuple(shuffled)))
    assert (first.action, first.would, first.reasons, first.policy) == (
        second.action,
        second.would,
        second.reasons,
        second.policy,
    )
    assert first.action <= first.would
    assert [r.action for r in first.reasons] == sorted((r.action for r in first.reasons), reverse=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(SIGNALS)), SCORES | st.just(None)), max_size=40))
def test_the_default_policy_is_at_least_as_strict_as_any_part_of_what_it_saw(seen):
    signals = tuple(
        Signal(name, "slot", "c", score=score, error=None if score is not None else "why") for name, score in seen
    )
    policy = load("default")
    whole = decide(policy, Evidence(signals)).action
    assert all(decide(policy, Evidence(signals[:cut])).action <= whole for cut in range(len(signals)))
