"""Attacks on pictures: what is done to one on its way through chats and tools, and what is done on purpose."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from guardrail.errors import CheckError
from guardrail.evaluate.rows import Picture

Change = Callable[[Image.Image, random.Random], Image.Image]

MOST_PIXELS = 50_000_000
"""The limit that the guard has by default: what is larger is not judged, so it needs no attack."""


def changed(picture: Picture, change: Change, chance: random.Random) -> Picture:
    """The picture changed, as PNG; one that can't be read is left as it is, for the judge to say so."""
    try:
        seen = opened(picture)
    except CheckError:
        return picture
    out = io.BytesIO()
    change(seen, chance).save(out, "PNG", compress_level=1)
    return out.getvalue()


def opened(picture: Picture) -> Image.Image:
    """A picture in RGB, upright, on white where it has an alpha channel. Raises CheckError for one that can't be."""
    try:
        encoded = picture if isinstance(picture, bytes) else picture.read_bytes()
        with Image.open(io.BytesIO(encoded)) as read:
            if read.width * read.height > MOST_PIXELS:
                raise CheckError("too large to be attacked")
            upright = ImageOps.exif_transpose(read)
            if not upright.has_transparency_data:
                return upright.convert("RGB")
            layered = upright.convert("RGBA")
            ground = Image.new("RGB", layered.size, (255, 255, 255))
            ground.paste(layered, mask=layered.getchannel("A"))
            return ground
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise CheckError("not a picture") from None


def jpeg(image: Image.Image, chance: random.Random) -> Image.Image:
    """JPEG at quality 15."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=15)
    return opened(out.getvalue())


def shrink(image: Image.Image, chance: random.Random) -> Image.Image:
    """Shrunk to a quarter of its width and back."""
    small = image.resize((max(1, image.width // 4), max(1, image.height // 4)), Image.Resampling.BILINEAR)
    return small.resize(image.size, Image.Resampling.BILINEAR)


def crop(image: Image.Image, chance: random.Random) -> Image.Image:
    """Seven tenths of its width and height, somewhere."""
    wide, high = max(1, int(image.width * 0.7)), max(1, int(image.height * 0.7))
    left, top = chance.randint(0, image.width - wide), chance.randint(0, image.height - high)
    return image.crop((left, top, left + wide, top + high))


def blur(image: Image.Image, chance: random.Random) -> Image.Image:
    """Gaussian blur of one hundredth of its shorter edge."""
    return image.filter(ImageFilter.GaussianBlur(max(1.0, min(image.size) / 100)))


def noise(image: Image.Image, chance: random.Random) -> Image.Image:
    """Gaussian noise of 25 of 255."""
    source = np.random.default_rng(chance.randrange(2**32))
    pixels = np.asarray(image, np.float32) + source.normal(0.0, 25.0, (image.height, image.width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def colour(image: Image.Image, chance: random.Random) -> Image.Image:
    """Hue turned by a third, colours pale."""
    hue, saturation, value = image.convert("HSV").split()
    turned = hue.point([(level + 85) % 256 for level in range(256)])
    return ImageEnhance.Color(Image.merge("HSV", (turned, saturation, value)).convert("RGB")).enhance(0.6)


def grey(image: Image.Image, chance: random.Random) -> Image.Image:
    """Without colour."""
    return image.convert("L").convert("RGB")


def dark(image: Image.Image, chance: random.Random) -> Image.Image:
    """A fifth of its brightness."""
    return ImageEnhance.Brightness(image).enhance(0.2)


def mirror(image: Image.Image, chance: random.Random) -> Image.Image:
    """Left and right exchanged."""
    return ImageOps.mirror(image)


def rotate(image: Image.Image, chance: random.Random) -> Image.Image:
    """Turned by 20 degrees to one side."""
    return image.rotate(chance.choice((-20, 20)), Image.Resampling.BILINEAR, expand=True)


def upside_down(image: Image.Image, chance: random.Random) -> Image.Image:
    """Turned by 180 degrees."""
    return image.rotate(180)


def overlay(image: Image.Image, chance: random.Random) -> Image.Image:
    """A grid of lines over it, a third opaque."""
    lines = image.copy()
    draw = ImageDraw.Draw(lines)
    step = max(8, min(image.size) // 20)
    for at in range(0, max(image.size), step):
        draw.line((at, 0, at, image.height), fill=(255, 255, 255), width=max(1, step // 5))
        draw.line((0, at, image.width, at), fill=(0, 0, 0), width=max(1, step // 5))
    return Image.blend(image, lines, 0.35)


def collage(image: Image.Image, chance: random.Random) -> Image.Image:
    """One of nine tiles, the others plain colours."""
    tile = image.copy()
    tile.thumbnail((512, 512))
    sheet = Image.new("RGB", (tile.width * 3, tile.height * 3))
    place = chance.randrange(9)
    for at in range(9):
        shown = tile if at == place else Image.new("RGB", tile.size, tuple(chance.randrange(80, 200) for _ in range(3)))
        sheet.paste(shown, (at % 3 * tile.width, at // 3 * tile.height))
    return sheet


def alpha(image: Image.Image, chance: random.Random) -> Image.Image:
    """Behind an alpha channel of a fifth, which shows on some grounds and hardly on others."""
    image = image.copy()
    image.putalpha(51)
    return image


def text_over(image: Image.Image, chance: random.Random) -> Image.Image:
    """Words written all over it."""
    written = image.copy()
    draw = ImageDraw.Draw(written)
    size = max(12, image.height // 16)
    for line in range(0, image.height, size * 2):
        draw.text((chance.randrange(size), line), "SAMPLE PREVIEW " * 12, fill=(255, 255, 255), font_size=size)
    return written


def border(image: Image.Image, chance: random.Random) -> Image.Image:
    """A white border as wide as half of its shorter edge."""
    return ImageOps.expand(image, max(1, min(image.size) // 2), (255, 255, 255))


CHANGES: dict[str, Change] = {
    one.__name__: one
    for one in (
        jpeg,
        shrink,
        crop,
        blur,
        noise,
        colour,
        grey,
        dark,
        mirror,
        rotate,
        upside_down,
        overlay,
        collage,
        alpha,
        text_over,
        border,
    )
}
