"""Sections: the parts of a structured prompt that are judged apart.

What the prompt's own syntax marks as unwanted is left out: "nudity" in a negative prompt is a good sign. The syntax
must be unmistakable (a JSON field, a command-line switch, a line of its own), or any harmful text could be hidden
behind the word "negative"; all else is judged. The unwanted part is handed on too: clothes in it are an undress
request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# JSON is only tried on what may be JSON, and only this deep.
_DEEPEST = 8
_NEGATIVE_FIELDS = frozenset(("negative_prompt", "negativeprompt", "negative", "uc", "undesired_content"))
# Fields of settings: not what is asked for.
_SILENT_FIELDS = frozenset(("seed", "steps", "cfg_scale", "sampler", "scheduler", "width", "height", "model", "size"))
_SWITCH = re.compile(r"(?<!\S)--(no|neg|negative)\s")
_NEXT_SWITCH = re.compile(r"(?<!\S)--[a-z]")
_LINE = re.compile(r"^[ \t]{0,8}negative[ _]prompt[ \t]{0,8}[:=]", re.IGNORECASE | re.MULTILINE)
# (word:1.4), [word], <lora:name:0.8>: weights and brackets carry no meaning; a LoRA's name does ("undress_v2").
_WEIGHT = re.compile(r":-?[0-9]{1,3}(?:\.[0-9]{1,4})?(?=[)\]>}])")
_BRACKETS = str.maketrans("()[]{}<>", "        ")
_LORA = re.compile(r"<(?:lora|lyco|hypernet|embedding):([^<>:]{1,200})", re.IGNORECASE)
_NAME_JOINT = re.compile(r"[_.\-0-9]+|(?<=[a-z])(?=[A-Z])")
# Parts of a prompt that are drawn one after the other, or by chance: each is asked for.
_BREAKS = re.compile(r"(?<!\S)(?:BREAK|AND|ADDCOMM|ADDBASE|ADDROW|ADDCOL)(?!\S)|\|")


@dataclass(frozen=True)
class Sections:
    """The parts of a prompt: what it asks for, each to be judged by itself, and what it says it does not want."""

    asked: tuple[str, ...]
    unwanted: tuple[str, ...] = ()


def sections(text: str) -> Sections:
    """Take a prompt apart; weights and brackets are taken off.

    A JSON prompt gives one section per text field, and all of them as one; a prompt in words gives one section,
    without what follows a `--no` switch or a line "Negative prompt:"; when nothing else is there, that is asked.
    """
    unwanted: list[str] = []
    if text[:1] in "{[" and text:
        asked = _from_json(text, unwanted)
        if len(asked) > 1:
            asked.append(". ".join(asked))
    else:
        asked = []
    if not asked:
        unwanted.clear()
        kept = _without_negative(text, unwanted)
        asked = [kept]
        if not kept.strip():
            asked, unwanted = [text], []
    return Sections(tuple(_plain(part) for part in asked), tuple(_plain(part) for part in unwanted))


def _plain(text: str) -> str:
    if not text.isupper():
        text = _BREAKS.sub("\n", text)
    if not any(c in text for c in "()[]{}<>"):
        return text
    text = _LORA.sub(_model_name, text)
    return _WEIGHT.sub(" ", text).translate(_BRACKETS)


def _model_name(match: re.Match[str]) -> str:
    """The name of a fine-tuned model as words: "<lora:nude_fixV2:1>" asks for what it was made for."""
    return f" {_NAME_JOINT.sub(' ', match[1])} "


def _without_negative(text: str, unwanted: list[str]) -> str:
    if line := _LINE.search(text):
        # What follows is unwanted up to the line of settings ("Steps: 20, ...").
        after = text[line.end() :]
        settings = after.find("\nSteps:")
        unwanted.append(after if settings < 0 else after[:settings])
        text = text[: line.start()] + (after[settings:] if settings >= 0 else "")
    if not _SWITCH.search(text):
        return text
    parts, at = [], 0
    while switch := _SWITCH.search(text, at):
        parts.append(text[at : switch.start()])
        following = _NEXT_SWITCH.search(text, switch.end())
        end = following.start() if following else len(text)
        unwanted.append(text[switch.end() : end])
        at = end
    return " ".join([*parts, text[at:]])


def _from_json(text: str, unwanted: list[str]) -> list[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [part for part in _strings(value, 0, unwanted) if part.strip()]


def _strings(value: Any, depth: int, unwanted: list[str]) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth >= _DEEPEST:
        yield json.dumps(value, ensure_ascii=False)  # too deep to read as structure: read as text
    elif isinstance(value, list) and all(isinstance(part, str) for part in value):
        yield ", ".join(value)  # a list of tags is one text
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, depth + 1, unwanted)
    elif isinstance(value, dict):
        for name, inside in value.items():
            low = str(name).casefold().replace(" ", "_").replace("-", "_")
            if low in _NEGATIVE_FIELDS:
                unwanted.extend(_strings(inside, depth + 1, []))
            elif low not in _SILENT_FIELDS:
                yield from _strings(inside, depth + 1, unwanted)
