"""Connections: how many are open at once, in all and from one address.

A connection that is asked nothing yet is counted by nothing else: requests are counted when their heads are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from ipaddress import IPv6Address, ip_address

# So many of those turned away at one moment are told why. A flood is not talked to.
TOLD = 64


class Full(Enum):
    """Which limit a connection is over: that of all, or that of its address."""

    ALL = "all"
    ADDRESS = "address"


class Connections:
    """Counts the connections of one event loop. Not for use from several threads.

    `most` bounds them in all, `most_from_one` those from one address; None bounds nothing. Of IPv6 the network of 64
    bits is one address: whoever has one address there has all of these. `refused` hears of each that is turned away.
    """

    def __init__(
        self, most: int, most_from_one: int | None = None, refused: Callable[[str], None] = lambda limit: None
    ) -> None:
        self.most = most
        self._most_from_one = most_from_one
        self._refused = refused
        self._from: dict[asyncio.BaseTransport, str] = {}
        self._by_address: dict[str, int] = {}
        self._told: set[asyncio.BaseTransport] = set()

    def __len__(self) -> int:
        return len(self._from)

    def enter(self, transport: asyncio.BaseTransport) -> Full | None:
        """Count a connection in; where it is over a limit it is not, and the limit is returned."""
        full = None
        address = ""
        if len(self._from) >= self.most:
            full = Full.ALL
        elif self._most_from_one is not None:
            address = address_of(transport)
            # A connection without an address comes from this machine, over a socket in the file system.
            if address and self._by_address.get(address, 0) >= self._most_from_one:
                full = Full.ADDRESS
        if full is not None:
            self._refused(full.value)
            return full
        self._from[transport] = address
        if address:
            self._by_address[address] = self._by_address.get(address, 0) + 1
        return None

    def tell(self, transport: asyncio.BaseTransport) -> bool:
        """Whether one that is turned away is told so. It counts until it leaves."""
        if len(self._told) >= TOLD:
            return False
        self._told.add(transport)
        return True

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """A connection is closed, whether it was counted in or not."""
        self._told.discard(transport)
        address = self._from.pop(transport, "")
        if address:
            left = self._by_address[address] - 1
            if left:
                self._by_address[address] = left
            else:
                del self._by_address[address]


def address_of(transport: asyncio.BaseTransport) -> str:
    """Where a connection comes from: an IPv4 address, an IPv6 network of 64 bits, or nothing for neither."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or not peer:
        return ""
    try:
        address = ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        # Where one socket listens for both, an IPv4 address comes as one of IPv6.
        return str(address.ipv4_mapped or f"{IPv6Address(int(address) >> 64 << 64)}/64")
    return str(address)
