"""Cases: evidence beside the action and rules that are expected of it, so that a policy is tested as code is.

A file is YAML (`version: 1`, `cases: [...]`) or, when its name ends in .jsonl, one case a line. Each case:

    id: undress-a-photo
    signals: {prompt.undress: 0.9, input.person: [0.2, 0.8], input.minor: unknown}
    expect: block
    rules: [undress-request]        # optional: exactly the rules that give the action
    stage: input                    # optional
    says: what the case shows       # optional
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from guardrail.policy.decide import decide
from guardrail.policy.model import ACTIONS, SIGNAL_NAME, Policy
from guardrail.policy.nodes import Place, PolicyError, Problem, Reader, misspelt, read_text, short
from guardrail.types import SIGNALS, Action, Decision, Evidence, Signal, Stage

MAX_BYTES = 16 * 1024 * 1024
MAX_SCORES = 1000  # scores of one signal in one case
_KEYS = ("id", "says", "stage", "signals", "expect", "rules")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Case:
    """Evidence, and what is expected of it. `rules` None: any rules may give the action."""

    id: str
    evidence: Evidence
    expect: Action
    rules: frozenset[str] | None
    stage: Stage | None
    says: str
    place: Place


@dataclass(frozen=True)
class Outcome:
    """What a policy did with a case. `wrong` says in words how that differs from what was expected, "" if not."""

    case: Case
    decision: Decision
    wrong: str


def load_cases(path: str | Path) -> tuple[Case, ...]:
    """The cases in a file. Raises PolicyError with every problem as file:line:column."""
    path = Path(path)
    text = read_text(path, limit=MAX_BYTES)
    cases: list[Case] = []
    problems: list[Problem] = []
    seen: dict[str, Place] = {}
    for reader, nodes in _documents(text, path):
        for node in nodes:
            case = _case(reader, node)
            if case is None:
                continue
            if case.id in seen:
                reader.problem(node, f"case {short(case.id)} stands twice, first in line {seen[case.id].line}")
            seen.setdefault(case.id, case.place)
            cases.append(case)
        problems.extend(reader.problems)
    if not problems and not cases:
        problems.append(Problem(Place(str(path)), "has no cases; a test without cases would pass whatever happens"))
    if problems:
        raise PolicyError(problems)
    return tuple(cases)


def run_cases(policy: Policy, cases: Iterable[Case]) -> list[Outcome]:
    """Decide each case by `policy`. What a policy in shadow would do is what is compared."""
    return [_outcome(policy, case) for case in cases]


def untested(policy: Policy, outcomes: Iterable[Outcome]) -> list[str]:
    """Ids of the rules that no case made true: a rule that no case shows firing may never fire."""
    fired = {reason.rule for outcome in outcomes for reason in outcome.decision.reasons if not reason.unknown}
    return [rule.id for rule in policy.rules if rule.id not in fired]


def _outcome(policy: Policy, case: Case) -> Outcome:
    decision = decide(policy, case.evidence, stage=case.stage)
    action = decision.action if decision.would is None else decision.would
    rules = {reason.rule for reason in decision.reasons if reason.action == action}
    wrong = ""
    if action is not case.expect:
        wrong = f"expected {case.expect.word}, was {action.word}"
    elif unread := _unread(policy, case):
        wrong = unread
    elif case.rules is not None and rules != case.rules:
        wrong = f"expected rules {_names(case.rules)}, was {_names(rules)}"
    return Outcome(case, decision, wrong)


def _unread(policy: Policy, case: Case) -> str:
    """What is wrong with a name that is nearly one that is read: whatever is expected of it, it shows nothing."""
    known = {*policy.signals, *SIGNALS}
    for name in sorted({signal.name for signal in case.evidence.signals}):
        if meant := misspelt(name, known):
            return f"{short(name)} says nothing to this policy; did you mean {meant!r}?"
    return ""


def _names(rules: Iterable[str]) -> str:
    return ", ".join(sorted(rules)) or "none"


def _documents(text: str, path: Path) -> Iterable[tuple[Reader, Sequence[yaml.Node]]]:
    if path.suffix == ".jsonl":
        for at, line in enumerate(text.split("\n")):
            if line.strip():
                reader = Reader(str(path), line_offset=at)
                node = reader.compose(line)
                yield reader, [node] if node is not None else []
        return
    reader = Reader(str(path))
    root = reader.compose(text)
    found: Sequence[yaml.Node] = ()
    if root is not None:
        fields = reader.fields(root, "the cases file", ("version", "cases"), required=("version", "cases"))
        if "version" in fields and getattr(fields["version"], "value", "") != "1":
            reader.problem(fields["version"], "version is not known; expected 1")
        if "cases" in fields:
            found = reader.items(fields["cases"], "cases")
    yield reader, found


def _case(reader: Reader, node: yaml.Node) -> Case | None:
    before = len(reader.problems)
    fields = reader.fields(node, "a case", _KEYS, required=("id", "signals", "expect"))
    case_id = reader.text(fields["id"], "id of a case", limit=100) if "id" in fields else None
    what = f"case {case_id!r}" if case_id else "a case"
    expect = reader.choice(fields["expect"], f"{what}: expect", list(ACTIONS)) if "expect" in fields else None
    stage = None
    if "stage" in fields:
        stage = reader.choice(fields["stage"], f"{what}: stage", [each.value for each in Stage])
    rules = None
    if "rules" in fields:
        listed = reader.items(fields["rules"], f"{what}: rules")
        rules = frozenset(filter(None, (reader.text(item, f"{what}: a rule", limit=200) for item in listed)))
    says = (reader.text(fields["says"], f"{what}: says", limit=1000) if "says" in fields else None) or ""
    signals = tuple(_signals(reader, fields["signals"], what)) if "signals" in fields else ()
    if len(reader.problems) > before or case_id is None or expect is None:
        return None
    return Case(
        id=case_id,
        evidence=Evidence(signals),
        expect=ACTIONS[expect],
        rules=rules,
        stage=Stage(stage) if stage else None,
        says=says,
        place=reader.place(node),
    )


def _signals(reader: Reader, node: yaml.Node, what: str) -> Iterable[Signal]:
    for name, key_node, value in reader.entries(node, f"{what}: signals"):
        if len(name) > 100 or name.startswith("*") or not SIGNAL_NAME.fullmatch(name):
            reader.problem(key_node, f"{what}: {short(name)} is no signal; expected <kind>.<factor>, as input.person")
            continue
        many = isinstance(value, yaml.SequenceNode)
        said = value.value if many else [value]
        if len(said) > MAX_SCORES:
            reader.problem(value, f"{what}: {name} has {len(said)} scores, at most {MAX_SCORES} are read")
            continue
        for at, each in enumerate(said):
            slot = f"{name.partition('.')[0]}[{at}]"
            if isinstance(each, yaml.ScalarNode) and each.value == UNKNOWN:
                yield Signal(name, slot, "case", error=UNKNOWN)
                continue
            score = reader.number(each, f"{what}: score of {name}")
            if score is not None and not 0.0 <= score <= 1.0:
                reader.problem(each, f"{what}: score of {name} is {each.value}; scores lie in [0, 1]")
            elif score is not None:
                yield Signal(name, slot, "case", score=score)
