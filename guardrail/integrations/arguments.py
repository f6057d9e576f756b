"""Arguments: what a pipeline is called with, sorted into texts and pictures to judge and what cannot be looked at.

Pipelines have some 400 argument names between them and every release has new ones, so what a value is counts for more
than what it is called: a text is a prompt unless it is a known setting, and what nobody here can read is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from numbers import Number
from typing import Any

from guardrail.errors import BadRequest
from guardrail.integrations.pixels import encoded, is_array, is_picture
from guardrail.upstream.gather import Gathered
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import left_out

# The names of settings that are texts, in diffusers 0.42.1.
SETTINGS = frozenset({"output_type", "output"})
STEP_TENSORS = re.compile(r"(?:\w+_)?callback_on_step_end_tensor_inputs")
STEP = re.compile(r"(?:\w+_)?callback_on_step_end")
_NUMBERS = re.compile(r"attention_mask\w*$")
_UNREAD = re.compile(r"embed|latent|hidden_states|token|input_ids", re.IGNORECASE)
_PICTURED = re.compile(
    r"image|img|mask|photo|picture|reference|frame|video|control|hint|depth|pose|keyframe", re.IGNORECASE
)
_DEEPEST = 6
_MOST_NUMBERS = 10_000  # values of one list that are gone through: time steps have 1,000
UNREAD_HINT = "; pass what it was made from, or open the guard with allow_unread=True, which the record then says"


@dataclass
class Read:
    """What one call holds: texts and pictures, the names of what nobody looked at, and how many prompts there are."""

    given: Gathered = field(default_factory=lambda: Gathered(Limits()))
    unread: list[str] = field(default_factory=list)
    prompts: int = 1


def read(named: Mapping[str, Any], *, allow_unread: bool) -> Read:
    """Sort the arguments of a call, as `inspect.BoundArguments` names them.

    Raises BadRequest for what is over a limit, for a picture that cannot be read, and, unless `allow_unread` says so,
    for what cannot be looked at: embeddings, latents, and values of a kind that is not known.
    """
    found = Read()
    reader = _Reader(found, allow_unread)
    for name, value in named.items():
        reader.value(name, name, value, 0)
    prompt = named.get("prompt")
    if isinstance(prompt, list | tuple):
        found.prompts = max(1, len(prompt))
    if found.prompts == 1:  # the prompts of several pictures are no parts of one
        found.given.settle()
    return found


class _Reader:
    def __init__(self, found: Read, allow_unread: bool) -> None:
        self._found = found
        self._allow_unread = allow_unread

    def value(self, name: str, slot: str, value: Any, depth: int) -> None:
        """One value: `name` is the nearest name above it, `slot` the whole way to it."""
        if value is None or isinstance(value, Number) or (depth == 0 and _is_setting(name)):
            return
        if isinstance(value, str):
            self._text(name, slot, value)
        elif is_picture(value):
            self._pictures(slot, value, mask=False)
        elif is_array(value):
            self._array(name, slot, value)
        elif isinstance(value, Mapping):
            for key, member in self._inside(value.items(), slot, depth):
                self.value(str(key), f"{slot}.{key}", member, depth + 1)
        elif isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
            for at, member in enumerate(self._inside(value, slot, depth)):
                self.value(name, f"{slot}[{at}]", member, depth + 1)
        elif not _harmless(value):
            self._cannot(slot, f"a {type(value).__name__} is nothing that can be looked at")

    def _inside(self, value: Any, slot: str, depth: int) -> Any:
        if depth >= _DEEPEST or len(value) > _MOST_NUMBERS:
            raise BadRequest(f"{slot}: nested too deep, or more than {_MOST_NUMBERS} values in one list", param=slot)
        return value

    def _text(self, name: str, slot: str, value: str) -> None:
        if _PICTURED.search(name) and not _is_prompt(name):
            # An address or a path: what is behind it now need not be what the pipeline finds.
            raise BadRequest(f"{slot}: a text where a picture is expected; load the picture first", param=slot)
        self._found.given.looked_at(value)
        self._found.given.text(slot, value, slot, left_out=left_out(name))

    def _array(self, name: str, slot: str, value: Any) -> None:
        if value.ndim < 2 or _NUMBERS.search(name):
            return
        if _UNREAD.search(name) or not _PICTURED.search(name):
            self._cannot(slot, "embeddings, latents and other tensors cannot be looked at")
            return
        try:
            self._pictures(slot, value, mask="mask" in name)
        except BadRequest as error:
            self._cannot(slot, str(error))

    def _pictures(self, slot: str, value: Any, *, mask: bool) -> None:
        for _, name, data in encoded(value, slot, mask=mask):
            self._found.given.picture(name, data, name)

    def _cannot(self, slot: str, why: str) -> None:
        if not self._allow_unread:
            raise BadRequest(f"{slot}: {why.removeprefix(f'{slot}: ')}{UNREAD_HINT}", param=slot, code="unreadable")
        self._found.unread.append(slot)


def _is_setting(name: str) -> bool:
    return name in SETTINGS or STEP.fullmatch(name) is not None or STEP_TENSORS.fullmatch(name) is not None


def _is_prompt(name: str) -> bool:
    return re.search(r"prompt|text|phrase|category", name) is not None


def _harmless(value: object) -> bool:
    """A seeded generator, a device or a type of PyTorch, a member of an enumeration."""
    kind = type(value)
    return isinstance(value, Enum) or (
        kind.__module__.partition(".")[0] == "torch" and kind.__name__ in {"Generator", "device", "dtype"}
    )
