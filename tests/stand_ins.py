"""Honest stand-ins: each stands behind the interface the real one has, so nothing is patched."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from guardrail.types import Kind, Unknown

Scores = Mapping[str, float | Unknown]


def png(words: str, side: int = 8) -> bytes:
    """A grey PNG that carries words, so that a stand-in check can tell one from another."""
    info = PngInfo()
    info.add_text("says", words)
    out = io.BytesIO()
    Image.new("RGB", (side, side), (90, 90, 90)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


class Says:
    """A check that says what it was built with, of everything it is shown."""

    def __init__(self, scores: Mapping[str, Any], kinds: Sequence[Kind] = (Kind.PROMPT,), name: str = "says") -> None:
        self.name = name
        self.kinds = frozenset(kinds)
        self.factors = frozenset(scores)
        self.models: tuple[str, ...] = (f"{name}@1",)
        self.scores = scores
        self.batches: list[int] = []

    def score(self, batch: Sequence[Any]) -> Sequence[Scores]:
        self.batches.append(len(batch))
        return [self.scores for _ in batch]


class Asks(Says):
    """A check that asks a function about each subject; the function may raise, wait or say nonsense."""

    def __init__(
        self,
        answer: Callable[[Any], Any],
        factors: Sequence[str],
        kinds: Sequence[Kind] = (Kind.PROMPT,),
        name: str = "asks",
    ) -> None:
        super().__init__(dict.fromkeys(factors, 0.0), kinds, name)
        self.answer = answer

    def score(self, batch: Sequence[Any]) -> Sequence[Scores]:
        self.batches.append(len(batch))
        return [self.answer(subject) for subject in batch]


class Hangs(Says):
    """A check that does not come back until it is let go."""

    def __init__(self, factors: Sequence[str], kinds: Sequence[Kind] = (Kind.OUTPUT,), name: str = "hangs") -> None:
        super().__init__(dict.fromkeys(factors, 0.0), kinds, name)
        self.let_go = threading.Event()

    def score(self, batch: Sequence[Any]) -> Sequence[Scores]:
        self.let_go.wait(30.0)
        return super().score(batch)
