"""Colour: how a viewer that heeds a picture's colour profile or gamma shows it, where that is plainly another picture.

A profile is a table that may turn any colour into any other, and some viewers apply it and some do not: one file can
be grey noise to a model and somebody's picture to whoever opens it. Profiles of real cameras and screens move colours
a little, and are left alone.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from guardrail.errors import CheckError
from guardrail.inference.image.formats import ORDINARY_TRANSFER

# Levels of 255 by which a grey, or the brightness of a colour, moves. Of the usual ones gamma 1.8 moves a grey by 19,
# Display P3 a brightness by 39, Adobe RGB by 46; ProPhoto (73) and linear light (73) are looked at both ways.
PLAINLY = 48
# What brings out differences that cannot be seen is steep: a move that changes by this much within STEP levels.
STEEPLY, STEP = 24, 16
MAX_PROFILE = 8 * 1024 * 1024  # bytes; those of printing presses have up to 3 MB
SCREEN_GAMMA = 2.2
# Of a PNG's white, red, green and blue: x and y each. What lies this near to sRGB's is sRGB.
_SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_NEAR = 0.02
# ICC profiles describe colours as seen under D50; Bradford's matrix leads from another white to it.
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([(0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)])
_TABLES = {b"A2B", b"D2B"}
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def is_heeded(image: Image.Image) -> bool:
    """True when a viewer that heeds the profile or gamma of `image` shows plainly other colours.

    Raises CheckError for a profile that is too large to be read, or is for screens of high range.
    """
    profile = _profile(image) or _of_primaries(image)
    if profile is None:
        curve = _curve(image)
        return curve is not None and _bends(curve[:, None])
    mode = _mode(profile)
    if mode == "CMYK" or _tags(image.info.get("icc_profile", b"")) & _TABLES:
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
    profile = _profile(image) or _of_primaries(image)
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
    _check_range(raw)
    profile = _opened(raw)
    return profile if profile is not None and _mode(profile) is not None else None


def _opened(raw: bytes) -> ImageCms.ImageCmsProfile | None:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(raw))
    except Exception:  # a stranger's bytes in a library of its own
        return None


def _mode(profile: ImageCms.ImageCmsProfile) -> str | None:
    try:
        return _MODES.get(str(profile.profile.xcolor_space).strip())
    except UnicodeDecodeError:  # the library takes whatever stands there for letters
        return None


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


def _tags(raw: bytes) -> set[bytes]:
    """What a profile says of colours, by the names of its tags; those of tables by their first three letters."""
    names = {raw[at : at + 4] for at in range(132, 132 + 12 * min(int.from_bytes(raw[128:132]), 256), 12)}
    return names | {name[:3] for name in names}


def _check_range(raw: bytes) -> None:
    """Raises CheckError for a profile whose tag `cicp` (ICC.1:2022) says that brightness is written in no ordinary way.

    Browsers heed it; the library here does not know it.
    """
    for at in range(132, 132 + 12 * min(int.from_bytes(raw[128:132]), 256), 12):
        start = int.from_bytes(raw[at + 4 : at + 8])
        told = raw[start + 9 : start + 10]
        if raw[at : at + 4] == b"cicp" and told and told[0] not in ORDINARY_TRANSFER:
            raise CheckError("the colour profile is for screens of high range, which two viewers show differently")


def _of_primaries(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The profile that the primaries and the gamma of a PNG stand for; None where both are not there, or are sRGB's.

    Browsers heed the primaries where a gamma stands beside them.
    """
    told, gamma = image.info.get("chromaticity"), image.info.get("gamma")
    if not isinstance(told, tuple) or len(told) != len(_SRGB_PRIMARIES) or not isinstance(gamma, float):
        return None
    if not 0.01 < gamma < 100 or np.abs(np.subtract(told, _SRGB_PRIMARIES)).max() < _NEAR:
        return None
    places = np.array(told).reshape(4, 2)
    if (places[:, 1] < 1e-4).any():
        return None
    light = np.column_stack([places[:, 0] / places[:, 1], np.ones(4), (1 - places.sum(axis=1)) / places[:, 1]])
    white, primaries = light[0], light[1:].T
    if abs(np.linalg.det(primaries)) < 1e-4:
        return None
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ (primaries * np.linalg.solve(primaries, white))
    if not (np.abs(adapted) < 30_000).all():
        return None
    return _opened(_written(adapted, 1.0 / gamma))


def _written(primaries: NDArray[np.float64], power: float) -> bytes:
    """An ICC profile of a screen: the light of its three primaries under D50, in columns, and one power for all."""

    def light(xyz: NDArray[np.float64]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in xyz))

    curve = b"para\0\0\0\0\0\0\0\0" + struct.pack(">i", round(power * 65536))
    held = {b"wtpt": light(_D50), b"rXYZ": light(primaries[:, 0]), b"gXYZ": light(primaries[:, 1])}
    held |= {b"bXYZ": light(primaries[:, 2]), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, bodies, first = struct.pack(">I", len(held)), b"", 132 + 12 * len(held)
    for name, body in held.items():
        table += name + struct.pack(">II", first + len(bodies), len(body))
        bodies += body
    head = struct.pack(">I4sI4s4s4s", first + len(bodies), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + bodies
