"""Pictures that were judged, on a shelf: an answer hands out these very bytes, not the address they were got from.

Where callers reach the guard by https, an answer gives an address of the guard; else the picture itself, as a data URL:
clients take nothing else for a picture.
"""

from __future__ import annotations

import hashlib

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Fetch, Fetched, Reply
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.memory import Memory

PATH = "/guardrail/files/"
FILE = "file"
_INLINE = 262_144  # bytes; generators of jobs ask for addresses of what is larger
_GONE = Reply(404, [("content-type", "application/json")], b'{"detail":"no picture is handed out under this address"}')


class Shelf:
    """Keeps pictures by their digest, and which one was got from which address; bounded, and fetched anew where
    forgotten.

    An address that it gives names the digest of what was judged: other bytes are never handed out under it.
    """

    def __init__(self, seal: Seal, *, memory: Memory[bytes] | None = None) -> None:
        self._seal = seal
        self._kept = Memory(entries=4096, size=256_000_000) if memory is None else memory
        self._from: Memory[str] = Memory(entries=16_384, size=32_000_000)

    def asking(self, public: str, fetch: Fetch) -> Fetch:
        """A `Fetch` for what a caller names: each time anew, but this guard's own addresses from the shelf."""

        async def get(url: str, *, param: str) -> Fetched:
            own = self.opened(url.removeprefix(public + PATH)) if url.startswith(public + PATH) else None
            if own is None:
                return await fetch(url, param=param)
            data = await self._bytes(own, fetch, param)
            if data is None:
                raise BadRequest(f"the picture in {param} is no longer there", param=param, code="url_unreachable")
            return Fetched(data, "")

        return get

    def making(self, fetch: Fetch) -> Fetch:
        """A `Fetch` for what a generator made: one address, one picture, got once however often it is told of."""

        async def get(url: str, *, param: str) -> Fetched:
            data = self._kept.get(self._from.get(url) or "")
            if data is not None:
                return Fetched(data, "")
            found = await fetch(url, param=param)
            self._from.put(url, self._keep(found.data), len(url))
            return found

        return get

    def told(self, public: str, url: str, data: bytes) -> str:
        """How an answer gives the picture that was got from `url`: an address of the guard, or the picture itself."""
        return self._address(public, url, data) if public.startswith("https://") else pictures.data_url(data).decode()

    def spelled(self, public: str, url: str, data: bytes) -> bytes:
        """How a picture that a caller gave by address is sent on: never by that address again."""
        if len(data) > _INLINE and public.startswith("https://"):
            return self._address(public, url, data).encode()
        return pictures.data_url(data)

    def opened(self, word: str) -> dict[str, str] | None:
        """What an address of the shelf names; None for one that this guard has not given."""
        return self._seal.open(FILE, word)

    async def hand_out(self, word: str, fetch: Fetch) -> Reply:
        """The picture under an address of the shelf, or 404."""
        said = self.opened(word)
        try:
            data = None if said is None else await self._bytes(said, fetch, "an answer")
        except BadRequest:
            data = None
        if data is None:
            return _GONE
        headers = [
            ("content-type", pictures.sniff(data) or "application/octet-stream"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox"),
        ]
        return Reply(200, headers, data)

    async def _bytes(self, said: dict[str, str], fetch: Fetch, param: str) -> bytes | None:
        """The very bytes that were judged; None where they are no longer to be had."""
        data = self._kept.get(said["digest"])
        if data is not None:
            return data
        data = (await fetch(said["url"], param=param)).data
        return data if self._keep(data) == said["digest"] else None

    def _keep(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._kept.put(digest, data, len(data))
        return digest

    def _address(self, public: str, url: str, data: bytes) -> str:
        return public + PATH + self._seal.close(FILE, {"url": url, "digest": self._keep(data)})
