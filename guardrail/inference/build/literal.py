"""Literals of JavaScript: what a bundled module exports, read and never run.

Some weights are published as modules of one statement, `m.exports=<literal>`, in the frame that browserify puts around
it. What is not exactly that frame around one literal is refused.
"""

from __future__ import annotations

import re
from typing import Any

from guardrail.errors import ConfigError

_HEAD = re.compile(r"\(\{1:\[function\([A-Za-z_$]+,([A-Za-z_$]+),[A-Za-z_$]+\)\{\1\.exports=")
_TAIL = "},{}]},{},[1])(1)});"
_NUMBER = re.compile(r"-?(?:\d{1,32}(?:\.\d{0,32})?|\.\d{1,32})(?:[eE][+-]?\d{1,3})?")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,127}")
_MOST_DEEP = 32
_PLAIN = {"!0": True, "!1": False, "true": True, "false": False, "null": None}


def exported(text: str, where: str) -> Any:
    """The literal that a bundled module exports: dicts, lists, strings without escapes, numbers, True, False, None.

    Time is linear in the text. Raises ConfigError, naming `where`, for anything that is not such a module.
    """
    head = _HEAD.search(text, 0, 4096)
    if head is None:
        raise ConfigError(f"{where}: no exported literal in its first 4096 characters; expected a browserified module")
    value, end = _value(text, head.end(), where, 0)
    if text[end:].strip() != _TAIL:
        raise ConfigError(f"{where}: something follows the exported literal at character {end}; it is not read")
    return value


def _value(text: str, at: int, where: str, depth: int) -> tuple[Any, int]:
    if depth > _MOST_DEEP:
        raise ConfigError(f"{where}: nested deeper than {_MOST_DEEP} at character {at}")
    first = text[at : at + 1]
    if first in {'"', "'"}:
        return _string(text, at, where)
    if first == "{":
        return _object(text, at, where, depth)
    if first == "[":
        return _list(text, at, where, depth)
    for written, value in _PLAIN.items():
        if text.startswith(written, at):
            return value, at + len(written)
    number = _NUMBER.match(text, at)
    if number is None:
        raise ConfigError(f"{where}: no literal at character {at}")
    plain = number[0].lstrip("-").isdigit()
    return int(number[0]) if plain else float(number[0]), number.end()


def _string(text: str, at: int, where: str) -> tuple[str, int]:
    end = text.find(text[at], at + 1)
    value = text[at + 1 : end]
    if end < 0 or "\\" in value or "\n" in value:
        raise ConfigError(f"{where}: the string at character {at} has no end, or an escape that is not read")
    return value, end + 1


def _list(text: str, at: int, where: str, depth: int) -> tuple[list[Any], int]:
    values: list[Any] = []
    at += 1
    while not text.startswith("]", at):
        if values:
            at = _comma(text, at, where)
        value, at = _value(text, at, where, depth + 1)
        values.append(value)
    return values, at + 1


def _object(text: str, at: int, where: str, depth: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    at += 1
    while not text.startswith("}", at):
        if values:
            at = _comma(text, at, where)
        if text[at : at + 1] in {'"', "'"}:
            key, at = _string(text, at, where)
        else:
            word = _WORD.match(text, at)
            if word is None:
                raise ConfigError(f"{where}: no name of a field at character {at}")
            key, at = word[0], word.end()
        if not text.startswith(":", at) or key in values:
            raise ConfigError(f"{where}: the field at character {at} has no value, or stands there twice")
        values[key], at = _value(text, at + 1, where, depth + 1)
    return values, at + 1


def _comma(text: str, at: int, where: str) -> int:
    if not text.startswith(",", at):
        raise ConfigError(f"{where}: no comma and no end at character {at}")
    return at + 1
