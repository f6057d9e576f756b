"""What a dialect is: how one generator's protocol is read, refused in its own words, and answered untouched.

The server knows only this; `upstream/openai.py` is the first that fulfils it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Protocol

from guardrail.errors import GuardrailError
from guardrail.types import Artifact, Decision, Request, Stage

Headers = Sequence[tuple[str, str]]
OneBad = Literal["replace", "drop", "refuse-all"]

# RFC 9110 section 7.6.1, with the older ones that are still sent: these belong to one connection, and a proxy never
# passes them on.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)


class Door(Enum):
    """What happens to a route: judged, passed through unlooked at (it carries no pictures), or refused."""

    JUDGED = "judged"
    PASSED = "passed"
    CLOSED = "closed"


@dataclass(frozen=True)
class Fetched:
    """The bytes behind a reference, got once: the same are judged and forwarded."""

    data: bytes = field(repr=False)
    content_type: str


class Fetch(Protocol):
    """Gets the bytes behind a reference. Raises BadRequest for a caller's reference, with `param` as given."""

    async def __call__(self, url: str, *, param: str) -> Fetched: ...


FetchFile = Callable[[str], Awaitable[Fetched]]
"""Gets a file of the upstream's own store by id, with the caller's credentials."""


@dataclass(frozen=True)
class Forward:
    """The upstream call, ready to send. `path` is below the upstream's base and carries the query."""

    method: str
    path: str = field(repr=False)
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Call:
    """A request that was read: what is judged, and what is sent on once it is allowed."""

    request: Request
    forward: Forward
    route: str
    state: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Reply:
    """A whole HTTP answer to the caller."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """A generator's whole answer that was read: the artifacts in it, each with the index of its entry.

    `images[i]` belongs to entry `entries[i]` of the answer; `texts` are texts that users are shown (a revised prompt).
    """

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    images: tuple[Artifact, ...]
    entries: tuple[int, ...]
    texts: tuple[Artifact, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Event:
    """One event of a streamed answer: its bytes as they came, the pictures in it, and whether it ends the answer."""

    raw: bytes = field(repr=False)
    images: tuple[Artifact, ...] = ()
    texts: tuple[Artifact, ...] = ()
    final: bool = False
    error: bool = False


class StreamReader(Protocol):
    """Cuts a streamed answer into events; bounded memory. Raises UpstreamError for what it cannot read."""

    def feed(self, chunk: bytes) -> Sequence[Event]: ...
    def close(self) -> Sequence[Event]:
        """The upstream's stream ended: what was left. Raises UpstreamError when it ended without a final event."""
        ...


class Dialect(Protocol):
    """One generator's protocol. Holds no request's state; safe to share between requests."""

    name: str

    def door(self, method: str, path: str) -> Door:
        """What to do with a route. Whatever is not known is CLOSED."""
        ...

    async def read(
        self,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        body: bytes,
        fetch: Fetch,
        fetch_file: FetchFile,
    ) -> Call:
        """Read a call on a JUDGED route, resolving every reference once. Raises BadRequest."""
        ...

    def refuse(self, decision: Decision, stage: Stage) -> Reply:
        """The native refusal: rule ids and receipt, never the text or picture."""
        ...

    def fault(self, error: GuardrailError) -> Reply:
        """The native error for a BadRequest, an UpstreamError, Overloaded, an AuditError or a fault of our own."""
        ...

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer (HTML, no picture)."""
        ...

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer with refused entries replaced or dropped; every other byte as it came.

        `refused` maps entry index to the decision that refused it. When nothing is left, the native refusal.
        """
        ...

    def read_stream(self, call: Call) -> StreamReader: ...

    def refuse_event(self, decision: Decision) -> bytes:
        """The native refusal as the last event of a stream that has begun."""
        ...

    def fault_event(self, error: GuardrailError) -> bytes:
        """The native error as the last event of a stream that has begun."""
        ...
