"""Colour: how a viewer that heeds a picture's colour profile or gamma shows it, where that is plainly another picture.

A profile is a table that may turn any colour into any other, and some viewers apply it and some do not: one file can
be grey noise to a model and somebody's picture to whoever opens it. Profiles of real cameras and screens move colours
a little, and are left alone.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from guardrail.errors import CheckError

# Levels of 255 by which a grey, or the brightness of a colour, moves. Of the usual ones gamma 1.8 moves a grey by 19,
# Display P3 a brightness by 39, Adobe RGB by 46; ProPhoto (73) and linear light (73) are looked at both ways.
PLAINLY = 48
# What brings out differences that cannot be seen is steep: a move that changes by this much within STEP levels.
STEEPLY, STEP = 24, 16
MAX_PROFILE = 8 * 1024 * 1024  # bytes; those of printing presses have up to 3 MB
SCREEN_GAMMA = 2.2
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def is_heeded(image: Image.Image) -> bool:
    """True when a viewer that heeds the profile or gamma of `image` shows plainly other colours.

    Raises CheckError for a profile that is too large to be read.
    """
    profile = _profile(image)
    if profile is None:
        curve = _curve(image)
        return curve is not None and _bends(curve[:, None])
    mode = _mode(profile)
    if mode == "CMYK" or _has_table(image.info["icc_profile"]):
        return True  # a table may do anything between the colours that are tried
    probe = Image.fromarray(_probe()).convert(mode)
    shown = _converted(probe, profile)
    if shown is None:
        return False
    brighter = np.asarray(shown.convert("L"), int) - np.asarray(probe.convert("L"), int)
    return _bends(np.asarray(shown)[0, :256]) or int(np.abs(brighter).max()) > PLAINLY


def heeded(image: Image.Image, flat: Image.Image) -> Image.Image | None:
    """`flat` (RGB or RGBA, made of `image`) as such a viewer shows it; None where it shows about the same.

    Raises CheckError like `is_heeded`.
    """
    if not is_heeded(image):
        return None
    profile = _profile(image)
    bare = flat.convert("RGB")
    if profile is None:
        curve = _curve(image)
        shown = bare.point(list(curve) * 3) if curve is not None else None
    else:
        mode = _mode(profile)
        shown = _converted(image if image.mode == mode else bare.convert(mode), profile)
    if shown is not None and flat.mode == "RGBA":
        shown.putalpha(flat.getchannel("A"))
    return shown


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The profile, or None where there is none that is of use: a viewer ignores that as well, and goes by the gamma."""
    raw = image.info.get("icc_profile")
    if not isinstance(raw, bytes) or not raw:
        return None
    if len(raw) > MAX_PROFILE:
        raise CheckError(f"the colour profile has {len(raw)} bytes; the limit is {MAX_PROFILE}")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(raw))
    except Exception:  # a stranger's bytes in a library of its own
        return None
    return profile if _mode(profile) is not None else None


def _mode(profile: ImageCms.ImageCmsProfile) -> str | None:
    return _MODES.get(str(profile.profile.xcolor_space).strip())


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image | None:
    try:
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except Exception:  # as above
        return None


def _curve(image: Image.Image) -> NDArray[np.uint8] | None:
    """What the gamma chunk of a PNG makes of each of 256 levels on an ordinary screen; None where there is none."""
    gamma = image.info.get("gamma")
    if not isinstance(gamma, (int, float)) or not gamma > 0:
        return None
    power = 1.0 / (float(gamma) * SCREEN_GAMMA)
    return np.asarray(np.rint(255.0 * (np.arange(256) / 255.0) ** power), np.uint8)


def _probe() -> NDArray[np.uint8]:
    """256 greys and then a cube of colours, 16 levels a side: uint8 (1, 4352, 3)."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    return np.concatenate([np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1), cube])[None]


def _bends(ramp: NDArray[np.uint8]) -> bool:
    """True when 256 levels, uint8 (256, channels), come out plainly moved or much steeper than they were."""
    moved = ramp.astype(int) - np.arange(256)[:, None]
    return int(np.abs(moved).max()) > PLAINLY or int(np.abs(moved[STEP:] - moved[:-STEP]).max()) > STEEPLY


def _has_table(raw: bytes) -> bool:
    """True for a profile with a table of colours (ICC.1 tags A2B0, D2B0 and so on) beside or instead of curves."""
    count = min(int.from_bytes(raw[128:132]), 256)
    return any(raw[at : at + 3] in (b"A2B", b"D2B") for at in range(132, 132 + 12 * count, 12))
