"""Close-ups: one face of a frame looked at again from near by, in a mirror, and in other turns.

A face that lies on its side is found all the same, with a high score and landmarks that are invented: it reads as a
stranger of another age. In the turn in which it stands upright a face scores best, once the look is centred on it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from guardrail.inference.image import yunet
from guardrail.inference.image.align import ARCFACE, Pixels, Points, similarity
from guardrail.inference.image.frame import Frame, cut, packed, size_of

# Of the 79 false faces that reach 0.5 among 500 hard negatives 45 are left at 0.6 and 22 at 0.7, of 106 true ones 94 %
# and 91 % (YuNet at 640 pixels; half of those pictures are animals and objects).
FACE = 0.6
# Of 282 views of portraits on their side or head 94 % left a trace of 0.2 upright (at 512 pixels), and 11 % of 106
# wallpapers did. Of those views 95 % had a share of skin tones of 0.09 or more.
TRACE = 0.2
# Upright faces score 0.93 in the median; the false landmarks of the same faces on their side or head reached 0.90,
# at 45 degrees 0.92 (95th percentiles over 93 pictures of about 15 people).
SURE = 0.92
# Landmarks of a face that leans by more degrees than this are read again with it upright.
LEANING = 8.0
# The eight turns are compared small, in a wide square that forgives a box that is off. Of 675 faces (135 portraits in
# five turns, their middles moved by a twentieth) the best of eight turns was within 50 degrees of the truth every time,
# seen at 144 pixels in squares of any of the three widths.
TURN_SIDE, WIDE = 96, 1.25
NEAR_SIDE, NEAR, NEARER = 144, 0.95, 0.75
SETTLED = 0.88  # a turned face below this is looked at in all turns once more
ACROSS = 0.02  # by how much a turn of 90 degrees and more has to beat the one that a face was found in
# A face below DOUBTED has to look like one from close by too, in the mean of four looks. Of 34 faces of 25 pixels and
# more, in portraits and groups, that are seen from the side or score below 0.85, 32 reach 0.83 in it; five of 13 to 20
# pixels reach 0.66. Of 27 false boxes in pictures of nobody and in groups 25 stay at 0.61 or below.
DOUBTED, CONFIRMED = 0.86, 0.65
LEAST = 0.01  # of what is looked for in a doubtful face
# Noise moves the landmarks more than it hides the face. Of 51 portraits shrunk to a face of 45 pixels, with noise of 25
# grey levels, 45 match the clean one; 51 by the landmarks of the clean one, 50 by those of a look softened by SOFT
# pixels of NEAR_SIDE. SEEN_SOFT is the least score of such a look.
SOFT, SEEN_SOFT = 1.0, 0.3
Source = Frame | Pixels
Row = NDArray[np.float32]


def best_turn(session: Any, source: Source, row: Row, angle: int) -> tuple[Row, int]:
    """The face of `row`, found at `angle` degrees, as it is seen upright, and by how many degrees it is turned.

    `row` and `angle` themselves where that is the turn it was found in, or no face is seen in any.
    """
    best, turn = _turned_up(session, source, row, angle)
    if turn and best[14] < SETTLED:
        # What is found upside down is not centred: from where it is now another turn may be better.
        again, at = _turned_up(session, source, best, turn)
        if again[14] > best[14]:
            best, turn = again, at
    return best, turn


def _turned_up(session: Any, source: Source, row: Row, angle: int) -> tuple[Row, int]:
    best, most = row, 0.0
    for eighth in range(0, 360, 45):
        seen = looked(session, source, around(row, WIDE), eighth, TURN_SIDE, TRACE)
        for found in seen[_alike(seen, row)][:1]:
            score = float(found[14]) - (ACROSS if abs(_between(eighth, angle)) > 45 else 0.0)
            if score > most:
                best, most = found, score
    if best is row or (angle == 0 and not leans(best)):
        return row, angle
    turn = angle
    for _ in range(2):
        turn = round(_roll(best)) % 360
        near = looked(session, source, around(best, NEAR), turn, NEAR_SIDE)
        near = near[_alike(near, best)]
        if not len(near):
            break
        best = near[0]
        if abs(_between(_roll(best), turn)) <= LEANING:
            break
    return (best.copy(), turn) if best[14] >= FACE else (row, angle)


def leans(row: Row) -> bool:
    """True when the landmarks of a face lie askew."""
    return abs(_between(_roll(row), 0.0)) > LEANING


def seen_again(session: Any, source: Source, row: Row, turn: int) -> float:
    """The score of a doubtful face, or what is left of it in four closer looks, two of them mirrored; FACE at least."""
    looks = [
        _middle(session, source, row, turn, LEAST, share, mirrored)
        for share in (NEAR, NEARER)
        for mirrored in (False, True)
    ]
    seen = sum(float(found[:, 14].max(initial=0.0)) for found in looks) / len(looks)
    return float(row[14]) if seen >= CONFIRMED else max(FACE, min(seen, float(row[14])))


def sharpened(session: Any, source: Source, row: Row) -> Row:
    """The row with its landmarks as they are seen from close by, where a face is."""
    near = _middle(session, source, row, 0, FACE, NEAR, False)
    sharp = row.copy()
    if len(near):
        sharp[4:14] = near[0, 4:14]
    return sharp


def read_again(session: Any, source: Source, row: Row, turn: int, noisy: bool) -> Points:
    """The landmarks of a face, (5, 2), as one more close look has them before the face is compared with others.

    Those of `row`, but where its opposite turn looks more like a face in the mean of three looks: on its head a face
    may be found as if it were upright. Of a `noisy` one those of a softened look, upright too, as noise makes heads
    lean.
    """
    opposite = (turn + 180) % 360
    turns = dict.fromkeys((turn, 0, opposite) if noisy else (turn, opposite))
    seen = {at: _middle(session, source, row, at, SEEN_SOFT, NEAR, False, SOFT if noisy else 0.0) for at in turns}
    score = {at: _best(found) for at, found in seen.items()}
    best = max(turns, key=lambda at: score[at])
    if not noisy and best == opposite:
        for share in (NEARER, WIDE):
            for at in turns:
                score[at] += _best(_middle(session, source, row, at, SEEN_SOFT, share, False))
        best = max(turns, key=lambda at: score[at])
    read = seen[best][0] if len(seen[best]) and (noisy or best != turn) else row
    return read[4:14].reshape(5, 2).copy()


def _best(found: yunet.Found) -> float:
    return float(found[:, 14].max(initial=0.0))


def around(row: Row, share: float) -> Row:
    """The square (x0, y0, x1, y1) around a face that reaches `share` of its longer edge from its middle."""
    centre, half = (row[:2] + row[2:4]) / 2, share * float(max(row[2] - row[0], row[3] - row[1]))
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def looked(
    session: Any,
    source: Source,
    region: Row,
    turn: int,
    side: int,
    at_least: float = FACE,
    mirrored: bool = False,
    plain: bool = False,
    soft: float = 0.0,
) -> yunet.Found:
    """Faces in the square around `region` (x0, y0, x1, y1), looked at after a turn of `turn` degrees at `side` pixels.

    Rows come back in pixels of `source`. Of what is looked at in a mirror only boxes and scores mean something.
    `plain` enlarges an upright square in half the time, to grey levels that may differ by one. `soft` is the width of
    the Gaussian, in pixels of the look, by which it is softened.
    """
    centre = (region[:2] + region[2:4]) / 2
    edge = float(max(region[2] - region[0], region[3] - region[1]))
    scale = edge / side
    matrix = turned_by(turn) * scale
    half = edge * 0.7072 + 2 * max(1, math.floor(scale))
    x0, y0 = (max(0, math.floor(c - half)) for c in centre)
    x1, y1 = (min(limit, math.ceil(c + half)) for c, limit in zip(centre, size_of(source), strict=True))
    if x1 <= x0 or y1 <= y0:  # a box beyond the frame: nothing there to turn
        return np.zeros((0, 15), np.float32)
    middle = np.array([side / 2, side / 2], np.float32)
    affine = np.column_stack([matrix, centre - matrix @ middle])
    if plain and isinstance(source, Frame) and turn == 0 and scale <= 1 and source.holds(region):
        pixels = source.enlarged(region, side)
    elif isinstance(source, Frame) and scale < 3:
        pixels = source.sampled(affine, side, max(1, math.floor(scale)))
    else:
        part, factor, left, top = cut(source, (x0, y0, x1, y1), scale)
        where = (affine - [[0, 0, left], [0, 0, top]]) / factor
        how = Image.Resampling.BILINEAR
        pixels = np.asarray(part.transform((side, side), Image.Transform.AFFINE, tuple(where.ravel()), how))
    if soft:
        pixels = np.asarray(Image.fromarray(packed(pixels)).filter(ImageFilter.GaussianBlur(soft)))
    rows = yunet.detect(session, pixels[:, ::-1] if mirrored else pixels, at_least)
    if mirrored:
        rows[:, [0, 2]] = side - rows[:, [2, 0]]
    return turn_back(rows, matrix, middle, centre)


def turned_by(degrees: int) -> NDArray[np.float64]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]], np.float64)


def turn_back(rows: yunet.Found, matrix: NDArray[np.float64], centre: NDArray[Any], to: NDArray[Any]) -> yunet.Found:
    """Rows of a turned view in the pixels that `matrix` leads back to; a box becomes a square of its mean edge."""
    if not len(rows):
        return rows
    scale = math.sqrt(abs(float(np.linalg.det(matrix))))
    points = (rows[:, 4:14].reshape(-1, 5, 2) - centre) @ matrix.T + to
    middle = ((rows[:, :2] + rows[:, 2:4]) / 2 - centre) @ matrix.T + to
    half = (rows[:, 2:4] - rows[:, :2]).mean(axis=1, keepdims=True) / 2 * scale
    return np.concatenate(
        [middle - half, middle + half, points.reshape(-1, 10), rows[:, 14:]],
        axis=1,
        dtype=np.float32,
        casting="same_kind",
    )


def _middle(
    session: Any,
    source: Source,
    row: Row,
    turn: int,
    at_least: float,
    share: float,
    mirrored: bool,
    soft: float = 0.0,
) -> yunet.Found:
    """What stands in the middle of the square around a face, seen from close by."""
    centre, edge = (row[:2] + row[2:4]) / 2, float(max(row[2] - row[0], row[3] - row[1]))
    found = looked(session, source, around(row, share), turn, NEAR_SIDE, at_least, mirrored, soft=soft)
    middle: yunet.Found = found[np.abs((found[:, :2] + found[:, 2:4]) / 2 - centre).max(axis=1) < edge / 2]
    return middle


def _alike(rows: yunet.Found, row: Row) -> NDArray[np.bool_]:
    """Which rows stand where `row` does, and are about as large: what fills the square may be a shoulder."""
    edge = max(float(max(row[2] - row[0], row[3] - row[1])), 1e-6)
    away = np.abs((rows[:, :2] + rows[:, 2:4] - row[:2] - row[2:4]) / 2).max(axis=1)
    larger = (rows[:, 2:4] - rows[:, :2]).max(axis=1) / edge
    alike: NDArray[np.bool_] = (away < edge / 2) & (larger > 0.55) & (larger < 1.6)
    return alike


def _roll(row: Row) -> float:
    """By how many degrees the landmarks are turned clockwise from upright; 0 for landmarks in one place."""
    points = row[4:14].reshape(5, 2)
    if np.ptp(points, axis=0).max() < 1e-3:
        return 0.0
    turn = similarity(ARCFACE, points)
    return math.degrees(math.atan2(turn[1, 0], turn[0, 0]))


def _between(one: float, other: float) -> float:
    """From `other` to `one`, in degrees from -180 to 180."""
    return (one - other + 180) % 360 - 180
