"""Renderings: what viewers show of one decoded picture, each that differs as a frame.

A picture is shown upright, in 8 bits, with its colour profile heeded or not, and a transparent one on black, on white
or without its transparency. What differs from one viewer to the next is looked at in every way.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from guardrail.errors import CheckError
from guardrail.inference.image import colour
from guardrail.inference.image.frame import Frame

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Two renderings that differ by no more than this many grey levels anywhere are one picture to any model here.
_SAME = 12
HEEDED = "in its own colours"
_WHITE_IS_ZERO = 262, 0  # a tag of TIFF and its value


def renderings(image: Image.Image, index: int, factor: int, notes: list[str]) -> list[Frame]:
    """The frames to look at of one decoded picture, the `index`-th of its file, shrunk by a whole `factor`.

    One, or for a transparent one or one whose colours viewers disagree about each that differs; `notes` is told.
    Raises CheckError for pixels whose brightness nobody agrees about.
    """
    turn, original = turn_of(image), max(image.size)
    flat = eight_bits(image)
    if flat.mode == "RGBA":
        lowest = flat.getchannel("A").getextrema()[0]
        if isinstance(lowest, (int, float)) and lowest > 255 - _SAME:
            flat = flat.convert("RGB")
    views = _rendered(flat, factor)
    if _lacks_adobes_mark(image):
        # Adobe's files hold inks the other way round. Some viewers take all for Adobe's, some go by its mark.
        other_way = ImageChops.invert(image).convert("RGB")
        views |= {f"{view}, inks as they stand": each for view, each in _rendered(other_way, factor).items()}
        notes.append("inks without a mark of how they stand: looked at both ways")
    if flat.mode == "RGBA":
        notes.append("transparent: looked at on black, on white and without alpha, where these differ")
    # Made of the whole picture: pixels that mean nothing one by one are a picture in other colours.
    other = colour.heeded(image, flat)
    if other is not None:
        views |= {f"{view}, {HEEDED}": rendered for view, rendered in _rendered(other, factor).items()}
    distinct: list[tuple[str, Image.Image]] = []
    for view, rendered in views.items():
        if not any(_alike(rendered, kept) for _, kept in distinct):
            distinct.append((view, rendered))
    frames = []
    for view, rendered in distinct:
        upright = rendered.transpose(turn) if turn is not None else rendered
        pixels = np.asarray(upright.convert("RGBX"))
        frames.append(Frame(pixels, scale=max(upright.size) / original, index=index, view=view))
    return frames


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How its Exif says that the picture is to be turned upright; None where it is."""
    try:
        return _TURNS.get(int(image.getexif().get(_ORIENTATION, 1)))
    except Exception:  # Exif is a stranger's TIFF; a broken one turns nothing, in viewers as here
        return None


def eight_bits(image: Image.Image) -> Image.Image:
    """The image as RGB or RGBA with 8 bits; 16 bits are scaled, not clipped. Raises CheckError for other modes."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "P":
        _check_palette(image)
    if image.mode.startswith("I;16"):
        wide = np.asarray(image)
        if getattr(image, "tag_v2", {}).get(_WHITE_IS_ZERO[0]) == _WHITE_IS_ZERO[1]:
            wide = ~wide  # the decoder turns it round for 8 bits and not for 16
        return Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in {"L", "1", "P", "CMYK", "YCbCr", "RGBX"}:
        return image.convert("RGB")
    raise CheckError(f"pixels of mode {image.mode} have no agreed range of brightness")


def _lacks_adobes_mark(image: Image.Image) -> bool:
    return image.mode == "CMYK" and image.format in {"JPEG", "MPO"} and "adobe" not in image.info


def _check_palette(image: Image.Image) -> None:
    """Raises CheckError for a pixel that has no colour: browsers show it black or not at all, Pillow grey."""
    held, seen_through = len(image.getpalette() or ()) // 3, image.info.get("transparency")
    beyond = [at for at, count in enumerate(image.histogram()) if count and at >= held and at != seen_through]
    if beyond:
        raise CheckError(f"a pixel has colour {beyond[0]} of a palette of {held}; two viewers may differ")


def _rendered(flat: Image.Image, factor: int) -> dict[str, Image.Image]:
    """What viewers show of an RGB or RGBA picture, shrunk by `factor`."""
    # Pillow weighs colours by their alpha when it reduces RGBA, so the colours are reduced apart as well.
    small = flat.reduce(factor) if factor > 1 else flat
    if flat.mode != "RGBA":
        return {"shown": small}
    bare = flat.convert("RGB")
    return {
        "on black": _on(small, (0, 0, 0)),
        "on white": _on(small, (255, 255, 255)),
        "without alpha": bare.reduce(factor) if factor > 1 else bare,
    }


def _on(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    canvas = Image.new("RGB", image.size, colour)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _alike(one: Image.Image, other: Image.Image) -> bool:
    extremes = ImageChops.difference(one, other).getextrema()
    return all(isinstance(channel, tuple) and channel[1] <= _SAME for channel in extremes)
