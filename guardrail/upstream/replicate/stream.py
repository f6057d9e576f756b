"""Streams of Replicate: pieces of text, and pictures as data URL or by address, each judged before it leaves."""

from __future__ import annotations

from collections.abc import Sequence

from guardrail.errors import GuardrailError, UpstreamError
from guardrail.types import Decision
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Event, Fetch
from guardrail.upstream.jobs.shelf import Shelf
from guardrail.upstream.limits import Limits
from guardrail.upstream.replicate import refuse
from guardrail.upstream.shown import Shown
from guardrail.upstream.spoken import SpokenReader
from guardrail.upstream.sse import Sent

_LONGEST_URL = 8192  # characters
_NAMES = frozenset({b"output", b"logs", b"error", b"done"})


class EventReader(SpokenReader):
    """Fulfils `StreamReader`. An event that is a picture by address waits until the picture is there."""

    def __init__(self, limits: Limits, shelf: Shelf, public: str) -> None:
        super().__init__(limits)
        self._shelf = shelf
        self._public = public

    def refuse(self, decision: Decision) -> bytes:
        """The refusal as the last event, which clients raise."""
        return refuse.event("error", refuse.message(decision))

    def fault(self, error: GuardrailError) -> bytes:
        """The error as the last event, which clients raise."""
        if isinstance(error, UpstreamError):
            return refuse.event("error", f"The image generator's answer could not be used: {error}")
        return refuse.event("error", "The guard could not judge this stream, so it ends here.")

    def _event(self, sent: Sent) -> Sequence[Event]:
        shown = Shown(self._limits)
        if sent.data is None and not sent.name:
            return self._telling.event(sent.raw, shown)
        if self._ended:
            raise UpstreamError("its stream goes on after its end")
        if sent.name not in _NAMES:
            raise UpstreamError("an event of its stream has a name that this API does not have")
        try:
            text = (sent.data or b"").decode()
        except UnicodeDecodeError:
            raise UpstreamError("an event of its stream is not UTF-8") from None
        if sent.name in (b"done", b"error"):
            self._ended = True
            shown.text(0, "error", text)
            return self._telling.event(
                sent.raw, shown, final=sent.name == b"done", error=sent.name == b"error", end=True
            )
        if sent.name == b"logs":
            self._telling.add("logs", "logs", text)
            return self._telling.event(sent.raw, shown)
        if pictures.is_data_url(text) or pictures.looks_like_base64_picture(text):
            shown.text(0, "output", text.strip())
            return self._telling.event(sent.raw, shown)
        if pictures.url_scheme(text) in ("https", "http") and len(text) <= _LONGEST_URL:
            return [*self._telling.close(), self._by_address(sent, text.strip())]
        self._telling.add("output", "output", text)
        return self._telling.event(sent.raw, shown)

    def _by_address(self, sent: Sent, url: str) -> Event:
        async def later(fetch: Fetch) -> Event:
            shown = Shown(self._limits)
            shown.addresses.append((0, "output", url))
            await shown.fetch(self._shelf.making(fetch))
            told = self._shelf.told(self._public, url, shown.images[0].data or b"")
            raw = sent.raw.replace(url.encode(), told.encode())
            return Event(raw, tuple(shown.images))

        return Event(b"", later=later)
