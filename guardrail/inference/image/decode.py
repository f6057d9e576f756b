"""Images: from bytes a stranger sent to the pixels that every check looks at; decoded once, shared by all.

Limits come before work: what a header says is checked before a decoder sees the file. What cannot be read whole is
refused, never half looked at. Whatever a viewer could show is looked at: every frame that differs, in every way that
it is rendered.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, ImageFile

from guardrail.errors import CheckError
from guardrail.inference.image import colour, film, formats, gainmap, jpegs, trailer
from guardrail.inference.image.frame import Frame, Pixels
from guardrail.inference.image.renderings import HEEDED, renderings, turn_of
from guardrail.inference.image.thumbnail import thumbnail
from guardrail.types import Artifact

__all__ = ["Frame", "Limits", "Picture", "Pixels", "decode", "picture"]

_PILLOW = {
    "jpeg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "webp": ("WEBP",),
    "gif": ("GIF",),
    "avif": ("AVIF",),
    "tiff": ("TIFF",),
    "bmp": ("BMP",),
}
# Pixels that are kept of all frames of a film in all their renderings, four bytes each. A film of 39 kB had 1.1 GB.
_KEPT = 32_000_000
# Tags of a TIFF: the sizes of its tiles, pictures filed below another one, and what makes it a camera's raw picture.
_TILE, _FILED_BELOW = (322, 323), (330, 50706)
# What a file of boxes may hold beside its picture, by the names it has there.
_BESIDE = {"gain map": (b"tmap", b"hdrgainmap"), "thumbnail": (b"thmb",)}


@dataclass(frozen=True)
class Limits:
    """What is decoded at all. Everything over a limit is refused before it is decoded.

    `bytes` of the file; `pixels` of one frame; `frames` in the file, `looked_at` of them at most, and glanced at eight
    times as many; `total_pixels` of all frames together; `aspect` of the long side to the short one. Frames are shrunk
    by a whole factor while the long side stays at least `long_side` and the short one at least `short_side` pixels.
    """

    bytes: int = 50 * 1024 * 1024
    pixels: int = 50_000_000
    frames: int = 300
    looked_at: int = 8
    total_pixels: int = 250_000_000
    aspect: float = 24.0
    long_side: int = 1280
    short_side: int = 512


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
    kind = formats.sniff(data)
    opened = _header(data, kind, limits)
    notes = _notes(opened, data, kind)
    if kind == "jpeg":
        starts, finish = formats.jpegs_end(data)
    else:
        starts, finish = [0], formats.end(data, kind) or len(data)
    behind = _behind(data, opened, starts, limits) if kind == "jpeg" else None
    seconds, rest = _seconds(data[finish:], kind)
    notes += _extra(rest)
    plain = kind == "jpeg" and opened.mode in {"L", "RGB"} and not colour.is_heeded(opened)
    if plain and (behind is not None or opened.format == "JPEG"):
        frames: tuple[Frame, ...] = (_jpeg(data, opened, limits),)
        glimpses: tuple[Frame, ...] = ()
    else:
        if kind == "jpeg":
            for start in starts:
                _check_jpeg(data[start:])
        frames, glimpses, more = _pillow(data, kind, limits, first=behind is not None)
        notes += more
    if behind is not None:
        beside, more = _looked_behind(data, behind, opened, frames, limits)
        frames, notes = frames + beside, notes + more
    still, film_glimpses, more = _still(data, kind, frames, limits)
    _renumber(still + film_glimpses, frames + glimpses)
    frames, glimpses, notes = frames + still, glimpses + film_glimpses, notes + more
    if seconds:
        beside = _looked_at_seconds(seconds, opened, limits)
        _renumber(beside, frames + glimpses)
        frames, notes = frames + beside, [*notes, "the phone wrote another picture behind this one: looked at both"]
    small, more = thumbnail(opened, frames, limits.pixels)
    _renumber(small, frames + glimpses)
    frames, notes = frames + small, notes + more
    if any(frame.view.endswith(HEEDED) for frame in frames):
        notes = ["colour profile or gamma shows another picture: looked at with and without", *notes]
    scale = frames[0].scale
    width, height = round(frames[0].width / scale), round(frames[0].height / scale)
    return Picture(kind, width, height, frames, tuple(notes), glimpses)


class _Behind(NamedTuple):
    """What a JPEG has behind its first picture: where gain maps and other pictures begin and end, and what is lost."""

    maps: tuple[tuple[int, int], ...]
    others: tuple[tuple[int, int], ...]
    lost: int


def _behind(data: bytes, opened: ImageFile.ImageFile, starts: list[int], limits: Limits) -> _Behind | None:
    """What follows the first picture of a JPEG, where that is no album that is walked as a film is.

    Raises CheckError for a picture that no index names: more than one JPEG in a row is an album when its index says so,
    or a photograph with its gain map; otherwise another picture hides behind the first.
    """
    maps = {start for start in starts[1:] if jpegs.is_gain_map(data, start)}
    told = jpegs.indexed(data)
    held = {place for place in told if data.startswith(b"\xff\xd8\xff", place)}
    if not maps and len(held) == len(told) and (opened.format == "MPO" or not held):
        if len(starts) > 1 and not (opened.format == "MPO" and _places(opened, limits) == starts):
            raise CheckError("jpeg: another picture follows the first and no index names it; two viewers may differ")
        return None
    if not held <= set(starts) or not set(starts[1:]) <= held | maps:
        raise CheckError("jpeg: its index names other pictures than follow the first; two viewers may differ")
    pieces = list(zip(starts, [*starts[1:], len(data)], strict=True))[1:]
    of_maps = tuple(piece for piece in pieces if piece[0] in maps)
    return _Behind(of_maps, tuple(piece for piece in pieces if piece[0] not in maps), len(told) - len(held))


def _looked_behind(
    data: bytes, behind: _Behind, opened: ImageFile.ImageFile, frames: Sequence[Frame], limits: Limits
) -> tuple[tuple[Frame, ...], list[str]]:
    """The frames to look at of what follows the first picture, and what is to be said of it."""
    found, notes, pixels = list[Frame](), list[str](), opened.width * opened.height
    for begin, end in behind.maps + behind.others:
        piece = data[begin : formats.end(data[:end], "jpeg", begin)]
        other = _header(piece, "jpeg", limits)
        pixels += other.width * other.height
        if pixels > limits.total_pixels:
            raise CheckError(f"jpeg: the pictures have more than {limits.total_pixels} pixels together")
        after = frames[-1].index + len(found) + 1
        if (begin, end) in behind.maps:
            small, turn = _map(piece, other, limits), turn_of(opened)
            upright = small.transpose(turn) if turn is not None else small
            told = gainmap.gains(jpegs.xmp(piece), jpegs.iso_gain_map(piece))
            more, said = gainmap.beside(frames[0], upright, told, after)
        else:
            more = decode(piece, limits).frames
            for frame in more:
                frame.index += after
            said = ["another picture follows the first: looked at both"]
        found += more
        notes += said
    if behind.lost:
        notes.append("the index names pictures that are not there")
    return tuple(found), list(dict.fromkeys(notes))


def _seconds(extra: bytes, kind: str) -> tuple[list[bytes], bytes]:
    """The other photographs that a phone's trailer names in what follows a JPEG, and all else that follows it."""
    found, rest = list[bytes](), bytearray(extra)
    for start in trailer.photographs(extra) if kind == "jpeg" else ():
        end = formats.end(extra, "jpeg", start) or len(extra)
        found.append(extra[start:end])
        rest[start:end] = bytes(end - start)
    return found, bytes(rest)


