"""Images: from bytes a stranger sent to the pixels that every check looks at; decoded once, shared by all.

Limits come before work: what a header says is checked before a decoder sees the file. What cannot be read whole is
refused, never half looked at. Whatever a viewer could show is looked at: every frame that differs, in every way that
it is rendered.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, ImageFile

from guardrail.errors import CheckError
from guardrail.inference.image import behind, colour, film, formats
from guardrail.inference.image.frame import Frame, Pixels, renumber
from guardrail.inference.image.opening import Limits, check_jpeg, check_size, header, open_file, shrink
from guardrail.inference.image.renderings import HEEDED, renderings, turn_of
from guardrail.inference.image.thumbnail import thumbnail
from guardrail.types import Artifact

__all__ = ["Frame", "Limits", "Picture", "Pixels", "decode", "picture"]

# Pixels that are kept of all frames of a film in all their renderings, four bytes each. A film of 39 kB had 1.1 GB.
_KEPT = 32_000_000
# Tags of a TIFF: the sizes of its tiles, pictures filed below another one, and what makes it a camera's raw picture.
_TILE, _FILED_BELOW = (322, 323), (330, 50706)
# What a file of boxes may hold beside its picture, by the names it has there.
_BESIDE = {"gain map": (b"tmap", b"hdrgainmap"), "thumbnail": (b"thmb",)}


@dataclass(frozen=True)
class Picture:
    """A decoded picture: what was looked at of it, and what a reader of the record should know.

    `width` and `height` are the original's, upright. `frames` has at least one frame; `glimpses` are small squares of
    those frames of a film that exposure and known pictures alone are looked for in. `notes` says, for instance,
    "8 of 40 frames", "32 more frames at a glance", "colour profile ignored".
    """

    kind: str
    width: int
    height: int
    frames: tuple[Frame, ...]
    notes: tuple[str, ...]
    glimpses: tuple[Frame, ...] = ()

    @property
    def everything(self) -> tuple[Frame, ...]:
        """The frames, and then the glimpses."""
        return self.frames + self.glimpses


def picture(artifact: Artifact, limits: Limits | None = None) -> Picture:
    """The picture in an artifact, decoded once and shared by every check that asks.

    The limits of the first call hold: the pipeline calls with the operator's, checks call without.

    Raises CheckError when it cannot be read whole, or is over a limit; that too is found out once.
    """
    kept = limits if limits is not None else Limits()

    def make() -> Picture | CheckError:
        if artifact.data is None:
            return CheckError(f"{artifact.slot} is a text, not a picture")
        try:
            return decode(artifact.data, kept)
        except CheckError as error:
            return error

    found = artifact.once("picture", make)
    if isinstance(found, CheckError):
        raise CheckError(*found.args)
    return found


def decode(data: bytes, limits: Limits) -> Picture:
    """Decode a picture. Raises CheckError when it cannot be read whole, or is over a limit."""
    if len(data) > limits.bytes:
        raise CheckError(f"the picture has {len(data)} bytes; the limit is {limits.bytes}")

    def whole(piece: bytes) -> tuple[Frame, ...]:
        return decode(piece, limits).frames

    kind = formats.sniff(data)
    opened = header(data, kind, limits)
    notes = _notes(opened, data, kind)
    if kind == "jpeg":
        starts, finish = formats.jpegs_end(data)
    else:
        starts, finish = [0], formats.end(data, kind) or len(data)
    pieces = behind.pieces(data, opened, starts, limits) if kind == "jpeg" else None
    seconds, rest = behind.seconds(data[finish:], kind)
    notes += behind.said_of(rest)
    plain = kind == "jpeg" and opened.mode in {"L", "RGB"} and not colour.is_heeded(opened)
    if plain and (pieces is not None or opened.format == "JPEG"):
        frames: tuple[Frame, ...] = (_jpeg(data, opened, limits),)
        glimpses: tuple[Frame, ...] = ()
    else:
        if kind == "jpeg":
            for start in starts:
                check_jpeg(data[start:])
        frames, glimpses, more = _pillow(data, kind, limits, first=pieces is not None)
        notes += more
    if pieces is not None:
        beside, more = behind.of_pieces(data, pieces, opened, frames, limits, whole)
        frames, notes = frames + beside, notes + more
    still, film_glimpses, more = _still(data, kind, frames, limits)
    renumber(still + film_glimpses, frames + glimpses)
    frames, glimpses, notes = frames + still, glimpses + film_glimpses, notes + more
    if seconds:
        beside = behind.of_seconds(seconds, opened, limits, whole)
        renumber(beside, frames + glimpses)
        frames, notes = frames + beside, [*notes, "the phone wrote another picture behind this one: looked at both"]
    small, more = thumbnail(opened, frames, limits.pixels)
    renumber(small, frames + glimpses)
    frames, notes = frames + small, notes + more
    if any(frame.view.endswith(HEEDED) for frame in frames):
        notes = ["colour profile or gamma shows another picture: looked at with and without", *notes]
    scale = frames[0].scale
    width, height = round(frames[0].width / scale), round(frames[0].height / scale)
    return Picture(kind, width, height, frames, tuple(notes), glimpses)


def _notes(opened: Image.Image, data: bytes, kind: str) -> list[str]:
    notes = ["colour profile ignored"] if opened.info.get("icc_profile") else []
    if kind in {"avif", "heic"}:
        named = formats.box(data, b"meta") or b""
        notes += [f"{what} not looked at" for what, names in _BESIDE.items() if any(name in named for name in names)]
    return notes


def _jpeg(data: bytes, opened: ImageFile.ImageFile, limits: Limits) -> Frame:
    """Decode a grey or colour JPEG straight to the size that is kept."""
    factor = shrink(opened.size, limits)
    least = {"min_width": opened.width // factor, "min_height": opened.height // factor} if factor > 1 else {}
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (width, height) != opened.size:
            raise CheckError("jpeg: two decoders read two different sizes; two viewers may differ")
        pixels = simplejpeg.decode_jpeg(data, "RGBX", min_factor=2, strict=True, **least)
    except (ValueError, OSError) as error:
        raise CheckError("jpeg: broken or truncated") from error
    turn = turn_of(opened)
    if turn is not None:
        flat = Image.frombuffer("RGBX", (pixels.shape[1], pixels.shape[0]), pixels, "raw", "RGBX", 0, 1)
        pixels = np.asarray(flat.transpose(turn))
    return Frame(pixels, scale=max(pixels.shape[:2]) / max(opened.size))


class _Film(NamedTuple):
    """What is kept of a picture that Pillow decodes: its frames, its glimpses, and what is to be said."""

    frames: tuple[Frame, ...]
    glimpses: tuple[Frame, ...]
    notes: list[str]


def _pillow(data: bytes, kind: str, limits: Limits, *, first: bool = False) -> _Film:
    """Decode with Pillow: one picture, or every frame of several, of which those that differ most are kept.

    `first` stands for the first alone.
    """
    notes: list[str] = []
    if first or not _has_more(open_file(data, kind)):
        _check_count(data, kind, 1)
        image = next(_walk(data, kind, limits))
        if kind == "png" and (image.info.get("interlace") or _last_row_is_empty(image)):
            _check_png(data)
        return _Film(tuple(renderings(image, 0, shrink(image.size, limits), notes)), (), notes)
    if kind == "png":
        _check_png(data)
    # Two walks: keeping the frames of the first one would take a hundred times the memory of keeping their thumbs.
    seen = [film.seen(image) for image in _walk(data, kind, limits)]
    _check_count(data, kind, len(seen))
    glances = film.GLANCES * limits.looked_at
    ordered = film.most_different(seen, limits.looked_at + glances)
    chosen = frozenset(ordered[: limits.looked_at])
    glanced = film.glanced(seen, ordered[limits.looked_at :], glances)
    least = film.shrink([seen[index] for index in chosen], _KEPT)
    frames, glimpses = list[Frame](), list[Frame]()
    for index, image in enumerate(_walk(data, kind, limits)):
        if index in chosen:
            frames += renderings(image, index, max(least, shrink(image.size, limits)), notes)
        elif index in glanced:
            glimpses += map(film.glimpse, renderings(image, index, film.glimpse_factor(image.size), notes))
        if index == max(chosen | glanced):
            break
    notes = [*dict.fromkeys(notes), f"{len(chosen)} of {len(seen)} frames"]
    if glanced:
        notes.append(f"{len(glanced)} more frames at a glance")
    return _Film(tuple(frames), tuple(glimpses), notes)


def _still(data: bytes, kind: str, frames: Sequence[Frame], limits: Limits) -> _Film:
    """What is decoded of an AVIF that has a film and a picture which is not of it: viewers show the one or the other.

    The first brand of the file says which of them `frames` are. Raises CheckError when the other cannot be decoded.
    """
    if kind != "avif" or formats.box(data, b"moov") is None:
        return _Film((), (), [])
    brand = b"avif" if data[8:12] == b"avis" else b"avis"
    others, glimpses, _ = _pillow(data[:8] + brand + data[12:], "avif", limits)
    beside = tuple(other for other in others if not any(np.array_equal(other.rgb, frame.rgb) for frame in frames))
    return _Film(beside, glimpses, ["the still picture is not of the film: looked at both"] if beside else [])


def _check_count(data: bytes, kind: str, walked: int) -> None:
    """Raises CheckError when a PNG holds other frames than the number that it says and that the decoder goes by."""
    held = formats.png_frames(data) if kind == "png" else walked
    if held != walked:
        raise CheckError(f"png: it holds {held} frames and says {walked}; two viewers may differ")


def _check_png(data: bytes) -> None:
    try:
        whole = formats.png_is_whole(data)
    except struct.error as error:
        raise CheckError("png: truncated") from error
    if not whole:
        raise CheckError("png: the pixels end before the picture does")


def _last_row_is_empty(image: Image.Image) -> bool:
    """True when the last row is all zero, as the memory is that a decoder has not reached."""
    row = image.crop((0, image.height - 1, image.width, image.height))
    return not np.asarray(row).any()


def _has_more(opened: ImageFile.ImageFile) -> bool:
    try:
        opened.seek(1)
    except EOFError:
        return False
    except Exception:  # there is a second frame, and it is broken: walking says so
        return True
    return True


def _check_tiff(opened: ImageFile.ImageFile, limits: Limits) -> None:
    """Raises CheckError for a page in huge tiles, and for one with other pictures below it.

    A tile is unpacked whole, however little of it the picture needs. A raw picture of a camera is filed below a small
    preview, and which of the two is shown depends on the viewer.
    """
    tags = getattr(opened, "tag_v2", {})
    if any(tag in tags for tag in _FILED_BELOW):
        raise CheckError("tiff: another picture is filed below this one; two viewers may differ")
    try:
        wide, high = (int(tags.get(tag, 0)) for tag in _TILE)
    except (TypeError, ValueError) as error:
        raise CheckError("tiff: the size of its tiles cannot be read") from error
    if wide * high > limits.pixels:
        raise CheckError(f"tiff: tiles of {wide} x {high} pixels; the limit is {limits.pixels} in all")


def _walk(data: bytes, kind: str, limits: Limits) -> Iterator[Image.Image]:
    """Every frame in order, decoded whole. Raises CheckError for the first that is not, or is over a limit."""
    opened, pixels = open_file(data, kind), 0
    for index in range(limits.frames + 1):
        try:
            opened.seek(index)
        except EOFError:
            return
        except Exception as error:
            raise CheckError(f"{kind}: frame {index} cannot be read") from error
        if index == limits.frames:
            raise CheckError(f"{kind}: more than {limits.frames} frames")
        check_size(opened.size, limits)
        if kind == "tiff":
            _check_tiff(opened, limits)
        pixels += opened.width * opened.height
        if pixels > limits.total_pixels:
            raise CheckError(f"{kind}: the frames have more than {limits.total_pixels} pixels together")
        try:
            opened.load()
        except Exception as error:
            raise CheckError(f"{kind}: frame {index} is broken or truncated") from error
        check_size(opened.size, limits)  # a few decoders find out only now
        yield opened
