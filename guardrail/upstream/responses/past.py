"""What is remembered of a response: the next call goes on from it by its id, and a job is fetched by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from guardrail.types import Artifact
from guardrail.upstream.memory import Memory


@dataclass(frozen=True, repr=False)
class Past:
    """A conversation up to a response: the texts that were judged, its turns and pictures, and what came of it."""

    texts: tuple[Artifact, ...] = ()
    lines: tuple[str, ...] = ()
    pictures: tuple[Artifact, ...] = ()
    said: tuple[str, ...] = ()
    made: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly: characters count as one."""
        texts = sum(len(one.text or "") for one in self.texts) + sum(map(len, (*self.lines, *self.said)))
        return texts + sum(len(one.data or b"") for one in self.pictures) + sum(map(len, self.made))


@dataclass(repr=False)
class Remembered:
    """The responses and pictures of one process, by id. What is not here cannot be referred to."""

    responses: Memory[Past] = field(default_factory=lambda: Memory(entries=4096, size=256_000_000))
    pictures: Memory[bytes] = field(default_factory=lambda: Memory(entries=4096, size=256_000_000))

    def keep(self, response: str, asked: Past, said: Sequence[str], made: Sequence[tuple[str, bytes]]) -> None:
        """Remember a response: what was asked, what it said, and its pictures with the ids of their items.

        Pictures that are refused are remembered too: the generator has them, and may be asked to go on from them.
        """
        for item, data in made:
            if item:
                self.pictures.put(item, data, len(data))
        lines = tuple(line for one in said if (line := " ".join(one.split())))
        past = replace(asked, said=lines, made=tuple(data for _, data in made))
        self.responses.put(response, past, past.size)
