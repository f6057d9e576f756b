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
_NEGATIVE_FIELDS = frozenset(
    (
        "negative_prompt", "negativeprompt", "negative", "uc", "undesired_content", "negative_prompts", "negatives",
        "negative_tags", "neg_prompt", "unwanted", "exclude", "excluded", "exclusions", "avoid",
    )
)  # fmt: skip
# Fields that only carry a text: their names are no part of what it says.
_CARRIERS = frozenset(
    (
        "prompt", "prompts", "text", "texts", "instruction", "instructions", "input", "inputs", "content", "contents",
        "caption", "description", "message", "messages", "query", "request", "parts", "data", "body", "params",
        "parameters", "positive", "value",
    )
)  # fmt: skip
# A switch that is off and says no more than this ("allow_nsfw": false) says what is not wanted.
_NAKED = frozenset(("nsfw", "nude", "nudity", "naked", "explicit", "adult", "porn", "pornography", "sexual", "sex"))
_OFF = frozenset(("", "0", "false", "no", "none", "off", "never", "nee", "nein", "non"))
# Fields of settings: not what is asked for, as long as they say no more than a setting does ("DPM++ 2M Karras").
_SILENT_FIELDS = frozenset(("seed", "steps", "cfg_scale", "sampler", "scheduler", "width", "height", "model", "size"))
_SETTING_WORDS = 3
_SWITCH = re.compile(r"(?<!\S)--(no|neg|negative)\s")
_NEXT_SWITCH = re.compile(r"(?<!\S)--[a-z]")
_LINE = re.compile(r"^[ \t]{0,8}negative[ _]prompt[ \t]{0,8}[:=]", re.IGNORECASE | re.MULTILINE)
# (word:1.4), [word], <lora:name:0.8>: weights and brackets carry no meaning; a LoRA's name does ("undress_v2").
_WEIGHT = re.compile(r":-?[0-9]{1,3}(?:\.[0-9]{1,4})?(?=[)\]>}])")
# The weight of a tag of what is not wanted, wherever it stands: "clothes::2", "hat:1.4".
_TAG_WEIGHT = re.compile(r"::?-?[0-9]{1,3}(?:\.[0-9]{1,4})?(?![\w.])")
# "<18" says who somebody is.
_BRACKETS = re.compile(r"[()\[\]{}>]|<(?! ?[0-9])")
_LORA = re.compile(r"<(?:lora|lyco|hypernet|embedding):([^<>:]{1,200})", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
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

    A JSON prompt gives one section per text field, all of them as one, and all of them with the names of their fields
    ("clothing: none", "age: 12"), as a generator that reads language has it; a prompt in words gives one section,
    without what follows a `--no` switch or a line "Negative prompt:"; when nothing else is there, that is asked.
    """
    unwanted: list[str] = []
    asked = _from_json(text, unwanted) if text.lstrip()[:1] in ("{", "[") else []
    if not asked:
        unwanted.clear()
        kept = _without_negative(text, unwanted)
        asked = [kept]
        if not kept.strip():
            asked, unwanted = [text], []
    unwanted = [_TAG_WEIGHT.sub(" ", part) if ":" in part else part for part in unwanted]
    return Sections(tuple(_plain(part) for part in asked), tuple(_plain(part) for part in unwanted))


def _plain(text: str) -> str:
    if not text.isupper():
        text = _BREAKS.sub("\n", text)
    if not any(c in text for c in "()[]{}<>"):
        return text
    text = _LORA.sub(_model_name, text)
    return _BRACKETS.sub(" ", _WEIGHT.sub(" ", text))


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


class _Fields(list[tuple[str, Any]]):
    """The fields of an object, one as often as it stands there: who reads the text reads each."""


def _from_json(text: str, unwanted: list[str]) -> list[str]:
    negative: list[str] = []
    try:
        told = list(_told(json.loads(text, object_pairs_hook=_Fields), "", 0, negative))
    except (ValueError, RecursionError):
        return []
    unwanted += negative
    asked = [part for part, _ in told if part.strip()]
    if len(told) > 1 and asked:
        together = (". ".join(asked), ". ".join(said for _, said in told))
        asked += [one for one in dict.fromkeys(together) if one not in asked]
    elif asked and not _CARRIERS.issuperset(_WORD.findall(told[0][1].removesuffix(asked[0]).casefold())):
        asked.append(told[0][1])
    return asked


def _told(value: Any, name: str, depth: int, unwanted: list[str]) -> Iterator[tuple[str, str]]:
    """What a value says by itself, "" for a number, and what it says beside its name.

    The first thing within a value says its name, and no other: a long name beside each would make a text as long as
    the square of the prompt.
    """
    if isinstance(value, str):
        yield value, _named(name, value)
    elif isinstance(value, bool | int | float):
        yield "", _named(name, _said(value))
    elif isinstance(value, _Fields | list) and depth >= _DEEPEST:
        deep = json.dumps(value, ensure_ascii=False)  # too deep to read as structure: read as text
        yield deep, _named(name, deep)
    elif isinstance(value, _Fields):
        yield from _of_fields(value, name, depth, unwanted)
    elif isinstance(value, list) and all(isinstance(part, str | bool | int | float) for part in value):
        tags = ", ".join(map(_said, value))  # a list of tags is one text
        yield tags if any(isinstance(part, str) for part in value) else "", _named(name, tags)
    elif isinstance(value, list):
        for part in value:
            for told in _told(part, name, depth + 1, unwanted):
                name = ""
                yield told


def _of_fields(fields: _Fields, around: str, depth: int, unwanted: list[str]) -> Iterator[tuple[str, str]]:
    """What an object says, `around` which so many names stand."""
    for name, inside in fields:
        low = name.casefold().replace(" ", "_").replace("-", "_")
        words = _NAME_JOINT.sub(" ", name)
        if low in _NEGATIVE_FIELDS:
            unwanted.extend(part for part, _ in _told(inside, "", depth + 1, []) if part)
        elif _is_off(words, inside):
            unwanted.append(words)
        elif low not in _SILENT_FIELDS or not _is_setting(inside):
            if not _is_setting(words):
                yield words, words
            for told in _told(inside, f"{around} {words}".strip(), depth + 1, unwanted):
                around = ""
                yield told


def _said(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else str(value)


def _is_off(name: str, inside: Any) -> bool:
    """True for a switch for nakedness that is off."""
    words = _WORD.findall(name.casefold())
    if not 0 < len(words) <= _SETTING_WORDS or _NAKED.isdisjoint(words):
        return False
    return isinstance(inside, str | bool | int | float) and str(inside).strip().casefold() in _OFF


def _is_setting(value: Any) -> bool:
    if isinstance(value, str):
        return len(_WORD.findall(value)) <= _SETTING_WORDS
    return not isinstance(value, list)


def _named(name: str, said: str) -> str:
    return f"{name}: {said}" if name else said
