"""Behind a picture: the gain map, photographs, trailer and film that follow it in its file, and what is seen of them.

What a viewer may show in place of the first picture is looked at with it; what no index names hides, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL import Image, ImageFile

from guardrail.errors import CheckError
from guardrail.inference.image import formats, gainmap, jpegs, trailer
from guardrail.inference.image.frame import Frame, renumber
from guardrail.inference.image.opening import Limits, check_jpeg, header, open_file, shrink
from guardrail.inference.image.renderings import turn_of

# How a whole picture that was found behind the first is decoded: to its frames.
Decode = Callable[[bytes], tuple[Frame, ...]]


class Pieces(NamedTuple):
    """What a JPEG has behind its first picture: where gain maps and other pictures begin and end, and what is lost."""

    maps: tuple[tuple[int, int], ...]
    others: tuple[tuple[int, int], ...]
    lost: int


def pieces(data: bytes, opened: ImageFile.ImageFile, starts: list[int], limits: Limits) -> Pieces | None:
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
    parts = list(zip(starts, [*starts[1:], len(data)], strict=True))[1:]
    of_maps = tuple(part for part in parts if part[0] in maps)
    return Pieces(of_maps, tuple(part for part in parts if part[0] not in maps), len(told) - len(held))


def of_pieces(
    data: bytes,
    found: Pieces,
    opened: ImageFile.ImageFile,
    frames: Sequence[Frame],
    limits: Limits,
    decode: Decode,
) -> tuple[tuple[Frame, ...], list[str]]:
    """The frames to look at of what follows the first picture, which `frames` show, and what is to be said of it."""
    beside, notes, pixels = list[Frame](), list[str](), opened.width * opened.height
    for begin, end in found.maps + found.others:
        piece = data[begin : formats.end(data[:end], "jpeg", begin)]
        other = header(piece, "jpeg", limits)
        pixels += other.width * other.height
        if pixels > limits.total_pixels:
            raise CheckError(f"jpeg: the pictures have more than {limits.total_pixels} pixels together")
        after = frames[-1].index + len(beside) + 1
        if (begin, end) in found.maps:
            small, turn = _map(piece, other, limits), turn_of(opened)
            upright = small.transpose(turn) if turn is not None else small
            told = gainmap.gains(jpegs.xmp(piece), jpegs.iso_gain_map(piece))
            more, said = gainmap.beside(frames[0], upright, told, after)
        else:
            more = decode(piece)
            for frame in more:
                frame.index += after
            said = ["another picture follows the first: looked at both"]
        beside += more
        notes += said
    if found.lost:
        notes.append("the index names pictures that are not there")
    return tuple(beside), list(dict.fromkeys(notes))


def seconds(extra: bytes, kind: str) -> tuple[list[bytes], bytes]:
    """The other photographs that a phone's trailer names in what follows a JPEG, and all else that follows it."""
    found, rest = list[bytes](), bytearray(extra)
    for start in trailer.photographs(extra) if kind == "jpeg" else ():
        end = formats.end(extra, "jpeg", start) or len(extra)
        found.append(extra[start:end])
        rest[start:end] = bytes(end - start)
    return found, bytes(rest)


def of_seconds(
    named: Sequence[bytes], opened: ImageFile.ImageFile, limits: Limits, decode: Decode
) -> tuple[Frame, ...]:
    """The frames of the photographs of a trailer."""
    if len(named) >= limits.looked_at:
        raise CheckError(
            f"jpeg: {1 + len(named)} pictures in a file, of which {limits.looked_at} at most are looked at"
        )
    found, pixels = list[Frame](), opened.width * opened.height
    for piece in named:
        other = header(piece, "jpeg", limits)
        pixels += other.width * other.height
        if pixels > limits.total_pixels:
            raise CheckError(f"jpeg: the pictures have more than {limits.total_pixels} pixels together")
        more = decode(piece)
        renumber(more, found)
        found += more
    return tuple(found)


def said_of(extra: bytes) -> list[str]:
    """What is said of bytes after the picture's end. Raises CheckError when another picture is among them."""
    if not extra.strip(b"\x00\r\n \xff"):
        return []
    if formats.holds_picture(extra):
        raise CheckError("another picture hides after the end of this one; two viewers may differ")
    film = ["a film follows the picture: not looked at"] if formats.holds_film(extra) else []
    return [f"{len(extra)} bytes after the end of the picture", *film]


def _map(piece: bytes, opened: ImageFile.ImageFile, limits: Limits) -> Image.Image:
    """A gain map: its pixels as they are stored."""
    if opened.mode not in {"L", "RGB"}:
        raise CheckError(f"jpeg: a gain map of mode {opened.mode} is not read")
    check_jpeg(piece)
    image = open_file(piece, "jpeg")
    factor = shrink(image.size, limits)
    image.draft("RGB", (image.width // factor, image.height // factor))
    return image.convert("RGB")


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
