"""The file in which an operator describes concepts in words; every mistake is told with its line."""

from __future__ import annotations

from pathlib import Path

import yaml

from guardrail.inference.clip.concepts import MOST, NAME
from guardrail.inference.clip.words import Described
from guardrail.policy.nodes import Reader, decoded, read_text, short

MAX_BYTES = 256 * 1024
MAX_PROMPT = 300
MOST_PROMPTS = 100
TEMPLATES: tuple[str, ...] = ("a photo of {}.", "a picture of {}.", "{}")
_TOP = ("version", "templates", "concepts")
_CONCEPT = ("prompts", "background")


def load_concepts(path: Path) -> tuple[Described, ...]:
    """The concepts that a YAML file describes. Raises ConfigError with every mistake as file:line:column."""
    return parse_concepts(read_text(path, limit=MAX_BYTES), source=str(path))


def parse_concepts(text: str, *, source: str = "<concepts>") -> tuple[Described, ...]:
    """The concepts that `text` describes; `source` is the name that errors carry. Raises ConfigError."""
    reader = Reader(source)
    root = reader.compose(decoded(text.encode("utf-8", "surrogatepass"), source, limit=MAX_BYTES))
    found = _concepts(reader, root) if root is not None else ()
    reader.finish()
    return found


def _concepts(reader: Reader, root: yaml.Node) -> tuple[Described, ...]:
    fields = reader.fields(root, "the file", _TOP, required=("version", "concepts"))
    if "version" in fields and getattr(fields["version"], "value", "") != "1":
        reader.problem(fields["version"], "version is not known; expected 1")
    templates = TEMPLATES
    if "templates" in fields:
        templates = _texts(reader, fields["templates"], "templates")
        for item in getattr(fields["templates"], "value", ()):
            if "{}" not in str(getattr(item, "value", "{}")):
                reader.problem(item, f"template {short(str(item.value))} has no {{}}, where the prompt would go")
    if "concepts" not in fields:
        return ()
    found = []
    for name, key, value in reader.entries(fields["concepts"], "concepts"):
        if not NAME.fullmatch(name):
            reader.problem(key, f"concept {short(name)}: expected lower-case letters, digits, '-' and '_', at most 40")
        parts = reader.fields(value, f"concept {short(name)}", _CONCEPT, required=("prompts",))
        lists = [_texts(reader, parts[part], f"{part} of {short(name)}") if part in parts else () for part in _CONCEPT]
        found.append(Described(name, lists[0], lists[1], templates))
    if not found and not reader.problems:
        reader.problem(fields["concepts"], "concepts is empty; name at least one")
    if len(found) > MOST:
        reader.problem(fields["concepts"], f"there are {len(found)} concepts; at most {MOST} are judged")
    return tuple(found)


def _texts(reader: Reader, node: yaml.Node, what: str) -> tuple[str, ...]:
    items = reader.items(node, what)
    if isinstance(node, yaml.SequenceNode) and not items:
        reader.problem(node, f"{what} is empty; leave it out, or list at least one text")
    if len(items) > MOST_PROMPTS:
        reader.problem(node, f"{what} has {len(items)} texts; at most {MOST_PROMPTS} are read")
    return tuple(
        " ".join(text.split()) for item in items if (text := reader.text(item, what, limit=MAX_PROMPT)) is not None
    )
