"""YAML with a place for everything: each complaint names file, line and column, and says what was expected.

Files are read through PyYAML's node API and never turned into Python objects. Anchors and aliases are refused:
a policy is read by people who must answer for it, and what it says should stand where it applies.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from guardrail.errors import ConfigError

MAX_DEPTH = 8  # a policy needs five levels; deeper nesting is a mistake or an attack on the parser
MAX_PROBLEMS = 50  # more complaints than this help nobody
MISSPELT = 0.85  # how alike two names are of which one is taken for the other: one letter of seven
_PARSER = yaml.CSafeLoader
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))
_DIGITS = frozenset("0123456789.+-eE")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_HINTS = {
    "an alias": "; a name that begins with '*' is written in quotes",
    "cannot start any token": "; indent with spaces, and put a text that begins with a sign in quotes",
}
_QUOTES = ("'", '"', "|", ">")


@dataclass(frozen=True)
class Place:
    """Where something stands in a file; line and column count from 1, 0 means the file as a whole."""

    source: str = "<policy>"
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """What is wrong, where, and what was expected."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class PolicyError(ConfigError):
    """A policy or cases file is wrong; `problems` holds every complaint, the message lists them line by line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def guess(word: str, known: Collection[str]) -> str:
    """'; did you mean x?' when one of `known` is close to `word`, else ''."""
    near = get_close_matches(word[:100], sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def misspelt(word: str, known: Collection[str]) -> str:
    """The one of `known` that was surely meant by `word`, which is none of them; "" where it may well be another."""
    if word in known:
        return ""
    near = get_close_matches(word[:100], sorted(known), n=1, cutoff=MISSPELT)
    return near[0] if near else ""


class OnceLoader(yaml.SafeLoader):
    """Plain values of a file of another format, in which no key may stand twice: YAML would keep the last.

    Where a lock stood in the first, the door would be open. Numbers that YAML 1.1 reads as others are refused too:
    07070 is 3640 there, and 2:30 is 150.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                said = f"{key.value!r} stands twice in one mapping; keep one"
                raise yaml.constructor.ConstructorError(problem=said, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        written: str = node.value
        if ":" in written or (node.tag.endswith(":int") and _OCTAL.fullmatch(written)):
            said = f"{written!r} would be read as another number (octal, or base 60); write it in decimal, or in quotes"
            raise yaml.constructor.ConstructorError(problem=said, problem_mark=node.start_mark)
        number = self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float
        read: int | float = number(node)
        return read


for _kind in ("int", "float"):
    OnceLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", OnceLoader.construct_number)


def short(text: str) -> str:
    """What was written, quoted and cut for an error message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def read_text(path: Path, *, limit: int) -> str:
    """The text of a file of at most `limit` bytes, UTF-8. Raises PolicyError."""
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise PolicyError(
            [Problem(place, f"cannot be read ({getattr(error, 'strerror', None) or error}); expected a YAML file")]
        ) from None
    return decoded(body, str(path), limit=limit)


def decoded(body: bytes, source: str, *, limit: int) -> str:
    """`body` as UTF-8 text of at most `limit` bytes. Raises PolicyError."""
    if len(body) > limit:
        raise PolicyError([Problem(Place(source), f"is larger than {limit:,} bytes, the most that is read")])
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = body[: error.start]
        place = Place(source, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        raise PolicyError([Problem(place, "is not UTF-8; expected YAML text saved as UTF-8")]) from None


class Reader:
    """Reads nodes of one file and gathers what is wrong with them, so that all of it is told at once.

    Every method that reads returns None (or nothing) after noting a problem; `finish` raises when there was one.
    `line_offset` is added to lines: for a document that is one line of a larger file.
    """

    def __init__(self, source: str, *, line_offset: int = 0) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._offset = line_offset

    def finish(self) -> None:
        """Raise PolicyError when anything was wrong."""
        if self.problems:
            found = sorted(self.problems, key=lambda problem: (problem.place.line, problem.place.column))
            raise PolicyError(found[:MAX_PROBLEMS])

    def place(self, node: yaml.Node | None) -> Place:
        return self._at(node.start_mark) if node is not None else Place(self.source)

    def problem(self, node: yaml.Node | None, message: str) -> None:
        self.problems.append(Problem(self.place(node), message))

    def compose(self, text: str) -> yaml.Node | None:
        """The root node of a document. Depth, aliases and anchors are looked at before any tree is built."""
        try:
            self._scan(text)
            if self.problems:
                return None
            root: yaml.Node | None = yaml.compose(text, Loader=_PARSER)
        except yaml.MarkedYAMLError as error:
            said = " ".join(part for part in (error.context, error.problem) if part)
            hint = next((hint for sign, hint in _HINTS.items() if sign in said), "")
            place = self._at(error.problem_mark or error.context_mark)
            self.problems.append(Problem(place, f"is not YAML: {said}{hint}"))
            return None
        except yaml.reader.ReaderError as error:
            before = text[: error.position] if isinstance(error.position, int) else ""
            place = Place(self.source, before.count("\n") + 1 + self._offset, len(before) - before.rfind("\n"))
            self.problems.append(Problem(place, "holds a character that YAML does not allow; remove it"))
            return None
        if root is None:
            self.problem(None, "is empty; expected a YAML document")
        return root

    def entries(self, node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Each key of a mapping with its own node and its value's; a key that stands twice is a problem."""
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, f"{what} is {_described(node)}; expected a mapping (key: value)")
            return
        seen: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problem(key, f"{what} has a key that is {_described(key)}; expected a word")
            elif key.value in seen:
                first = self.place(seen[key.value]).line
                self.problem(
                    key,
                    f"{short(key.value)} stands twice in {what}, first in line {first}; one of them would be lost, "
                    "keep one",
                )
            else:
                seen[key.value] = key
                yield key.value, key, value

    def fields(
        self, node: yaml.Node, what: str, known: Sequence[str], required: Collection[str] = ()
    ) -> dict[str, yaml.Node]:
        """The values of a mapping whose keys are fixed; unknown and missing keys are problems."""
        found: dict[str, yaml.Node] = {}
        written = isinstance(node, yaml.MappingNode)
        for key, key_node, value in self.entries(node, what):
            if key in known:
                found[key] = value
            else:
                self.problem(
                    key_node, f"unknown key {short(key)} in {what}{guess(key, known) or '; expected ' + _listed(known)}"
                )
        for key in required:
            if written and key not in found:
                self.problem(node, f"{what} has no {key!r}; expected {_listed(known)}")
        return found

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, f"{what} is {_described(node)}; expected a list (- item)")
            return []
        return list(node.value)

    def text(self, node: yaml.Node, what: str, *, limit: int) -> str | None:
        """A text of 1 to `limit` characters without control characters."""
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            hint = "; put it in quotes" if isinstance(node, yaml.ScalarNode) and node.value else ""
            self.problem(node, f"{what} is {_described(node)}; expected a text{hint}")
            return None
        value: str = node.value
        if not value.strip() or len(value) > limit:
            self.problem(node, f"{what} has {len(value)} characters; expected 1 to {limit}")
            return None
        if any(ord(letter) < 32 and letter != "\n" for letter in value):
            self.problem(node, f"{what} holds a control character; remove it")
            return None
        return value

    def choice(self, node: yaml.Node, what: str, options: Sequence[str]) -> str | None:
        written = node.value if isinstance(node, yaml.ScalarNode) else ""
        if written in options:
            return str(written)
        said = short(written) if written else _described(node)
        self.problem(node, f"{what} is {said}; expected {_listed(options)}{guess(written, options)}")
        return None

    def threshold(self, node: yaml.Node, what: str) -> float | None:
        """A number in (0, 1]: 0 would match everything, more than 1 nothing."""
        value = self.number(node, what)
        if value is None:
            return None
        if value == 0:
            self.problem(node, f"{what} is 0, which would match everything; expected a number above 0, at most 1")
        elif value < 0:
            self.problem(node, f"{what} is {node.value}, which would match everything; expected above 0, at most 1")
        elif value > 1:
            percent = f"; did you mean {value / 100:g}?" if 1 < value <= 100 else ""
            self.problem(node, f"{what} is {node.value}, but scores lie in [0, 1] and it would never match{percent}")
        else:
            return value
        return None

    def number(self, node: yaml.Node, what: str) -> float | None:
        """A plain number, of any size."""
        if not isinstance(node, yaml.ScalarNode):
            self.problem(node, f"{what} is {_described(node)}; expected a number from 0 to 1")
            return None
        written: str = node.value
        quoted = node.style in _QUOTES
        if not quoted and 0 < len(written) <= 32 and _DIGITS.issuperset(written):
            try:
                return float(written)
            except ValueError:
                pass
        hint = ""
        share = written.removesuffix("%").strip()
        if written.endswith("%") and len(share) < 8 and share.replace(".", "", 1).isdecimal():
            hint = f"; did you mean {float(share) / 100:g}?"
        elif quoted:
            hint = "; write it without quotes"
        said = short(written) if written else "empty"
        self.problem(node, f"{what} is {said}; expected a number from 0 to 1{hint}")
        return None

    def _scan(self, text: str) -> None:
        depth = 0
        for event in yaml.parse(text, Loader=_PARSER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            fault = _fault(event, depth)
            if fault:
                self.problems.append(Problem(self._at(event.start_mark), fault))
                return

    def _at(self, mark: Any) -> Place:
        if mark is None:
            return Place(self.source)
        return Place(self.source, mark.line + 1 + self._offset, mark.column + 1)


def _fault(event: yaml.Event, depth: int) -> str:
    if depth > MAX_DEPTH:
        return f"is nested more than {MAX_DEPTH} deep; nothing in this format is"
    if getattr(event, "anchor", None) is not None:
        return "anchors and aliases (&, *) are not read here; write the value out, or put a name with '*' in quotes"
    if getattr(event, "tag", None) not in {None, "!", *_PLAIN_TAGS}:
        return "tags (!) are not read here; write the plain value"
    return ""


def _described(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kind = node.tag.rpartition(":")[2]
    if kind == "null" or not node.value:
        return "empty"
    return {"int": "a number", "float": "a number", "bool": "a yes or no"}.get(kind, "a text")


def _listed(options: Sequence[str]) -> str:
    return ", ".join(options[:-1]) + " or " + options[-1] if len(options) > 1 else "".join(options)
