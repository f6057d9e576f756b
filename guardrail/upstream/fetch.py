"""Fetching for a stranger: an address in a request is got once, from the public internet only, and never twice.

The name is resolved once, every address it has is vetted, and the connection goes to a vetted address and nowhere
else: a name that answers differently the second time (DNS rebinding) finds no second time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from guardrail.errors import BadRequest
from guardrail.upstream.dialect import Fetched, Headers

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to the text form of all its addresses. Raises OSError when there are none."""

# IANA special-purpose address registries (RFC 6890 and updates), read 2025: what is not globally reachable unicast.
_CLOSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Only 2000::/3 is global unicast; inside it, these carry an IPv4 address or lead to no public host. Everything outside
# (loopback, IPv4-mapped, NAT64, unique local, link-local, multicast) is closed without being listed.
_OPEN_V6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LOOKS_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRINTABLE = re.compile(r"[!-~]+")
_MOST_URL = 8192  # characters; signed blob addresses run to about 2,000
_CHUNK = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_LOOK_UPS = 16
"""Names that are looked up at once for strangers; more wait, each as long as its fetch may take."""


@dataclass(frozen=True)
class FetchLimits:
    """How much is fetched: bytes of one answer, seconds for all of it (look-up, connection, body, redirects)."""

    max_bytes: int = 50_000_000
    timeout_s: float = 15.0
    connect_timeout_s: float = 5.0


@dataclass(frozen=True)
class FetchRules:
    """Where fetching may go. The default is https on port 443 to any public address, redirects refused.

    `hosts`, where given, are the only host names allowed. `networks` are allowed although they are not public: an
    operator's own blob store. `ports` are the ports allowed. `redirect_hosts` may be redirected to, at most
    `redirects` times; each hop is vetted like the first address.
    """

    http: bool = False
    hosts: frozenset[str] | None = None
    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({443})
    redirects: int = 0
    redirect_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, repr=False)
class _Target:
    url: URL
    host: str
    literal: Address | None


def is_public(address: Address, networks: Sequence[Network] = ()) -> bool:
    """True for an address of the public internet, or of one of `networks`."""
    if any(address.version == network.version and address in network for network in networks):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _CLOSED_V4)
    return address in _OPEN_V6 and address.is_global and not any(address in network for network in _CLOSED_V6)


