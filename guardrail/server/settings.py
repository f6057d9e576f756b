"""What a server is told: where its generators are, and how much it takes on at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from guardrail.errors import BadRequest, ConfigError, UpstreamError
from guardrail.upstream.dialect import Dialect, Fetch, Fetched, Headers, OneBad, Owned, Post

MIB = 1 << 20
TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")


async def no_fetch(url: str, *, param: str) -> Fetched:
    """The `Fetch` of an upstream that was given none: every reference is refused."""
    raise BadRequest(
        "this deployment does not fetch pictures by URL; send the picture itself", param=param, code="url_not_allowed"
    )


async def no_post(url: str, headers: Headers, body: bytes, *, param: str) -> int:
    """The `Post` of an upstream that was given none: nobody is called."""
    raise BadRequest("this deployment calls no addresses that callers give", param=param, code="url_not_allowed")


@dataclass(frozen=True)
class Upstream:
    """One generator: how it speaks, where it is, and the path under which callers find it here.

    `base_url` is http(s)://host[:port][/prefix]; a prefix that the caller's path repeats is sent once, so that
    https://host/v1 and https://host mean the same to a client that asks for /v1/images/generations. None for a dialect
    that answers everything by itself. `fetch` gets pictures that are given by URL, `post` calls webhooks. `file_path`
    is where the generator keeps a file by its id, below the base; None where it keeps none. `name` is what operators
    call it.

    Durations are seconds, those of the server where they are None. `concurrency` is the most calls in flight at once.
    `retries` is how often a read (GET) that failed is tried again; a call that makes pictures never is. After
    `breaker_failures` failures in a row calls are refused for `breaker_s`.
    """

    dialect: Dialect
    base_url: str | None
    mount: str = "/"
    fetch: Fetch = no_fetch
    post: Post = no_post
    file_path: str | None = "/v1/files/{id}/content"
    name: str = ""
    timeout_s: float | None = None
    connect_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    concurrency: int | None = None
    retries: int = 2
    breaker_failures: int = 5
    breaker_s: float = 15.0

    def __post_init__(self) -> None:
        if not self.mount.startswith("/") or "?" in self.mount or "%" in self.mount:
            raise ConfigError(f"upstream {self.dialect.name}: mount must be a plain path such as / or /openai")
        if self.base_url is None:
            return
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(
                f"upstream {self.dialect.name}: base_url must be http(s)://host[:port][/prefix], no query, no fragment"
            )
        if parts.username or parts.password:
            raise ConfigError(
                f"upstream {self.dialect.name}: base_url must not carry a user or password; callers send their own"
            )

    def url(self, path: str) -> str:
        """The address of `path` (below the mount, with its query) at the generator."""
        origin, prefix = self._base
        if not prefix:
            return origin + path
        wanted = path.partition("?")[0].split("/")[1:]
        repeated = next((n for n in range(len(prefix), 0, -1) if wanted[:n] == prefix[-n:]), 0)
        kept = prefix[: len(prefix) - repeated]
        return origin + "".join(f"/{segment}" for segment in kept) + path

    @cached_property
    def owned(self) -> Owned | None:
        """The dialect, where calls of it name what belongs to one tenant."""
        return self.dialect if isinstance(self.dialect, Owned) else None

    @cached_property
    def _base(self) -> tuple[str, list[str]]:
        if self.base_url is None:
            raise UpstreamError("no generator stands behind this dialect")
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}", [segment for segment in parts.path.split("/") if segment]


@dataclass(frozen=True)
class ServerSettings:
    """Limits, deadlines and identities. Sizes are bytes, durations seconds.

    `max_bytes_in_flight` bounds the bodies (requests and whole answers) that are held at one moment, and is never
    less than one body may be; beyond it, and beyond `max_in_flight` requests, callers get 503 with Retry-After.
    Websockets are counted apart, as `max_sockets`; `max_message_bytes` is the largest message a generator may send.
    `max_connections` bounds the open connections of a process, whether they ask anything or not, and
    `max_connections_per_address` those from one address (None bounds none, and is right behind a reverse proxy).
    The head of a request may have `max_head_bytes` and take `head_timeout_s`. A caller who for `stalled_s` takes
    nothing of what was sent loses the connection, and we the memory that it holds; one who asks nothing for
    `keep_alive_s` loses it too.
    A request body has `body_grace_s` to arrive and a second more for each `body_rate` bytes that have come, and
    `body_timeout_s` in all: who sends one byte at a time holds a place no longer than who sends nothing.
    128 MiB for a body fits the largest single input of the OpenAI Images API (50 MB) as base64; 256 MiB for an
    answer fits ten 4K PNGs.

    `access_keys` are SHA-256 digests (hex) of Guardrail's own credential, sent as `x-guardrail-key`; empty asks for
    none. `tenant_keys` maps the SHA-256 (hex) of a caller's API key to a tenant. `tenant_header` names a header that
    a gateway in front sets; leave it None where callers could set it themselves. `tenants` are the known names;
    a header that names another is refused.
    """

    one_bad: OneBad = "replace"
    max_body_bytes: int = 128 * MIB
    max_answer_bytes: int = 256 * MIB
    max_passed_bytes: int = 8 * MIB
    max_in_flight: int = 256
    max_sockets: int = 256
    max_message_bytes: int = 64 * MIB
    max_connections: int = 4096
    max_connections_per_address: int | None = None
    max_head_bytes: int = 64 * 1024
    head_timeout_s: float = 20.0
    keep_alive_s: int = 75
    stalled_s: float = 120.0
    max_bytes_in_flight: int = 512 * MIB
    body_timeout_s: float = 300.0
    body_grace_s: float = 20.0
    body_rate: int = 1000
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 300.0
    upstream_timeout_s: float = 600.0
    linger_s: float = 2.0
    linger_bytes: int = 64 * MIB
    retry_after_s: float = 1.0
    warm_pause_s: float = 5.0
    access_keys: frozenset[str] = frozenset()
    tenant_header: str | None = None
    tenant_keys: Mapping[str, str] = field(default_factory=dict)
    tenants: frozenset[str] = frozenset()
    default_tenant: str = "default"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise ConfigError(f"server setting {name} is {value}, but it must be above 0")
        bad = [d for d in (*self.access_keys, *self.tenant_keys) if not re.fullmatch(r"[0-9a-f]{64}", d)]
        if bad:
            raise ConfigError(
                "server settings access_keys and tenant_keys hold SHA-256 digests: 64 lower-case hex digits"
            )

    @property
    def room(self) -> int:
        """Bytes of bodies that are held at most: `max_bytes_in_flight`, or one body and its answer if that is more."""
        return max(self.max_bytes_in_flight, self.max_body_bytes + self.max_answer_bytes)
