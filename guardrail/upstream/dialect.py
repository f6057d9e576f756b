"""What a dialect is: how one generator's protocol is read, refused in its own words, and answered untouched.

The server knows only this. A dialect is a class with `open(setup)`, found by name (`upstream/registry.py`); what it
can do beyond `Dialect` it says by its doors: ANSWERED needs `Answers`, SOCKET needs `Sockets`, HOOK needs `Hooks`.
Where it says how its calls will end (`Foreseen`), they are counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from guardrail.errors import BadRequest, ConfigError, GuardrailError
from guardrail.types import Artifact, Decision, Evidence, Request, Stage
from guardrail.upstream.limits import Limits

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


EVENT_STREAM = frozenset({"text/event-stream"})
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


class Door(Enum):
    """What happens to a route.

    JUDGED: read, judged, sent on, and the answer judged; also for polls (GET), which are read with no body.
    PASSED: sent on unlooked at, and cut as soon as a picture shows up. ANSWERED: the guard answers by itself and no
    generator is asked. SOCKET: a websocket; the door is asked with the method GET. CLOSED: refused. HOOK: called by
    somebody who is no caller of the guard and so without its key: the generator with news of a job, or whoever holds an
    address that an answer gave. The door itself says who that is, by what only the guard can have written.
    """

    JUDGED = "judged"
    PASSED = "passed"
    ANSWERED = "answered"
    SOCKET = "socket"
    HOOK = "hook"
    CLOSED = "closed"


@dataclass(frozen=True)
class Setup:
    """What a dialect may use to open itself.

    `mount` is the path under which callers find it, "" at the root. `public_url` is the address of that mount as
    callers see it, without a slash at the end; empty where the operator has not said. `options` are those of this
    upstream in the configuration. `key(purpose)` gives 32 bytes derived from the operator's key for that purpose alone.
    """

    mount: str = ""
    public_url: str = ""
    limits: Limits = field(default_factory=Limits)
    options: Mapping[str, Any] = field(default_factory=dict)
    key: Callable[[str], bytes] | None = field(default=None, repr=False)

    def no_options(self, dialect: str) -> None:
        """Raises ConfigError where options were given to a dialect that has none."""
        self.only_options(dialect, frozenset())

    def only_options(self, dialect: str, known: Set[str]) -> None:
        """Raises ConfigError for an option that is not one of `known`."""
        stray = sorted(set(self.options) - known)
        if stray:
            there = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise ConfigError(f"server.upstreams: dialect {dialect} has no option {stray[0]!r}; {there}")

    def some_of(self, dialect: str, option: str, known: Set[str]) -> frozenset[str]:
        """The names that an option lists, none where it is not given. Raises ConfigError for what is not in `known`."""
        given = self.options.get(option, [])
        if not isinstance(given, list) or not all(isinstance(one, str) and one in known for one in given):
            raise ConfigError(f"server.upstreams: {dialect}: {option} must be a list out of {', '.join(sorted(known))}")
        return frozenset(given)

    def public(self, headers: Headers) -> str:
        """The address of the mount as this caller reaches it, for addresses that an answer gives him.

        `public_url` where it is set, else what the `Host` header says, over http. Raises BadRequest for a `Host` that
        is none.
        """
        if self.public_url:
            return self.public_url
        hosts = [value for name, value in headers if name.lower() == "host"]
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            raise BadRequest("the Host header must name one host", code="invalid_header")
        return f"http://{hosts[0]}{self.mount}"


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


class Post(Protocol):
    """Sends `body` to an address that a stranger gave; the status of the answer. Raises BadRequest as `Fetch` does."""

    async def __call__(self, url: str, headers: Headers, body: bytes, *, param: str) -> int: ...


@dataclass(frozen=True)
class Forward:
    """The upstream call, ready to send. `path` is below the upstream's base and carries the query.

    `origin` (scheme and host) is said where another server of the same generator is asked: one that the operator named
    or that the generator's own answer did, never one that a caller did.
    """

    method: str
    path: str = field(repr=False)
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    origin: str = field(default="", repr=False)


@dataclass(frozen=True)
class Call:
    """A request that was read: what is judged, and what is sent on once it is allowed.

    `request` of a poll is what was asked for when the job was begun, as far as it is remembered: it is judged again,
    which costs next to nothing, and outputs are compared with its pictures. With `poll`, an answer that holds nothing
    to judge leaves without a record. `stream_types` are the content types that are read event by event when
    `request.stream` says so; any other answer is read whole.
    """

    request: Request
    forward: Forward
    route: str
    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    poll: bool = False
    stream_types: frozenset[str] = EVENT_STREAM


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
    """One event of a streamed answer: its bytes as they came, the pictures in it, and whether it ends the answer.

    An event that only points at its pictures has `later`: what it is once they are there. Raises UpstreamError.
    """

    raw: bytes = field(repr=False)
    images: tuple[Artifact, ...] = ()
    texts: tuple[Artifact, ...] = ()
    final: bool = False
    error: bool = False
    later: Callable[[Fetch], Awaitable[Event]] | None = field(default=None, repr=False)


class StreamReader(Protocol):
    """Cuts a streamed answer into events; bounded memory. Raises UpstreamError for what it cannot read."""

    def feed(self, chunk: bytes) -> Sequence[Event]: ...
    def close(self) -> Sequence[Event]:
        """The upstream's stream ended: what was left. Raises UpstreamError when it ended without a final event."""
        ...

    def refuse(self, decision: Decision) -> bytes:
        """The native refusal as the last bytes of a stream that has begun."""
        ...

    def fault(self, error: GuardrailError) -> bytes:
        """The native error as the last bytes of a stream that has begun."""
        ...


