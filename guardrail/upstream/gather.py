"""What a request holds, gathered field by field: texts, pictures, references still to be fetched, edits of the bytes.

Every kind of body of every dialect fills the same `Gathered`; the difference between them ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pybase64

from guardrail.errors import BadRequest
from guardrail.types import Artifact, Kind, Request
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Fetch, Fetched, FetchFile
from guardrail.upstream.fetching import fetch_all
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import What
from guardrail.upstream.spans import Edit

_OVERLAP = 500  # characters that two windows of a long text share


def windows(text: str, most: int) -> Iterator[str]:
    """A text in parts of at most `most` characters that overlap; a short one whole."""
    if len(text) <= most:
        yield text
        return
    overlap = min(_OVERLAP, most // 4)
    for start in range(0, len(text) - overlap, max(1, most - overlap)):
        yield text[start : start + most]


def together(pieces: Iterable[str], most: int) -> list[Artifact]:
    """All that a request says in several fields, as one text: a generator puts them together, so a wish may be cut
    between them. Nothing where there is one piece; a long text in windows of `most` characters."""
    said = list(dict.fromkeys(pieces))
    if len(said) < 2:
        return []
    parts = windows(" ".join(said), most)
    return [Artifact(Kind.PROMPT, f"together#{at}" if at else "together", text=part) for at, part in enumerate(parts)]


@dataclass(frozen=True)
class Place:
    """Where a text stands in the body: its span, and whether it is a JSON string (then the span has the quotes).

    `key` is the span of the JSON key, which a resolved `file_id` changes to `image_url`.
    """

    start: int
    end: int
    quoted: bool
    key: tuple[int, int] | None = None

    def becomes(self, text: bytes) -> Edit:
        return self.start, self.end, b'"' + text + b'"' if self.quoted else text


@dataclass(frozen=True, repr=False)
class _Reference:
    """A picture that is elsewhere: `at` is its index in `inputs`."""

    at: int
    slot: str
    param: str
    what: What
    target: str
    place: Place


@dataclass(repr=False)
class Gathered:
    """All that one request holds. `spell` says how a picture is sent on that was fetched: its address and bytes.

    `guided` is False where the generator may draw what a negative prompt says, see `slots.weak`.
    """

    limits: Limits
    spell: Callable[[str, bytes], bytes] = lambda _, data: pictures.data_url(data)
    texts: list[Artifact] = field(default_factory=list)
    inputs: list[Artifact | None] = field(default_factory=list)
    references: list[_Reference] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    clamped: list[str] = field(default_factory=list)
    count: int = 1
    stream: bool = False
    subject: str | None = None
    guided: bool = True
    images: int = 0
    read: int = 0
    settings: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def looked_at(self, text: str) -> None:
        """Count what was gone through character by character. Raises BadRequest when it is too much in all."""
        self.read += len(text)
        if self.read > self.limits.all_text_chars:
            raise BadRequest(
                f"the texts of one request have more than {self.limits.all_text_chars} characters in all",
                status=413,
                code="string_above_max_length",
            )

    def setting(self, text: str) -> None:
        """A setting with a word of its own. All of them are judged together, as one text: see `settle`."""
        if text not in self.settings:
            self.settings.append(text)

    def settle(self) -> None:
        """Once everything is gathered: the settings' own words become a text, and all pieces are judged together.

        Raises BadRequest as `text` does.
        """
        if self.settings:
            self.text("settings", "; ".join(self.settings), "settings", whole=True)
        self.texts += together((*self.pieces, *self.settings), self.limits.prompt_chars)

    def text(self, slot: str, text: str, param: str, *, left_out: bool = False, whole: bool = False) -> None:
        """A text to judge; `left_out` for one that says what shall not be there, which is judged as such where the
        request is guided.

        `whole` is for one that is no piece of what the request's fields say together, or has them together already.
        Raises BadRequest when it is too long, or one too many.
        """
        if len(text) > self.limits.prompt_chars:
            raise BadRequest(
                f"{param} has {len(text)} characters; at most {self.limits.prompt_chars} are read",
                param=param,
                code="string_above_max_length",
            )
        if len(self.texts) >= self.limits.texts:
            raise BadRequest(f"more than {self.limits.texts} texts in one request", param=param, code="too_many_fields")
        left_out = left_out and self.guided
        # By itself "clothes" is harmless; a picture without them is not, and one without nudity is. The prompt check
        # knows the difference by the switch that image tools have for it.
        self.texts.append(Artifact(Kind.PROMPT, slot, text=f"a picture --no {text}" if left_out else text))
        if not (left_out or whole):
            self.pieces.append(text)

    def image_slot(self) -> str:
        """The slot of the next picture among the images proper. Raises BadRequest when it is one too many."""
        if self.images >= self.limits.images:
            raise BadRequest(
                f"more than {self.limits.images} images in one request", param="image", code="too_many_images"
            )
        self.images += 1
        return f"image[{self.images - 1}]"

    def picture(self, slot: str, data: bytes, param: str) -> None:
        """A picture to judge. Raises BadRequest when it is empty, too large, or one too many."""
        if not data:
            raise BadRequest(f"{param} is an empty file", param=param, code="invalid_image")
        if len(data) > self.limits.image_bytes:
            raise too_large(param, self.limits)
        self._room(param)
        self.inputs.append(Artifact(Kind.INPUT, slot, data=data))

    def encoded(self, slot: str, what: What, encoded: pictures.Bytes, param: str, place: Place) -> None:
        """A picture in base64 or a data URL. Where readers could differ about it, the body gets the one reading."""
        try:
            if what is What.DATA_URL:
                decoded = pictures.decode_data_url(encoded, self.limits.image_bytes)
            else:
                decoded = pictures.decode_base64(encoded, self.limits.image_bytes)
        except pictures.TooLarge:
            raise too_large(param, self.limits) from None
        except pictures.PictureFault as fault:
            raise BadRequest(
                f"{param} {fault}; send a picture as a base64 data URL, an https address or a file id",
                param=param,
                code="invalid_image",
            ) from None
        self.picture(slot, decoded.data, param)
        if not decoded.plain:
            whole = what is What.DATA_URL
            text = pictures.data_url(decoded.data) if whole else pybase64.b64encode(decoded.data)
            self.edits.append(place.becomes(text))

    def reference(self, slot: str, what: What, target: str, param: str, place: Place) -> None:
        """A picture elsewhere, fetched later. Raises BadRequest when it is one too many."""
        if len(self.references) >= self.limits.urls:
            raise BadRequest(
                f"more than {self.limits.urls} references in one request", param=param, code="too_many_urls"
            )
        self._room(param)
        self.references.append(_Reference(len(self.inputs), slot, param, what, target, place))
        self.inputs.append(None)

    def clamp(self, name: str, place: Place, text: bytes, *, bare: bool = False) -> None:
        """Turn a switch of the vendor's own safety back on, and say so."""
        self.edits.append((place.start, place.end, text) if bare else place.becomes(text))
        self.clamped.append(name)

    def request(self) -> Request:
        """What was asked for, once its references are resolved."""
        return Request(
            tuple(self.texts),
            tuple(one for one in self.inputs if one is not None),
            count=self.count,
            subject=self.subject,
            stream=self.stream,
            clamped=tuple(self.clamped),
        )

    async def resolve(self, fetch: Fetch, fetch_file: FetchFile) -> None:
        """Fetch every reference, each distinct one once. The bytes that are judged replace it in the body."""
        if not self.references:
            return
        distinct: dict[tuple[What, str], _Reference] = {}
        for one in self.references:
            distinct.setdefault((one.what, one.target), one)
        wanted = {key: partial(_get, one, fetch, fetch_file) for key, one in distinct.items()}
        got = await fetch_all(wanted, self.limits.body_bytes)
        total = 0
        for one in self.references:
            data = got[one.what, one.target].data
            total += len(data)
            if total > self.limits.body_bytes:
                raise too_large(one.param, self.limits)
            self._replace(one, data)

    def _replace(self, one: _Reference, data: bytes) -> None:
        if len(data) > self.limits.image_bytes:
            raise too_large(one.param, self.limits)
        if pictures.sniff(data) is None:
            raise BadRequest(f"what {one.param} leads to is no picture", param=one.param, code="invalid_image")
        self.inputs[one.at] = Artifact(Kind.INPUT, one.slot, data=data)
        self.edits.append(one.place.becomes(self.spell(one.target, data)))
        if one.what is What.FILE and one.place.key is not None:
            self.edits.append((*one.place.key, b'"image_url"'))

    def _room(self, param: str) -> None:
        if len(self.inputs) >= self.limits.pictures:
            raise BadRequest(
                f"more than {self.limits.pictures} pictures in one request", param=param, code="too_many_images"
            )


async def _get(one: _Reference, fetch: Fetch, fetch_file: FetchFile) -> Fetched:
    return await (fetch(one.target, param=one.param) if one.what is What.URL else fetch_file(one.target))


def too_large(param: str, limits: Limits) -> BadRequest:
    """The picture in `param` is over the limit."""
    return BadRequest(
        f"the picture in {param} is over {limits.image_bytes} bytes",
        status=413,
        param=param,
        code="image_too_large",
    )
