"""Policies from files: what a YAML file says, checked whole before any of it holds.

Every problem of a file is told at once, each with its line and column. What the format allows is in
docs/reference/policy.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import yaml

from guardrail.errors import ConfigError
from guardrail.policy.model import (
    ACTIONS,
    KINDS,
    MAX_NAME,
    SIGNAL_NAME,
    Condition,
    Mode,
    Policy,
    Reading,
    Rule,
    described,
)
from guardrail.policy.nodes import MAX_PROBLEMS, Place, Reader, decoded, guess, read_text, short
from guardrail.types import SIGNALS, Action

MAX_BYTES = 256 * 1024  # the shipped policy has 8 KB; a policy that nobody can read protects nobody
MAX_RULES = 1000
MAX_SAYS = 1000
SHIPPED = ("default",)
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ANY_ACTION = tuple(ACTIONS)
_RULE_ACTION = tuple(word for word in ACTIONS if word != "allow")
_TOP = ("version", "name", "says", "mode", "on_unknown", "joins", "floors", "rules")
_RULE = ("id", "when", "action", "on_unknown", "says")

Joins = Mapping[str, tuple[Reading, ...]]


def load(source: str | Path) -> Policy:
    """The policy in the file `source`, or the one shipped under that name ("default").

    Raises PolicyError (a ConfigError) with every problem as file:line:column.
    """
    if isinstance(source, str) and source in SHIPPED:
        return parse(shipped_text(source), source=f"{source}.yaml")
    path = Path(source)
    if not path.exists() and not path.suffix and len(path.parts) == 1:
        raise ConfigError(
            f"no policy named {short(str(source))}; expected a file or a shipped policy: {', '.join(SHIPPED)}"
            f"{guess(str(source), SHIPPED)}"
        )
    return parse(read_text(path, limit=MAX_BYTES), source=str(path))


def shipped_text(name: str) -> str:
    """The file of a policy that ships with the package, as text."""
    return (files("guardrail.policy") / f"{name}.yaml").read_text(encoding="utf-8")


def parse(text: str | bytes, *, source: str = "<policy>") -> Policy:
    """The policy that `text` says; `source` is the name that errors carry. Raises PolicyError."""
    body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    reader = Reader(source)
    root = reader.compose(decoded(body, source, limit=MAX_BYTES))
    policy = _Parser(reader).policy(root) if root is not None else None
    reader.finish()
    if policy is None:  # a problem was noted for everything that is missing
        raise ConfigError(f"{source}: is not a policy")
    return policy


class _Parser:
    """One file's way from nodes to a policy; every method notes problems and goes on."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ids: dict[str, Place] = {}
        self._seen: dict[frozenset[tuple[tuple[str, ...], float]], Rule] = {}

    def policy(self, root: yaml.Node) -> Policy | None:
        reader = self._reader
        fields = reader.fields(root, "the policy", _TOP, required=("version", "name"))
        if "version" in fields and getattr(fields["version"], "value", "") != "1":
            reader.problem(fields["version"], "version is not known; expected 1")
        name = self._id(fields["name"], "name") if "name" in fields else None
        mode = Mode.ENFORCE
        if "mode" in fields:
            mode = Mode(reader.choice(fields["mode"], "mode", [each.value for each in Mode]) or Mode.ENFORCE)
        on_unknown = self._action(fields.get("on_unknown"), "on_unknown", _ANY_ACTION) or Action.HOLD
        says = self._says(fields.get("says"))
        joins = self._joins(fields["joins"]) if "joins" in fields else {}
        rules: list[Rule] = []
        for key in ("floors", "rules"):
            if key in fields:
                for node in reader.items(fields[key], key)[:MAX_RULES]:
                    rule = self._rule(node, joins, on_unknown, floor=key == "floors", acts=mode is Mode.ENFORCE)
                    if rule is not None:
                        rules.append(rule)
                if len(getattr(fields[key], "value", ())) > MAX_RULES:
                    reader.problem(fields[key], f"{key} has more than {MAX_RULES:,} rules, the most that is read")
        if not rules and not reader.problems:
            reader.problem(root, "the policy has no floors and no rules and would allow everything; add a rule")
        if reader.problems or name is None:
            return None
        return Policy(name=name, rules=tuple(rules), on_unknown=on_unknown, mode=mode, says=says, source=reader.source)

    def _joins(self, node: yaml.Node) -> Joins:
        reader = self._reader
        joins: dict[str, tuple[Reading, ...]] = {}
        for name, key_node, value in reader.entries(node, "joins"):
            if not SIGNAL_NAME.fullmatch(name[: MAX_NAME + 1]) or len(name) > MAX_NAME or name.startswith("*."):
                reader.problem(key_node, f"join {short(name)}: expected a name of the form word.word, as any.minor")
            elif name.partition(".")[0] in KINDS:
                reader.problem(
                    key_node,
                    f"join {short(name)} has the name of a signal; begin it with another word, as any.minor",
                )
            members: dict[str, Reading] = {}
            for item in reader.items(value, f"join {short(name)}"):
                pattern = reader.text(item, f"a signal of join {short(name)}", limit=MAX_NAME)
                if pattern is None:
                    continue
                if not self._is_signal(pattern):
                    reader.problem(item, f"join {short(name)} reads {short(pattern)}; {self._expected(pattern, {})}")
                elif pattern in members:
                    reader.problem(item, f"join {short(name)} reads {short(pattern)} twice; keep one")
                members[pattern] = Reading(pattern, reader.place(item))
            if isinstance(value, yaml.SequenceNode) and not value.value:
                reader.problem(value, f"join {short(name)} is empty and could never match; list its signals")
            # Kept even when it is wrong, so that the rules that read it are not blamed for it.
            joins[name] = tuple(members.values()) or (Reading(name, reader.place(key_node)),)
        return joins

    def _rule(self, node: yaml.Node, joins: Joins, on_unknown: Action, *, floor: bool, acts: bool) -> Rule | None:
        reader = self._reader
        before = len(reader.problems)
        what = "a floor" if floor else "a rule"
        fields = reader.fields(node, what, _RULE, required=("id", "when", "action"))
        rule_id = self._id(fields["id"], f"id of {what}") if "id" in fields else None
        what = f"{'floor' if floor else 'rule'} {rule_id!r}" if rule_id else what
        if rule_id is not None and rule_id in self._ids:
            reader.problem(
                fields["id"],
                f"{what}: the id stands twice, first in line {self._ids[rule_id].line}; give each rule its own",
            )
        when = self._when(fields["when"], what, joins) if "when" in fields else ()
        action = self._action(fields.get("action"), f"{what}: action", _RULE_ACTION)
        own = self._action(fields.get("on_unknown"), f"{what}: on_unknown", _ANY_ACTION)
        if floor and own is not None and own < Action.HOLD:
            reader.problem(fields["on_unknown"], f"{what}: on_unknown is {own.word}, but a floor that cannot be told "
                           "holds at least; expected hold or block")  # fmt: skip
        says = self._says(fields.get("says"), what)
        if rule_id is not None:
            self._ids.setdefault(rule_id, reader.place(fields["id"]))
        if len(reader.problems) > before or rule_id is None or action is None:
            return None
        rule = Rule(
            id=rule_id,
            when=when,
            action=action,
            on_unknown=own if own is not None else on_unknown,
            says=says,
            floor=floor,
            acts=acts,
            place=reader.place(node),
        )
        twin = self._seen.setdefault(rule.conditions, rule)
        if twin is not rule:
            reader.problem(
                fields["when"],
                f"{what} has the same conditions as {twin.id!r} in line {twin.place.line} ({described(twin.when)}), "
                "so only the stricter of the two could ever count; keep that one",
            )
            return None
        return rule

    def _when(self, node: yaml.Node, what: str, joins: Joins) -> tuple[Condition, ...]:
        reader = self._reader
        conditions = []
        for name, key_node, value in reader.entries(node, f"{what}: when"):
            at_least = reader.threshold(value, f"{what}: threshold of {short(name)}")
            if name not in joins and not self._is_signal(name):
                reader.problem(key_node, f"{what} reads {short(name)}; {self._expected(name, joins)}")
            elif at_least is not None:
                conditions.append(Condition(name, at_least, joins.get(name, ()), reader.place(key_node)))
        if isinstance(node, yaml.MappingNode) and not node.value:
            reader.problem(node, f"{what}: when is empty and would match everything; name a signal and its threshold")
        return tuple(conditions)

    def _expected(self, name: str, joins: Joins) -> str:
        known = [*joins, *SIGNALS, *(f"*.{signal.partition('.')[2]}" for signal in SIGNALS)]
        # Looked for only where it will be read: a file may have thousands of mistakes, and a server waits for it.
        hint = guess(name, known) if len(self._reader.problems) < MAX_PROBLEMS else ""
        forms = "expected a signal (prompt., input., output. or pair.<factor>, or *.<factor>)"
        return f"{forms} or a join that the policy declares{hint}" if joins else forms + hint

    @staticmethod
    def _is_signal(name: str) -> bool:
        kind = name.partition(".")[0]
        return len(name) <= MAX_NAME and (kind in KINDS or kind == "*") and bool(SIGNAL_NAME.fullmatch(name))

    def _id(self, node: yaml.Node, what: str) -> str | None:
        written = self._reader.text(node, what, limit=64)
        if written is not None and not _ID.fullmatch(written):
            self._reader.problem(
                node, f"{what} is {short(written)}; expected lower-case letters, digits, '-', '_' and '.'"
            )
            return None
        return written

    def _action(self, node: yaml.Node | None, what: str, options: tuple[str, ...]) -> Action | None:
        if node is None:
            return None
        if options is _RULE_ACTION and getattr(node, "value", None) == "allow":
            self._reader.problem(
                node, f"{what} is 'allow', which does nothing: the strictest rule wins; expected flag, hold or block"
            )
            return None
        word = self._reader.choice(node, what, options)
        return ACTIONS[word] if word is not None else None

    def _says(self, node: yaml.Node | None, what: str = "the policy") -> str:
        if node is None:
            return ""
        return " ".join((self._reader.text(node, f"{what}: says", limit=MAX_SAYS) or "").split())
