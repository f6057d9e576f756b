"""Views: the squares of a frame in which exposure is judged.

The nets see a square of 224 pixels. What a picture's shape, its margin or its size could hide from that square gets a
look of its own: the outer sixteenth, the squares of a long picture, and the body below a small face. A picture whose
people lie on their side or head is looked at with them upright as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from guardrail.inference.image.align import Pixels
from guardrail.inference.image.bodies import SEEN, Body
from guardrail.inference.image.faces import AGE_FACE, Face
from guardrail.inference.image.frame import Frame, packed
from guardrail.inference.image.search import EDGE
from guardrail.inference.image.skin import skin_share

SQUARE, SIDE = 256, 224  # Yahoo's order: squash to 256, take the middle 224

# A picture longer than this is also cut into overlapping squares: squashed, a standing figure in it would be a line.
LONG = 1.6
MOST_TILES = 6
# The outer sixteenth falls to the crop. It gets a look when this share of it has a skin tone and there is an edge.
EDGE_SKIN = 0.25

# The square around the body below a face, in heights of that face: half a head above it, and down to the knees of an
# adult who stands (a body is about seven and a half heads high, and a detector's box is about nine tenths of a head).
BODY_EDGE, BODY_ABOVE = 5.0, 0.6
# It gets a look where it is at most this share of the frame's shorter edge (else the usual view shows it as large), a
# face has at least this many pixels, and this share of it has a skin tone, the face among it.
BODY_SHARE = 0.6
BODY_FACE_PX = 24.0
BODY_SKIN = 0.2
MOST_BODIES = 3

# A head leans on a body that stands, and landmarks of a face seen from the side say that it leans by more than it does.
# Up to this many degrees, nearer to the diagonal than to a quarter turn, the body says which way is up: it stands where
# the middle of the face is in its upper third, and at most this share of its width off its own middle. Of people turned
# by 50 to 70 degrees none or few look so (models/exposure).
LEANING_DEG = 67.5
HEAD_DOWN, HEAD_ASIDE = 1 / 3, 0.15

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """One square, R, G, B in uint8. `looks` are what open_nsfw reads of it, (SIDE, SIDE, 3) each, the highest counts.

    `square` is the whole of it at any size; `close` is the share of it that its largest face covers; `glance` says that
    as little as can be is asked about it.
    """

    looks: tuple[Pixels, ...]
    square: Pixels
    close: float
    glance: bool = False

    @cached_property
    def whole(self) -> Pixels:
        """What nsfwjs reads: the square at (SIDE, SIDE, 3). Made when it is asked for."""
        return self.square if len(self.square) == SIDE else _resized(Image.fromarray(self.square))

    @property
    def skin(self) -> float:
        """Share of the square that has a skin tone, by every sixteenth pixel."""
        return skin_share(self.square[::4, ::4].reshape(-1, 3))

    def turned(self, quarters: int) -> View:
        """The same square after so many quarter turns against the clock."""
        return View(tuple(np.rot90(look, quarters) for look in self.looks), np.rot90(self.square, quarters), self.close)


def views(frame: Frame, faces: Sequence[Face] = (), suspected: bool = False, bodies: Sequence[Body] = ()) -> list[View]:
    """The squares of a frame that are judged: the usual one first, then what it would miss.

    `faces` and `bodies` are those of this frame. As a sure face says that upright is, the frame is looked at too, but
    for a head that only leans; where none is sure and somebody is `suspected` in it, so it is after each quarter turn.
    At most 4 (1 + MOST_TILES) + MOST_BODIES.
    """
    sure = [_as_it_stands(face, bodies) for face in faces if face.score >= AGE_FACE]
    found = [_usual(frame, sure)]
    if max(frame.width, frame.height) > LONG * min(frame.width, frame.height):
        found += _tiles(frame, sure)
    turns = {_quarters(face) for face in sure} - {0} if sure else {1, 2, 3} if suspected else set()
    return [*found, *(view.turned(turn) for turn in sorted(turns) for view in found), *_bodies(frame, sure)]


def may_lean(face: Face) -> bool:
    """True for a face that is turned so far that its head may lean, or somebody lie."""
    return _quarters(face) != 0 and abs((face.turn_deg + 180) % 360 - 180) < LEANING_DEG


def glance(frame: Frame) -> View:
    """The one look that a frame gets of which only a glimpse was kept."""
    square = packed(frame.square(SIDE, 1.0))
    return View((square,), square, 0.0, glance=True)


def _as_it_stands(face: Face, bodies: Sequence[Body]) -> Face:
    """The face, or where its body stands and only its head leans, the same as if it were upright."""
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    around = [body for body in bodies if body.box[0] <= x <= body.box[2] and body.box[1] <= y <= body.box[3]]
    if not may_lean(face) or not around:
        return face
    own = max(around, key=lambda body: body.score)
    left, top, right, bottom = own.box
    across, down = (x - left) / max(right - left, 1e-9), (y - top) / max(bottom - top, 1e-9)
    stands = own.score >= SEEN and down <= HEAD_DOWN and abs(across - 0.5) <= HEAD_ASIDE
    return replace(face, turn_deg=0) if stands else face


def _quarters(face: Face) -> int:
    """The quarter turns against the clock after which a face is nearest to upright."""
    return round(face.turn_deg / 90) % 4


def _usual(frame: Frame, faces: Sequence[Face]) -> View:
    # The fastest reduction: on 258 harmless pictures it moved open_nsfw's score by 0.0014 on average, 0.057 at most.
    usual, margin = packed(frame.square(SQUARE, 1.0)), (SQUARE - SIDE) // 2
    view = View((usual[margin:-margin, margin:-margin],), usual, _close((0.0, 0.0, 1.0, 1.0), faces))
    edge = [usual[:margin], usual[-margin:], usual[:, :margin], usual[:, -margin:]]
    bare = skin_share(np.concatenate([strip.reshape(-1, 3) for strip in edge])) >= EDGE_SKIN
    if not bare or frame.steepest < EDGE:
        return view
    return View((*view.looks, view.whole), usual, view.close)


def _tiles(frame: Frame, faces: Sequence[Face]) -> list[View]:
    """Overlapping squares along the longer edge; they grow rather than leave gaps."""
    longer, shorter = max(frame.width, frame.height), min(frame.width, frame.height)
    small = Image.fromarray(packed(frame.fit(math.ceil(SIDE * longer / shorter))))
    length, short = max(small.size), min(small.size)
    count = min(MOST_TILES, math.ceil(length / short))
    edge = max(short, math.ceil(length / count))
    tiles = []
    for start in np.linspace(0, length - edge, count).round().astype(int).tolist():
        cut = (start, 0, start + edge, short) if small.width >= small.height else (0, start, short, start + edge)
        tile = _resized(small.crop(cut))
        wide, high = small.size
        place = (cut[0] / wide, cut[1] / high, cut[2] / wide, cut[3] / high)
        tiles.append(View((tile,), tile, _close(place, faces)))
    return tiles


def _bodies(frame: Frame, faces: Sequence[Face]) -> list[View]:
    """The surroundings of the largest faces, where the usual view shows them small and they have skin tones.

    Below a face is where its chin points: the square of a turned one lies to another side, and is turned upright.
    """
    found: list[View] = []
    for face in faces:
        quarters = _quarters(face)
        x0, y0, x1, y1 = (end * size for end, size in zip(face.box, (frame.width, frame.height) * 2, strict=True))
        edge = BODY_EDGE * (x1 - x0 if quarters % 2 else y1 - y0)
        if face.size_px < BODY_FACE_PX or edge > BODY_SHARE * min(frame.width, frame.height):
            continue
        above, across, down = BODY_ABOVE * edge / BODY_EDGE, (x0 + x1 - edge) / 2, (y0 + y1 - edge) / 2
        corner = ((across, y0 - above), (x1 + above - edge, down), (across, y1 + above - edge), (x0 - above, down))
        left = float(np.clip(corner[quarters][0], 0, frame.width - edge))
        top = float(np.clip(corner[quarters][1], 0, frame.height - edge))
        x0, y0, size = round(left), round(top), round(edge)
        part = packed(frame.rgb[y0 : y0 + size, x0 : x0 + size])
        step = max(1, size // 64)
        if skin_share(part[::step, ::step].reshape(-1, 3)) < BODY_SKIN:
            continue
        tile = _resized(Image.fromarray(part))
        place = (left / frame.width, top / frame.height, (left + edge) / frame.width, (top + edge) / frame.height)
        found.append(View((tile,), tile, _close(place, faces)).turned(quarters))
        if len(found) == MOST_BODIES:
            break
    return found


def _close(place: Box, faces: Sequence[Face]) -> float:
    """The largest share of the square at `place` (fractions of the frame) that one face covers."""
    area = max((place[2] - place[0]) * (place[3] - place[1]), 1e-12)
    return max((_shared(place, face.box) / area for face in faces), default=0.0)


def _shared(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _resized(image: Image.Image) -> Pixels:
    factor = max(1, min(image.size) // (2 * SIDE))
    small = image.reduce(factor) if factor > 1 else image
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
