"""Prompts as the AUTOMATIC1111 family reads them: weights, schedules and alternatives resolved.

"nu[xx:de:0]" is the word "nude" from the first step on, and "(nude:1.3)" is that word with a weight.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\s{0,40}[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})\s{0,40}")
_DEPTH = 32
_PIECES = re.compile(r"[\\()\[\]:|]|[^\\()\[\]:|]+")
_STYLE = re.compile(r"<style:([^<>]{1,200})>", re.IGNORECASE)


class _Frame:
    """One bracket that is open: its parts, each as it reads at the first step and at the last."""

    def __init__(self, opening: str) -> None:
        self.opening = opening
        self.between = ""
        self.parts: list[tuple[list[str], list[str]]] = [([], [])]

    def add(self, first: str, last: str) -> None:
        self.parts[-1][0].append(first)
        self.parts[-1][1].append(last)

    def part(self, separator: str) -> None:
        self.between += separator
        self.parts.append(([], []))

    def read(self) -> tuple[str, str]:
        firsts = ["".join(part[0]) for part in self.parts]
        lasts = ["".join(part[1]) for part in self.parts]
        if "|" in self.between:
            return firsts[0], lasts[-1]
        numbered = len(firsts) > 1 and _NUMBER.fullmatch(firsts[-1]) is not None
        if numbered and self.opening == "[":
            if len(firsts) == 2:
                return "", lasts[0]
            return ":".join(firsts[:-2]), ":".join(lasts[1:-1])
        if numbered:
            return ":".join(firsts[:-1]), ":".join(lasts[:-1])
        return ":".join(firsts), ":".join(lasts)


def readings(prompt: str) -> tuple[str, ...]:
    """What the prompt says at the first step and at the last, without brackets and weights; those that differ from it.

    Linear: every character is joined once for each bracket around it, at most 32.
    """
    frames = [_Frame("")]
    literal = False
    for found in _PIECES.finditer(prompt):
        piece = found.group()
        top = frames[-1]
        if literal:
            top.add(piece, piece)
            literal = False
        elif piece == "\\":
            literal = True
        elif piece in "([" and len(frames) <= _DEPTH:
            frames.append(_Frame(piece))
        elif (piece, top.opening) in ((")", "("), ("]", "[")):
            frames.pop()
            frames[-1].add(*top.read())
        elif (piece == ":" and top.opening) or (piece == "|" and top.opening == "["):
            top.part(piece)
        else:
            top.add(piece, piece)
    while len(frames) > 1:
        left = frames.pop()
        frames[-1].add(*left.read())
    return tuple(dict.fromkeys(one for one in frames[0].read() if one.strip() and one != prompt))


def styles_in(prompt: str) -> list[str]:
    """The names of styles that SD.Next puts in the place of `<style:name>`."""
    return _STYLE.findall(prompt)
