"""What a policy is: no holes, a digest of what it says, floors that tenants cannot lower."""

from __future__ import annotations

import pytest

from guardrail.errors import ConfigError
from guardrail.policy import Condition, Policy, PolicyError, Rule, decide, load, parse
from guardrail.types import SIGNALS, Action, Evidence, Signal

BASE = parse(
    "version: 1\nname: base\njoins: {any.minor: ['*.minor']}\nfloors:\n"
    "  - {id: minor, when: {any.minor: 0.3, prompt.sexual: 0.2}, action: block}\n"
    "rules:\n  - {id: sexual, when: {prompt.sexual: 0.5}, action: block}\n",
    source="base.yaml",
)
TENANT = """\
version: 1
name: tenant
joins: {any.minor: [prompt.minor]}
floors:
  - {id: minor, when: {any.minor: 0.9, prompt.sexual: 0.9}, action: flag}
"""


def evidence(**scores: float) -> Evidence:
    return Evidence(tuple(Signal(name.replace("__", "."), "s", "c", score=score) for name, score in scores.items()))


def test_a_tenant_weaker_than_a_floor_still_gets_the_floor():
    tenant = parse(TENANT)
    seen = evidence(output__minor=0.3, prompt__sexual=0.2)
    assert decide(tenant, seen).action is Action.ALLOW
    under = decide(tenant.under(BASE), seen)
    assert (under.action, under.rules) == (Action.BLOCK, ("minor",))


def test_only_floors_are_imposed_and_not_the_rules_of_the_base():
    assert decide(parse(TENANT).under(BASE), evidence(prompt__sexual=0.6)).action is Action.ALLOW


def test_a_rule_of_the_same_id_as_a_floor_is_kept_under_the_tenants_name():
    under = parse(TENANT).under(BASE)
    assert [rule.id for rule in under.rules] == ["minor", "tenant/minor"]
    assert under.label != parse(TENANT).label


def test_a_policy_under_itself_is_itself():
    assert BASE.under(BASE) == BASE
    assert BASE.under(BASE).digest == BASE.digest


def test_floors_act_over_a_tenant_in_shadow():
    shadow = parse(TENANT.replace("name: tenant", "name: tenant\nmode: shadow")
                   + "rules:\n  - {id: own, when: {prompt.sexual: 0.4}, action: block}\n").under(BASE)  # fmt: skip
    only_own = decide(shadow, evidence(prompt__sexual=0.4))
    assert (only_own.action, only_own.would) == (Action.ALLOW, Action.BLOCK)
    floor = decide(shadow, evidence(prompt__sexual=0.2, input__minor=0.3))
    assert (floor.action, floor.would) == (Action.BLOCK, Action.BLOCK)


def test_floors_of_a_base_in_shadow_do_not_act():
    base = parse("version: 1\nname: b\nmode: shadow\nfloors:\n  - {id: f, when: {prompt.minor: 0.3}, action: block}\n")
    decision = decide(parse(TENANT).under(base), evidence(prompt__minor=0.5))
    assert (decision.action, decision.would) == (Action.ALLOW, Action.BLOCK)


def test_a_base_in_shadow_does_not_disarm_a_floor_that_the_tenant_has_itself():
    floor = "floors:\n  - {id: f, when: {prompt.minor: 0.3}, action: block}\n"
    base = parse(f"version: 1\nname: b\nmode: shadow\n{floor}")
    tenant = parse(f"version: 1\nname: t\n{floor}")
    assert decide(tenant.under(base), evidence(prompt__minor=0.5)).action is Action.BLOCK
    assert [rule.id for rule in tenant.under(base).rules] == ["f"]