@dataclass(frozen=True)
class Judged:
    """What was decided where a dialect itself asked for a judgement. It is on record by then.

    `decision` is the strictest, with its receipt; `each` has one decision per output, in order; `headers` are the
    receipt headers of an answer; `evidence` is all that was seen.
    """

    decision: Decision
    each: tuple[Decision, ...]
    headers: Headers
    evidence: Evidence


class Judge(Protocol):
    """Judges for a dialect that answers or relays by itself, and writes the record.

    Outputs are not looked at once the request is refused. Raises GuardrailError: then nothing may leave.
    """

    @property
    def tenant(self) -> str:
        """For whom it judges."""
        ...

    async def __call__(
        self, request: Request, outputs: Sequence[Artifact] = (), texts: Sequence[Artifact] = (), *, route: str
    ) -> Judged: ...


class Socket(Protocol):
    """One end of a websocket. Raises ConnectionError for sending into one that is closed."""

    async def receive(self) -> str | bytes | None:
        """The next message whole; None once the other end has closed. Raises UpstreamError or BadRequest for one over
        the limit."""
        ...

    async def send(self, message: str | bytes) -> None: ...
    async def close(self, code: int = 1000) -> None: ...


class Dial(Protocol):
    """Opens a websocket at the generator; `path` is below its base and carries the query. Raises UpstreamError."""

    async def __call__(self, path: str, headers: Headers) -> Socket: ...


class Dialect(Protocol):
    """One generator's protocol. Safe to share between requests; what it must remember of one is bounded."""

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

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The native refusal, of any status: rule ids and receipt, never the text or picture."""
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


class Openable(Protocol):
    """The class that the name of a dialect stands for."""

    @classmethod
    def open(cls, setup: Setup) -> Dialect:
        """Make the dialect ready to read. Raises ConfigError for options that are not known or wrong."""
        ...


@runtime_checkable
class Answers(Protocol):
    """A dialect with ANSWERED routes."""

    async def answer(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, judge: Judge, fetch: Fetch
    ) -> Reply:
        """Answer by itself. Raises BadRequest."""
        ...


@runtime_checkable
class Sockets(Protocol):
    """A dialect with SOCKET routes."""

    async def socket(self, path: str, query: str, headers: Headers, caller: Socket, dial: Dial, judge: Judge) -> None:
        """Relay between `caller`, who is accepted already, and the generator; both ends are closed afterwards.

        Nothing that may hold a picture goes on unjudged. Wait for both ends side by side: that one has closed is seen
        only where `receive` is waited for. May raise any GuardrailError or ConnectionError.
        """
        ...


@dataclass(frozen=True)
class News:
    """What the generator called with: read and judged like an answer to `call`, and then handed on to `target`.

    `call.request` says for which tenant it is judged. `mark` is the same for the same news told again, and for no
    other: what was handed on once is not handed on again. Empty where the dialect cannot tell.
    """

    call: Call
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    target: str = field(repr=False)
    mark: str = field(default="", repr=False)


@runtime_checkable
class Hooks(Protocol):
    """A dialect with HOOK routes."""

    async def called(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, fetch: Fetch
    ) -> News | Reply:
        """The news that somebody called with, or what to answer at once. Raises GuardrailError: then the generator is
        told to call again, or that it need not."""
        ...

    def handed_on(self, news: News, reply: Reply) -> tuple[Headers, bytes]:
        """What is sent to the target: `reply` is what may leave of the news."""
        ...


class Statuses(NamedTuple):
    """How calls of one route end, as far as that is known before the first one: HTTP statuses.

    `refused` has `answered` too where a part of an answer can be refused, or one that has begun.
    """

    answered: int = 200
    refused: tuple[int, ...] = (400,)


@runtime_checkable
class Foreseen(Protocol):
    """A dialect that says under what its calls will be counted: of what begins with its first event, alerts miss it."""

    @property
    def foreseen(self) -> Mapping[str, Statuses]:
        """What becomes of calls, by route as the metrics name it, for routes on which something can be refused."""
        ...


@runtime_checkable
class Owned(Protocol):
    """A dialect whose generator knows no tenants, though calls name what belongs to one."""

    def check_owner(self, call: Call) -> None:
        """Called before the generator is, once `call.request.tenant` says who asks. Raises BadRequest where the call
        names what is another tenant's."""
        ...


@runtime_checkable
class Files(Protocol):
    """A dialect whose generator keeps files under paths of its own."""

    def file_path(self, file_id: str) -> str:
        """Where the file is, below the generator's base and with the query. Raises BadRequest for what is no id."""
        ...
