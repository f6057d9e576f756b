"""Outputs: the pictures and texts in what a pipeline gave back, and the same without those that were refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from numbers import Number
from typing import Any

from guardrail.errors import BadRequest
from guardrail.integrations.pixels import blackened, encoded, is_array, is_picture
from guardrail.types import Artifact, Decision, Kind

Leaf = Callable[[Any, str], Any]
FLAGS = "nsfw_content_detected"


class Output:
    """One call's output. `artifacts` are its pictures, in order, `texts` its texts, `unread` what is neither.

    Raises BadRequest for something that cannot be looked at, unless that is allowed.
    """

    def __init__(self, made: Any, *, allow_unread: bool) -> None:
        self.artifacts: list[Artifact] = []
        self.texts: list[Artifact] = []
        self.unread: list[str] = []
        self._made = made
        self._allow_unread = allow_unread
        # Of each array or PIL picture, in order: the place in it that each of its artifacts shows.
        self._places: list[list[int]] = []
        for name, value in _fields(made).items():
            _walk(value, name, self._take)

    def without(self, each: Sequence[Decision]) -> Any:
        """What may be returned, given one decision on each artifact: refused pictures black, and films whole or not.

        An output that can say so gets `nsfw_content_detected` and `guardrail`, one entry for each picture.
        """
        places, verdicts = iter(self._places), iter(each if self.artifacts else ())
        decided: dict[str, list[Decision]] = {}
        new: dict[str, Any] = {}
        for name, value in _fields(self._made).items():
            said = decided[name] = []
            leaves: list[tuple[list[int], list[Decision]]] = []

            def collect(leaf: Any, slot: str, said: Any = said, leaves: Any = leaves) -> Any:
                if _pictured(leaf):
                    shown = next(places)
                    by = list(islice(verdicts, len(shown)))
                    leaves.append((shown, by))
                    said += [_strictest(by, shown, at) for at in dict.fromkeys(shown)]
                return leaf

            _walk(value, name, collect)
            all_of_it = _is_film(name, value) and any(one.action.refuses for one in said)
            left = iter(leaves)

            def blacken(leaf: Any, slot: str, left: Any = left, all_of_it: bool = all_of_it) -> Any:
                if not _pictured(leaf):
                    return leaf
                shown, by = next(left)
                bad = {at for at, one in zip(shown, by, strict=True) if all_of_it or one.action.refuses}
                return blackened(leaf, frozenset(bad)) if bad else leaf

            new[name] = _walk(value, name, blacken)
        return self._again(new, decided)

    def _again(self, new: dict[str, Any], decided: Mapping[str, list[Decision]]) -> Any:
        made = self._made
        first = next((said for said in decided.values() if said), [])
        flags = [one.action.refuses for one in first]
        if isinstance(made, tuple):
            answer = list(new.values())
            if len(answer) == 2 and (answer[1] is None or _is_flags(answer[1])):
                answer[1] = _either(answer[1], flags)
            return tuple(answer)
        if _bare(made):
            return new["images"]
        for name, value in new.items():
            setattr(made, name, value)
        setattr(made, FLAGS, _either(getattr(made, FLAGS, None), flags))
        made.guardrail = tuple(first)
        return made

    def _take(self, leaf: Any, slot: str) -> Any:
        """One leaf of the output, taken down as what is to be judged."""
        if isinstance(leaf, str):
            self.texts.append(Artifact(Kind.PROMPT, slot, text=leaf))
        elif _pictured(leaf):
            shown: list[int] = []
            try:
                for at, name, data in encoded(leaf, slot):
                    shown.append(at)
                    self.artifacts.append(Artifact(Kind.OUTPUT, name, data=data))
            except BadRequest as error:
                self._cannot(slot, str(error))
            self._places.append(shown)
        elif leaf is not None and not isinstance(leaf, Number) and not (is_array(leaf) and leaf.ndim < 2):
            self._cannot(slot, f"{slot}: a {type(leaf).__name__} cannot be looked at")
        return leaf

    def _cannot(self, slot: str, why: str) -> None:
        if not self._allow_unread:
            raise BadRequest(f"{why}; it is withheld", param=slot, code="unreadable")
        self.unread.append(slot)


def _fields(made: Any) -> dict[str, Any]:
    """The parts of an output by name; of a tuple the first is called images."""
    if isinstance(made, tuple):
        return {"images" if at == 0 else f"[{at}]": value for at, value in enumerate(made)}
    if isinstance(made, Mapping):
        return dict(made)
    if dataclasses.is_dataclass(made) and not isinstance(made, type):
        return {one.name: getattr(made, one.name) for one in dataclasses.fields(made)}
    return {"images": made}


def _bare(made: Any) -> bool:
    return not isinstance(made, Mapping) and not dataclasses.is_dataclass(made)


def _walk(value: Any, slot: str, leaf: Leaf) -> Any:
    """Show every leaf of nested lists to a function, and build them again of what it gives."""
    if isinstance(value, list | tuple):
        return type(value)([_walk(one, f"{slot}[{at}]", leaf) for at, one in enumerate(value)])
    return leaf(value, slot)


def _pictured(leaf: Any) -> bool:
    return is_picture(leaf) or (is_array(leaf) and leaf.ndim >= 2)


def _is_film(name: str, value: Any) -> bool:
    nested = isinstance(value, list) and any(isinstance(one, list) for one in value)
    return name == "frames" or nested or (is_array(value) and value.ndim > 4)


def _strictest(by: Sequence[Decision], shown: Sequence[int], at: int) -> Decision:
    """Of the decisions on the renderings of one picture."""
    return max((one for one, place in zip(by, shown, strict=True) if place == at), key=lambda one: one.action)


def _is_flags(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, bool) for one in value)


def _either(theirs: Any, ours: list[bool]) -> list[bool]:
    """Flags of the pipeline's own safety checker stay up."""
    if _is_flags(theirs) and len(theirs) == len(ours):
        return [one or other for one, other in zip(theirs, ours, strict=True)]
    return ours
