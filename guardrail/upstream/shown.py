"""What an answer shows: pictures, addresses of pictures and texts, collected entry by entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Artifact, Kind
from guardrail.upstream import pictures
from guardrail.upstream.answers import decode, holds_picture, pictures_within
from guardrail.upstream.dialect import Fetch
from guardrail.upstream.embedded import embedded
from guardrail.upstream.fetching import fetch_all
from guardrail.upstream.gather import windows
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import Node

_LEAST = 8  # bytes; neither a picture nor an address is shorter
_LONGEST_URL = 8192


@dataclass(repr=False)
class Shown:
    """Collects what one answer, or one stretch of a streamed one, holds. `entry` is WHOLE for what belongs to none."""

    limits: Limits
    images: list[Artifact] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    addresses: list[tuple[int, str, str]] = field(default_factory=list)
    links: list[tuple[int, str, str]] = field(default_factory=list)
    """Addresses of what may be a picture or a page; a page is let through."""

    @property
    def texts(self) -> tuple[Artifact, ...]:
        """The texts beside the pictures; without pictures nothing is judged, so none."""
        if not self.images:
            return ()
        parts = [(slot, part) for slot, text in self.said for part in windows(text, self.limits.prompt_chars)]
        once = {part: slot for slot, part in reversed(parts)}  # a stream says its text again when it is done
        return tuple(Artifact(Kind.PROMPT, slot, text=part) for slot, part in parts if once.pop(part, None))

    def picture(self, entry: int, slot: str, data: bytes) -> None:
        taken = sum(image.slot == slot or image.slot.startswith(f"{slot}#") for image in self.images)
        if len(self.images) >= self.limits.entries:
            raise UpstreamError(f"it has more than {self.limits.entries} pictures")
        self.images.append(Artifact(Kind.OUTPUT, f"{slot}#{taken}" if taken else slot, data=data))
        self.entries.append(entry)

    def encoded(self, entry: int, slot: str, node: Node, body: bytes) -> None:
        """A picture in a JSON string, as base64 or a data URL. Raises UpstreamError."""
        self.picture(entry, slot, decode(node, body, self.limits, slot))

    def text(self, entry: int, slot: str, text: str, *, named: bool = False, whole: bool = True) -> None:
        """A text that users read, and the pictures inside it; `named` and `whole` as `embedded` takes them. Raises
        UpstreamError for what may be a picture and cannot be read."""
        if whole and pictures.looks_like_base64_picture(text):
            try:
                self.picture(entry, slot, pictures.decode_base64(text.encode(), self.limits.image_bytes).data)
            except pictures.PictureFault as fault:
                raise UpstreamError(f"the picture in {slot} {fault}") from None
            return
        found = embedded(text, named=named, whole=whole)
        for data in pictures_within(found, self.limits, slot):
            self.picture(entry, slot, data)
        self.addresses += [(entry, slot, address) for address in found.addresses]
        self.links += [(entry, slot, address) for address in found.links]
        if found.text.strip():
            if sum(len(said) for _, said in self.said) + len(found.text) > self.limits.all_text_chars:
                raise UpstreamError(f"its texts have more than {self.limits.all_text_chars} characters")
            self.said.append((slot, found.text))

    def other(self, entry: int, slot: str, node: Node, body: bytes, *, links: bool = False) -> None:
        """A string that is no text for users: a picture, the address of one, or nothing. `links` says that an address
        here is a source that is named, and shows nothing."""
        if node.size < _LEAST:
            return
        if holds_picture(node, body):
            self.encoded(entry, slot, node, body)
        elif not links and node.size < _LONGEST_URL and pictures.url_scheme(node.text(body)) is not None:
            self.addresses.append((entry, slot, node.text(body)))

    @property
    def elsewhere(self) -> bool:
        """True where something is still to be fetched."""
        return bool(self.addresses or self.links)

    async def fetch(self, fetch: Fetch) -> None:
        """Get what is behind the addresses, each once. Raises UpstreamError, also for a link that cannot be got: what
        the guard may not see, the reader of the answer might."""
        wanted = dict.fromkeys(address for _, _, address in (*self.addresses, *self.links))
        if len(wanted) > self.limits.urls:
            raise UpstreamError(f"it has more than {self.limits.urls} addresses")
        try:
            got = await fetch_all(
                {url: partial(fetch, url, param="an answer") for url in wanted}, self.limits.body_bytes
            )
        except BadRequest as error:
            raise UpstreamError(f"a picture that it points to could not be got: {error}") from None
        for entry, slot, url in self.addresses:
            self.picture(entry, slot, got[url].data)
        for entry, slot, url in self.links:
            data = got[url].data
            if pictures.sniff(data) is not None:
                self.picture(entry, slot, data)
        self.addresses.clear()
        self.links.clear()