def _looked_at_seconds(seconds: Sequence[bytes], opened: ImageFile.ImageFile, limits: Limits) -> tuple[Frame, ...]:
    """The frames of the photographs of a trailer."""
    if len(seconds) >= limits.looked_at:
        raise CheckError(
            f"jpeg: {1 + len(seconds)} pictures in a file, of which {limits.looked_at} at most are looked at"
        )
    found, pixels = list[Frame](), opened.width * opened.height
    for piece in seconds:
        other = _header(piece, "jpeg", limits)
        pixels += other.width * other.height
        if pixels > limits.total_pixels:
            raise CheckError(f"jpeg: the pictures have more than {limits.total_pixels} pixels together")
        more = decode(piece, limits).frames
        _renumber(more, found)
        found += more
    return tuple(found)


def _map(piece: bytes, opened: ImageFile.ImageFile, limits: Limits) -> Image.Image:
    """A gain map: its pixels as they are stored."""
    if opened.mode not in {"L", "RGB"}:
        raise CheckError(f"jpeg: a gain map of mode {opened.mode} is not read")
    _check_jpeg(piece)
    image = _open(piece, "jpeg")
    factor = _shrink(image.size, limits)
    image.draft("RGB", (image.width // factor, image.height // factor))
    return image.convert("RGB")


def _header(data: bytes, kind: str, limits: Limits) -> ImageFile.ImageFile:
    """The picture with nothing but its header read. Raises CheckError for what is not decoded because of that."""
    ahead = formats.size_ahead(data, kind)
    if ahead is not None:
        _check_size(ahead, limits)
    opened = _open(data, kind)
    _check_size(opened.size, limits)
    formats.check_transfer(data, kind)
    if kind == "avif":  # the decoder of HEIC cuts for itself
        formats.check_crop(data, opened.size)
    if kind == "png" and data[24] == 16 and "transparency" in opened.info:
        # Told apart by 8 of their 16 bits, what is transparent and what is not would be one grey.
        raise CheckError("png: one colour of 16 bits is transparent, which is not read")
    return opened


def _open(data: bytes, kind: str) -> ImageFile.ImageFile:
    """Read the header, with the one decoder that the signature calls for."""
    try:
        if kind == "heic":
            return _heic(data)
        return Image.open(io.BytesIO(data), formats=_PILLOW[kind])
    except CheckError:
        raise
    except Image.DecompressionBombError as error:
        raise CheckError(f"{kind}: more pixels than are ever decoded") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes; all of it means: not read
        raise CheckError(f"{kind}: the header cannot be read") from error


def _heic(data: bytes) -> ImageFile.ImageFile:
    try:
        # Optional: its wheels carry libheif and libde265, which are under the LGPL.
        plugin = import_module("pi_heif.as_plugin")
    except ImportError as error:
        raise CheckError("heic is not read here: install pi-heif, or send PNG, JPEG, WebP or AVIF") from error
    opened: ImageFile.ImageFile = plugin.HeifImageFile(io.BytesIO(data))
    return opened


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise CheckError("the picture has no pixels")
    if width * height > limits.pixels:
        raise CheckError(f"the picture has {width} x {height} pixels; the limit is {limits.pixels} in all")
    if max(size) > limits.aspect * min(size) and max(size) > limits.long_side:
        raise CheckError(f"the picture is {width} x {height}; the long side may be {limits.aspect:g} times the short")


def _notes(opened: Image.Image, data: bytes, kind: str) -> list[str]:
    notes = ["colour profile ignored"] if opened.info.get("icc_profile") else []
    if kind in {"avif", "heic"}:
        named = formats.box(data, b"meta") or b""
        notes += [f"{what} not looked at" for what, names in _BESIDE.items() if any(name in named for name in names)]
    return notes


def _extra(extra: bytes) -> list[str]:
    """What is said of bytes after the picture's end. Raises CheckError when another picture is among them."""
    if not extra.strip(b"\x00\r\n \xff"):
        return []
    if formats.holds_picture(extra):
        raise CheckError("another picture hides after the end of this one; two viewers may differ")
    film = ["a film follows the picture: not looked at"] if formats.holds_film(extra) else []
    return [f"{len(extra)} bytes after the end of the picture", *film]


def _shrink(size: tuple[int, int], limits: Limits) -> int:
    return max(1, min(max(size) // limits.long_side, min(size) // limits.short_side))


def _jpeg(data: bytes, opened: ImageFile.ImageFile, limits: Limits) -> Frame:
    """Decode a grey or colour JPEG straight to the size that is kept."""
    factor = _shrink(opened.size, limits)
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


def _check_jpeg(data: bytes) -> None:
    """Raises CheckError for a JPEG that ends too soon: Pillow paints the rest grey. Decoded small, into nothing."""
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
        inks = "CMYK" if colours in {"CMYK", "YCCK"} else "RGB"
        simplejpeg.decode_jpeg(data, inks, min_width=1, min_height=1, min_factor=8, strict=True)
    except (ValueError, OSError) as error:
        raise CheckError("jpeg: broken or truncated") from error


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
    if first or not _has_more(_open(data, kind)):
        _check_count(data, kind, 1)
        image = next(_walk(data, kind, limits))
        if kind == "png" and (image.info.get("interlace") or _last_row_is_empty(image)):
            _check_png(data)
        return _Film(tuple(renderings(image, 0, _shrink(image.size, limits), notes)), (), notes)
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
            frames += renderings(image, index, max(least, _shrink(image.size, limits)), notes)
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


def _renumber(more: Sequence[Frame], held: Sequence[Frame]) -> None:
    """Gives the pictures of `more` numbers after those of `held`: a number stands for one picture."""
    first = 1 + max((frame.index for frame in held), default=-1)
    least = min((frame.index for frame in more), default=0)
    for frame in more:
        frame.index += first - least


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


def _places(opened: ImageFile.ImageFile, limits: Limits) -> list[int]:
    """Where the pictures begin that an album's index names, in order."""
    places = list[int]()
    for index in range(min(int(getattr(opened, "n_frames", 1)), limits.frames + 1)):
        try:
            opened.seek(index)
        except Exception as error:
            raise CheckError(f"jpeg: frame {index} cannot be read") from error
        places.append(int(getattr(opened, "offset", -1)))
    opened.seek(0)
    return sorted(places)


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
    opened, pixels = _open(data, kind), 0
    for index in range(limits.frames + 1):
        try:
            opened.seek(index)
        except EOFError:
            return
        except Exception as error:
            raise CheckError(f"{kind}: frame {index} cannot be read") from error
        if index == limits.frames:
            raise CheckError(f"{kind}: more than {limits.frames} frames")
        _check_size(opened.size, limits)
        if kind == "tiff":
            _check_tiff(opened, limits)
        pixels += opened.width * opened.height
        if pixels > limits.total_pixels:
            raise CheckError(f"{kind}: the frames have more than {limits.total_pixels} pixels together")
        try:
            opened.load()
        except Exception as error:
            raise CheckError(f"{kind}: frame {index} is broken or truncated") from error
        _check_size(opened.size, limits)  # a few decoders find out only now
        yield opened