class SystemNames:
    """Fulfils `Resolve` with the system's resolver, on threads of its own.

    A look-up takes as long as whoever answers for the name likes, and cannot be called off. On the event loop's own
    few threads such look-ups would hold up what the guard itself looks up there: its generator.
    """

    def __init__(self, most: int = MOST_LOOK_UPS) -> None:
        self._threads = ThreadPoolExecutor(most, "guardrail-names")

    async def __call__(self, host: str) -> Sequence[str]:
        """All addresses of `host`. Raises OSError when there are none."""
        look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class SafeFetch:
    """Fulfils `Fetch`: gets the bytes behind an address that a stranger gave; `post` fulfils `Post`.

    No cookies, no headers of the caller, no proxy from the environment. Every failure is BadRequest with `param` as
    given and never a word of the address; codes: invalid_url, url_not_allowed, url_unreachable, image_too_large.
    """

    def __init__(
        self,
        *,
        limits: FetchLimits | None = None,
        rules: FetchRules | None = None,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or FetchLimits()
        self._rules = rules or FetchRules()
        self._resolve = resolve or SystemNames()
        self._ssl = ssl_context or ssl.create_default_context()

    async def __call__(self, url: str, *, param: str) -> Fetched:
        """Get `url`. Raises BadRequest; see the class."""
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._follow(url, param)
        except TimeoutError:
            raise _unreachable(param, f"did not answer within {self._limits.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError):
            # The text of these errors quotes the address.
            raise _unreachable(param, "could not be fetched") from None

    async def post(self, url: str, headers: Headers, body: bytes, *, param: str) -> int:
        """Send `body` to `url`, vetted like what is fetched; the status of the answer, of which no more is read.

        A redirect is not followed. Raises BadRequest; see the class.
        """
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                target = self._read(url, param)
                addresses = await self._vetted(target, param)
                async with (
                    self._session(target, addresses, dict(headers)) as session,
                    session.post(target.url, data=body, allow_redirects=False) as response,
                ):
                    return response.status
        except TimeoutError:
            raise _unreachable(param, f"did not answer within {self._limits.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise _unreachable(param, "could not be reached") from None

    async def _follow(self, url: str, param: str) -> Fetched:
        for hop in range(self._rules.redirects + 1):
            target = self._read(url, param)
            if hop and target.host not in self._rules.redirect_hosts:
                raise _not_allowed(param, "redirects to a host that is not allowed")
            addresses = await self._vetted(target, param)
            got = await self._get(target, addresses, param)
            if isinstance(got, Fetched):
                return got
            url = got
        raise _not_allowed(param, "redirects; give the address that it leads to")

    def _read(self, url: str, param: str) -> _Target:
        """Take an address apart, refusing every form that two readers could take for two different hosts."""
        if len(url) > _MOST_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
            raise _invalid(param, "must be a plain address of printable ASCII")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _invalid(param, "cannot be read as an address") from None
        scheme = parts.scheme.lower()
        if scheme not in ({"https", "http"} if self._rules.http else {"https"}) or not url.lower().startswith(
            f"{scheme}://"
        ):
            raise _not_allowed(param, "must be an https address")
        if parts.username is not None or parts.password is not None or "@" in parts.netloc or "%" in parts.netloc:
            raise _not_allowed(param, "must not carry a user name or an encoded host")
        port = port if port is not None else (443 if scheme == "https" else 80)
        if port not in self._rules.ports:
            raise _not_allowed(param, f"names port {port}, which is not allowed")
        if not host:
            raise _invalid(param, "names no host")
        literal = _literal(host, bracketed="[" in parts.netloc, param=param)
        if self._rules.hosts is not None and host not in self._rules.hosts:
            raise _not_allowed(param, "names a host that is not on the allow list")
        read_again = URL(url, encoded=True)
        if (read_again.host or "").lower() != host or read_again.port != port:
            # This is the reader that the connection goes by; where the two differ, the address is a trick.
            raise _invalid(param, "can be read in two ways")
        return _Target(read_again, host, literal)

    async def _vetted(self, target: _Target, param: str) -> Sequence[Address]:
        """The addresses of the target, looked up once; all must be allowed, or the name is not to be trusted."""
        if target.literal is not None:
            addresses: list[Address] = [target.literal]
        else:
            try:
                addresses = [ipaddress.ip_address(found) for found in await self._resolve(target.host)]
            except (OSError, ValueError):
                raise _unreachable(param, "names a host that has no address") from None
        if not addresses:
            raise _unreachable(param, "names a host that has no address")
        if not all(is_public(address, self._rules.networks) for address in addresses):
            raise _not_allowed(param, "leads to an address that is not public")
        return addresses

    def _session(
        self, target: _Target, addresses: Sequence[Address], headers: Mapping[str, str]
    ) -> aiohttp.ClientSession:
        """A session that reaches the vetted addresses of one host and nothing else."""
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(target.host, addresses), use_dns_cache=False, force_close=True, ssl=self._ssl
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_timeout_s),
            trust_env=False,
            auto_decompress=False,
            headers={"accept-encoding": "identity", "user-agent": "guardrail", **headers},
        )

    async def _get(self, target: _Target, addresses: Sequence[Address], param: str) -> Fetched | str:
        """The bytes, or the address of a redirect."""
        async with (
            self._session(target, addresses, {"accept": "image/*"}) as session,
            session.get(target.url, allow_redirects=False) as response,
        ):
            if response.status in _REDIRECTS:
                location = response.headers.get("location", "")
                try:
                    return str(target.url.join(URL(location, encoded=True)))
                except ValueError:
                    raise _invalid(param, "redirects to what is no address") from None
            if response.status != 200:
                raise _unreachable(param, f"was answered with status {response.status}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise _unreachable(param, "was answered in a content encoding that was not asked for")
            return Fetched(await self._body(response, param), response.headers.get("content-type", ""))

    async def _body(self, response: aiohttp.ClientResponse, param: str) -> bytes:
        most = self._limits.max_bytes
        if response.content_length is not None and response.content_length > most:
            raise _too_large(param, most)
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_chunked(_CHUNK):
            size += len(piece)
            if size > most:
                raise _too_large(param, most)
            pieces.append(piece)
        if not size:
            raise _unreachable(param, "was answered with nothing")
        return b"".join(pieces)


class _Pinned(AbstractResolver):
    """Answers with the vetted addresses of one host; any other name has none."""

    def __init__(self, host: str, addresses: Sequence[Address]) -> None:
        self._host = host
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host.lower() != self._host:
            raise OSError("a host that was not vetted")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        return None


def _literal(host: str, *, bracketed: bool, param: str) -> Address | None:
    """The address that `host` is, or None where it is a name.

    Decimal, hexadecimal, octal and shortened forms of IPv4 are refused: libraries disagree about what they mean.
    """
    if bracketed:
        try:
            return ipaddress.IPv6Address(host)
        except ValueError:
            raise _invalid(param, "names a malformed IPv6 address") from None
    labels = host.split(".")
    if _LOOKS_NUMERIC.fullmatch(labels[-1]):
        try:
            return ipaddress.IPv4Address(host)
        except ValueError:
            raise _not_allowed(param, "names a host by number in an unusual form") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _invalid(param, "names a malformed host")
    return None


def _invalid(param: str, why: str) -> BadRequest:
    return BadRequest(f"the address in {param} {why}", param=param, code="invalid_url")


def _not_allowed(param: str, why: str) -> BadRequest:
    return BadRequest(f"the address in {param} {why}", param=param, code="url_not_allowed")


def _unreachable(param: str, why: str) -> BadRequest:
    return BadRequest(f"the address in {param} {why}", param=param, code="url_unreachable")


def _too_large(param: str, most: int) -> BadRequest:
    return BadRequest(f"the file behind {param} is over {most} bytes", status=413, param=param, code="image_too_large")
