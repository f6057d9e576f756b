"""What the server needs of a guard: `guardrail.pipeline` gives it, tests stand in for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from guardrail.errors import BadRequest, GuardrailError, Overloaded
from guardrail.policy.unjudged import UNREADABLE
from guardrail.types import Artifact, Decision, Receipt, Request
from guardrail.upstream.dialect import Headers


class Case(Protocol):
    """One request under judgement."""

    id: str

    @property
    def so_far(self) -> Decision:
        """On what was looked at so far, for the record of a case that is not judged to its end; a block where a picture
        cannot be read."""
        ...

    async def judge_request(self) -> Decision:
        """Judge texts and input pictures. Raises Overloaded, and BadRequest for a picture that cannot be read."""
        ...

    async def judge_outputs(self, outputs: Sequence[Artifact], texts: Sequence[Artifact] = ()) -> list[Decision]:
        """One decision per output, in order; one in all for texts alone."""
        ...

    def overall(self, decisions: Sequence[Decision]) -> Decision:
        """The decision that a record of all of them carries."""
        ...

    async def seal(self, decision: Decision, *, status: str) -> Receipt:
        """Write the record. Raises AuditError."""
        ...

    def headers(self, decision: Decision, receipt: Receipt) -> list[tuple[str, str]]: ...


class Guard(Protocol):
    """What judges."""

    def ready(self) -> tuple[bool, Mapping[str, str]]: ...
    def open(self, request: Request, *, route: str) -> Case:
        """Raises Overloaded."""
        ...

    def admit(self) -> None:
        """Raises Overloaded when pictures would have to wait behind a full queue."""
        ...

    async def reload(self) -> list[str]: ...
    async def start(self) -> str:
        """Warm up, or try to once more. Returns why it is not warm, empty when it is."""
        ...

    async def close(self) -> None: ...


async def verdicts_on(case: Case, images: Sequence[Artifact], texts: Sequence[Artifact]) -> list[Decision]:
    """One decision for each image, one in all for texts alone, nothing for nothing.

    Raises GuardrailError when an image or a text would leave without a decision.
    """
    if not images and not texts:
        return []
    verdicts = await case.judge_outputs(images, texts)
    if len(verdicts) != max(1, len(images)):
        raise GuardrailError("the guard gave fewer decisions than there are pictures; the answer is withheld")
    return verdicts


def unjudged(error: BaseException) -> str:
    """The status of the record of a request that could not be judged to its end."""
    if isinstance(error, Overloaded):
        return "turned_away"
    return UNREADABLE if isinstance(error, BadRequest) else "failed"


def saying(word: str, headers: Headers) -> list[tuple[str, str]]:
    """Receipt headers that say `word` in the place of the decision."""
    return [("x-guardrail-decision", word), *(pair for pair in headers if pair[0] != "x-guardrail-decision")]
