"""Faceless: the bodies of a frame whose own face is not among those that were found in it.

Somebody who is turned away or without a head stands beside others whose faces are seen. A face belongs to one body,
and to the one whose head it is on: what is before a belly, or far behind a shoulder, is somebody else's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from guardrail.inference.image.bodies import Body
from guardrail.inference.image.faces import Face

# How far below the end of the body at which its head is the middle of its face lies at most, in longer edges of the
# face; and how many times as long as its face a body is. In 182 pictures of one upright face and one body the most are
# 1.9 and 11.0; 17.7 where a face was found between two people whose heads are cut off (models/body/beside.py).
DEEPEST, TALLEST = 2.5, 14.0


def faceless(bodies: Sequence[Body], faces: Sequence[Face], size: tuple[int, int]) -> list[Body]:
    """Those of `bodies` that have no face, where each face is given to one and as many as possible have one.

    `bodies` and `faces` are those of one frame, `size` its width and height in pixels.
    """
    fitting = [[at for at, face in enumerate(faces) if _is_on(face, body, size)] for body in bodies]
    owner: dict[int, int] = {}

    def given(body: int, asked: set[int]) -> bool:
        # An augmenting path (Kuhn 1955): who has the face already takes another, where there is one.
        for face in fitting[body]:
            if face in asked:
                continue
            asked.add(face)
            if face not in owner or given(owner[face], asked):
                owner[face] = body
                return True
        return False

    return [body for at, body in enumerate(bodies) if not given(at, set())]


def proportions(face: Face, body: Body, size: tuple[int, int]) -> tuple[float, float]:
    """How deep in a body the middle of a face lies, and how long the body is, in longer edges of the face.

    Deep is from the top; of somebody who lies or hangs from the nearest edge, as the head may be at any of them.
    Infinite where the face is not within the body's box.
    """
    x0, y0, x1, y1 = (edge * length for edge, length in zip(body.box, size * 2, strict=True))
    left, top, right, bottom = (edge * length for edge, length in zip(face.box, size * 2, strict=True))
    x, y, edge = (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top)
    if not (x0 <= x <= x1 and y0 <= y <= y1) or edge <= 0:
        return math.inf, math.inf
    upright = round(face.turn_deg / 90) % 4 == 0
    deep = y - y0 if upright else min(x - x0, x1 - x, y - y0, y1 - y)
    return deep / edge, max(x1 - x0, y1 - y0) / edge


def _is_on(face: Face, body: Body, size: tuple[int, int]) -> bool:
    """True where the face may be this body's: at the end of it where a head is, and not tiny beside it."""
    deep, long = proportions(face, body, size)
    return deep <= DEEPEST and long <= TALLEST