def test_the_digest_changes_with_what_is_said_and_not_with_how():
    plain = "version: 1\nname: p\nrules:\n  - {id: r, when: {prompt.sexual: 0.5, prompt.minor: 0.3}, action: block}\n"
    spaced = (
        "# words\nname: p\nversion: 1\n\nrules:\n- id: r\n  action: block\n"
        "  when:\n    prompt.minor: 0.30\n    prompt.sexual: .5\n"
    )
    assert parse(plain).digest == parse(spaced).digest
    for changed in (
        plain.replace("0.5", "0.51"),
        plain.replace("block", "hold"),
        plain.replace("id: r", "id: q"),
        plain.replace("name: p", "name: q"),
        plain.replace("rules:", "floors:"),
        plain.replace("name: p", "name: p\nmode: shadow"),
        plain.replace("name: p", "name: p\non_unknown: block"),
        plain.replace("action: block", "action: block, says: why"),
        plain.replace("prompt.minor", "input.minor"),
    ):
        assert parse(changed).digest != parse(plain).digest, changed


def test_a_label_is_the_name_and_eight_digits():
    policy = load("default")
    assert policy.label == f"default@{policy.digest[:8]}"
    assert len(policy.digest) == 64


def test_a_rule_that_reads_what_no_check_gives_is_refused_at_its_line():
    policy = parse("version: 1\nname: p\nrules:\n  - id: r\n    when: {output.concept.gun: 0.5}\n    action: hold\n",
                   source="p.yaml")  # fmt: skip
    with pytest.raises(PolicyError, match=r"^p\.yaml:5:12: rule 'r' reads 'output.concept.gun', which no loaded check"):
        policy.require(SIGNALS)
    policy.require([*SIGNALS, "output.concept.gun"])


def test_a_join_points_at_the_member_that_is_missing():
    policy = parse("version: 1\nname: p\njoins:\n  any.x: [prompt.sexual,\n          prompt.sexul]\n"
                   "rules:\n  - {id: r, when: {any.x: 0.5}, action: hold}\n", source="p.yaml")  # fmt: skip
    with pytest.raises(PolicyError) as caught:
        policy.require(SIGNALS)
    assert str(caught.value).startswith("p.yaml:5:11: rule 'r' reads 'prompt.sexul' through any.x")
    assert "did you mean 'prompt.sexual'?" in str(caught.value)


def test_a_wildcard_needs_one_of_its_signals():
    policy = parse("version: 1\nname: p\nrules:\n  - {id: r, when: {'*.minor': 0.5}, action: hold}\n")
    policy.require(["input.minor"])
    with pytest.raises(PolicyError, match=r"reads '\*\.minor'"):
        policy.require(["input.person"])


def test_a_wildcard_over_what_is_looked_at_needs_the_signal_there():
    """Without the check of ages the floor about minors would go on reading texts, and never again a picture."""
    aged = [name for name in SIGNALS if name not in {"input.minor", "output.minor"}]
    with pytest.raises(PolicyError) as caught:
        load("default").require(aged)
    said = str(caught.value)
    assert said.startswith("default.yaml:14:15: rule 'minor-sexual' reads '*.minor' through any.minor")
    assert "no loaded check gives input.minor and output.minor" in said
    assert "name the signals that you mean" in said
    texts = parse("version: 1\nname: p\nrules:\n  - {id: r, when: {'*.minor': 0.5}, action: hold}\n")
    texts.require(name for name in SIGNALS if name.startswith("prompt."))  # no pictures are looked at there
    with pytest.raises(PolicyError, match=r"gives prompt\.minor, so"):
        texts.require(["prompt.words", "input.minor", "output.minor"])


def test_a_policy_cannot_be_built_with_a_hole():
    condition = Condition("prompt.sexual", 0.5)
    with pytest.raises(ConfigError, match="would match everything"):
        Rule("r", (), Action.BLOCK)
    with pytest.raises(ConfigError, match="would allow all"):
        Policy("p", ())
    with pytest.raises(ConfigError, match="does nothing"):
        Rule("r", (condition,), Action.ALLOW)
    with pytest.raises(ConfigError, match="two rules are called"):
        Policy("p", (Rule("r", (condition,), Action.BLOCK), Rule("r", (condition,), Action.HOLD)))
    for at_least in (0.0, -0.5, 1.01, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="expected above 0"):
            Condition("prompt.sexual", at_least)
