"""Search: the passes over one frame in which a face detector finds what one pass does not.

A face that lies on its side is found all the same, with a high score and landmarks that are invented: it reads as a
stranger of another age. Whatever is not found with full confidence is therefore looked at again in other turns. A face
that is small, faint or coarse leaves a trace, or skin tones; only where there is one is anything looked at again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.inference.image import yunet
from guardrail.inference.image.align import Pixels
from guardrail.inference.image.frame import Frame, cut, size_of
from guardrail.inference.image.skin import skin_share

# Of the 79 false faces that reach 0.5 among 500 hard negatives 45 are left at 0.6 and 22 at 0.7, of 106 true ones 94 %
# and 91 % (YuNet at 640 pixels; half of those pictures are animals and objects).
FACE = 0.6
AGE_FACE = 0.7
# Of 282 views of portraits on their side or head 94 % left a trace of 0.2 upright (at 512 pixels), and 11 % of 106
# wallpapers did. Of those views 95 % had a share of skin tones of 0.09 or more.
TRACE = 0.2
SKIN = 0.09
# Faces of 24 pixels in pictures of 1,024 leave 0.04 or more nine times out of ten, and are among the eight best spots
# when they leave anything; of pictures of nobody half leave three spots or fewer.
SPOT = 0.03
MOST_SPOTS = 5
# Beside a sure face only what looks more like one is worth the time.
SPOT_BESIDE, MOST_BESIDE = 0.1, 3
# Where GROUP faces are found, one of them below SMALL_FACE pixels, their neighbours are looked for in every pixel.
GROUP, SMALL_FACE = 3, 48.0
# Landmarks of upright faces below SMALL_FACE are read from close by. Of 51 portraits shrunk to a face of 32 pixels 51
# instead of 49 then match the large one, at 24 pixels 42 instead of 40 of the 46 that are found.
MOST_SHARPENED = 8
EDGE = 20.0  # see Frame.steepest
SIDE, SMALL_SIDE, NEAR_SIDE = 640, 256, 144
# A picture longer than LARGE is searched at CLOSER as well, and a smaller one that leaves a trace and no face.
LARGE, CLOSER = 1280, 960
LONG = 2.0  # a picture longer than this is searched at a longer side
MOST_TURNED = 4  # faces of one frame that are looked at in other turns: each costs five small passes
# Upright faces score 0.93 in the median; the false landmarks of the same faces on their side or head reached 0.90,
# at 45 degrees 0.92 (95th percentiles over 93 pictures of about 15 people).
SURE = 0.92
# A face below DOUBTED has to look like one from close by too, in the mean of that and its mirror image: of 12 boxes
# with a score of 0.7 among 193 pictures of nobody 9 do not, and in 400 changed portraits no face that is really there.
DOUBTED, CONFIRMED = 0.8, 0.5
FAINT = 64  # grey levels between the darkest and the brightest hundredth: below that contrast is stretched
SOFT_SIDES = (128, 64)  # sides to which a frame is averaged before it is enlarged again: takes dots and noise away
STRETCHED = 1.9  # a picture this long may have been pulled that way
Source = Frame | Pixels


def search(session: Any, frame: Frame) -> tuple[yunet.Found, list[int]]:
    """Detector rows of one frame with a score of FACE or more, in its pixels, and the turn each was found at.

    One pass is the rule, one more where the picture is large or small faces stand in a group. Spots that look a little
    like a face are then looked at closely. A frame in which nothing leaves a trace, and that has few skin tones, is
    done with it. Else a smaller scale is tried (a face that fills the frame, noise), the whole frame in other turns,
    softened and squeezed where no face was found: all these only where there is an edge to be seen. Each face without
    full confidence is looked at in other turns, and a doubtful one again. `session` is YuNet's.
    """
    frame = _clear(frame)
    rows = _at(session, frame, SIDE)
    best = float(rows[0, 14]) if len(rows) else 0.0
    skin = best >= TRACE or skin_share(frame.shrunk(SMALL_SIDE)[::4, ::4].reshape(-1, 3)) >= SKIN
    large = max(frame.width, frame.height) > LARGE and (len(rows) > 0 or skin)
    if _factor(frame, CLOSER) < _factor(frame, SIDE) and (large or TRACE <= best < FACE):
        rows = _merged(rows, _at(session, frame, CLOSER))
    if _factor(frame, LARGE) < _factor(frame, SIDE) and _is_group(rows):
        rows = _merged(rows, _at(session, frame, LARGE))
    if _factor(frame, SIDE) > 1:
        rows = _merged(rows, _spots(session, frame, rows))
    if not skin and (not len(rows) or rows[0, 14] < TRACE):
        return rows[:0], []
    # In a frame without edges a look at fewer of its pixels shows nothing, whichever way up.
    hidden = (not len(rows) or rows[0, 14] < AGE_FACE) and frame.steepest >= EDGE
    if hidden:
        rows = _merged(rows, _at(session, frame, SMALL_SIDE))
    rows = rows[rows[:, 14] >= FACE]
    turns = np.zeros(len(rows), np.int64)
    if hidden and (not len(rows) or rows[0, 14] < AGE_FACE):
        more, at = _whole(session, frame, (90, 180, 270), SMALL_SIDE)
        rows, turns = np.concatenate([rows, more]), np.concatenate([turns, at])
    if hidden and not len(rows):
        rows = _softened(session, frame)
        turns = np.zeros(len(rows), np.int64)
    for i in [i for i in np.argsort(-rows[:, 14], kind="stable") if rows[i, 14] < SURE][:MOST_TURNED]:
        rows[i], turns[i] = _best_turn(session, frame, rows[i], int(turns[i]))
    for i in [i for i in np.argsort(-rows[:, 14], kind="stable") if rows[i, 14] < DOUBTED][:MOST_TURNED]:
        rows[i, 14] = _seen_again(session, frame, rows[i], int(turns[i]))
    small = ((rows[:, 2:4] - rows[:, :2]).max(axis=1, initial=0.0) < SMALL_FACE) & (turns == 0)
    for i in [i for i in np.argsort(-rows[:, 14], kind="stable") if small[i]][:MOST_SHARPENED]:
        rows[i] = _sharpened(session, frame, rows[i])
    if turns.any():
        # One face lies on its side, so the picture does: look for its neighbours the same way.
        most = int(np.bincount(np.round(turns[turns > 0] / 90).astype(int) % 4).argmax()) * 90
        if most:
            more, at = _whole(session, frame, (most,), SIDE)
            rows, turns = np.concatenate([rows, more]), np.concatenate([turns, at])
    order = np.argsort(-rows[:, 14], kind="stable")
    kept = order[yunet.keep(rows[order])]
    return rows[kept], [int(turn) for turn in turns[kept]]


def _clear(frame: Frame) -> Frame:
    """The frame, or where it has next to no contrast one in which that is stretched to the full range."""
    red, green, blue = frame.shrunk(SMALL_SIDE)[::2, ::2].transpose(2, 0, 1)
    share = np.bincount((red.astype(np.uint16) + green + blue).ravel()).cumsum() / red.size
    low, high = (float(np.searchsorted(share, at)) / 3 for at in (0.01, 0.99))
    if not 2.0 <= high - low < FAINT:
        return frame
    levels = ((np.arange(256) - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
    return Frame(np.concatenate([levels[frame.rgb], np.zeros_like(frame.rgb[..., :1])], axis=2), scale=frame.scale)


def _is_group(rows: yunet.Found) -> bool:
    faces = rows[rows[:, 14] >= FACE]
    return len(faces) >= GROUP and float((faces[:, 2:4] - faces[:, :2]).min()) < SMALL_FACE


def _merged(rows: yunet.Found, more: yunet.Found) -> yunet.Found:
    rows = np.concatenate([rows, more])
    rows = rows[np.argsort(-rows[:, 14], kind="stable")]
    return rows[yunet.keep(rows)]


def _spots(session: Any, frame: Frame, rows: yunet.Found) -> yunet.Found:
    """Faces at the best spots that are not yet one, looked at closely.

    A spot that was hardly one has to look more like a face then.
    """
    sure = bool(len(rows)) and rows[0, 14] >= SURE
    least, most = (SPOT_BESIDE, MOST_BESIDE) if sure else (SPOT, MOST_SPOTS)
    found = [np.zeros((0, 15), np.float32)]
    for row in rows[(rows[:, 14] < FACE) & (rows[:, 14] >= least)][:most]:
        centre, half = (row[:2] + row[2:4]) / 2, max(1.25 * float(max(row[2] - row[0], row[3] - row[1])), NEAR_SIDE / 3)
        seen = _turned(session, frame, np.concatenate([centre - half, centre + half]), 0, NEAR_SIDE)
        found.append(seen[seen[:, 14] >= (FACE if row[14] >= TRACE else AGE_FACE)])
    return np.concatenate(found)


def _softened(session: Any, frame: Frame) -> yunet.Found:
    """Faces of the frame softened, and of a long one squeezed: what dots, coarse pixels and a stretch hide."""
    small = Image.fromarray(np.ascontiguousarray(frame.fit(SMALL_SIDE)))
    for side in SOFT_SIDES:
        coarse = small.copy()
        coarse.thumbnail((side, side), Image.Resampling.BOX)
        rows = _pulled(session, frame, coarse.resize(small.size, Image.Resampling.BICUBIC))
        if len(rows):
            return rows
    if max(frame.width, frame.height) < STRETCHED * min(frame.width, frame.height):
        return rows
    for times in (2, 4):
        whole = Image.fromarray(np.ascontiguousarray(frame.fit(SMALL_SIDE * times)))
        wide, high = whole.size
        size = (max(1, wide // times), high) if wide > high else (wide, max(1, high // times))
        rows = _pulled(session, frame, whole.resize(size, Image.Resampling.BILINEAR))
        if len(rows):
            break
    return rows


def _pulled(session: Any, frame: Frame, view: Image.Image) -> yunet.Found:
    """Faces of a view of the whole frame whose sides were shrunk by different factors, in pixels of the frame."""
    rows = yunet.detect(session, np.asarray(view), FACE)
    across, down = frame.width / view.width, frame.height / view.height
    return np.asarray(rows * np.array([across, down] * 7 + [1.0], np.float32), np.float32)


def _at(session: Any, frame: Frame, side: int) -> yunet.Found:
    side = _as_many(frame, side)
    view = frame.shrunk(side)  # a whole factor: a tenth of the cost of any other size
    return yunet.detect(session, view, SPOT, frame.shrink_factor(side))


def _factor(frame: Frame, side: int) -> int:
    return frame.shrink_factor(_as_many(frame, side))


def _as_many(frame: Frame, side: int) -> int:
    """The long side at which a strip or a panorama has as many pixels as a square of `side`.

    By its long side alone a strip of 24 to 1 would be shrunk to a height of 27 pixels, and who stands in it to nothing.
    """
    aspect = max(frame.width, frame.height) / min(frame.width, frame.height)
    return round(side * math.sqrt(aspect)) if aspect > LONG else side


def _whole(session: Any, frame: Frame, turns: Sequence[int], side: int) -> tuple[yunet.Found, NDArray[np.int64]]:
    """Faces of the whole frame after quarter turns, which cost no resampling; and the turn of each."""
    side = _as_many(frame, side)
    view, factor = frame.shrunk(side), frame.shrink_factor(side)
    found = []
    for turn in turns:
        turned = np.rot90(view, turn // 90)
        centre = np.array(turned.shape[1::-1], np.float32) / 2
        rows = yunet.detect(session, turned, FACE)
        found.append(
            _turn_back(rows, _turn(turn), centre, np.array(view.shape[1::-1], np.float32) / 2) * _scaled(factor)
        )
    return np.concatenate(found), np.repeat(np.array(turns, np.int64), [len(one) for one in found])


def _turn(degrees: int) -> NDArray[np.float64]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]], np.float64)


def _scaled(factor: float) -> NDArray[np.float32]:
    """What rows are multiplied by when pixels grow by `factor`; the score stays."""
    return np.array([factor] * 14 + [1.0], np.float32)


def _turn_back(rows: yunet.Found, matrix: NDArray[np.float64], centre: NDArray[Any], to: NDArray[Any]) -> yunet.Found:
    """Rows of a turned view in the pixels that `matrix` leads back to; a box becomes a square of its mean edge."""
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


def _best_turn(session: Any, source: Source, row: NDArray[np.float32], angle: int) -> tuple[NDArray[np.float32], int]:
    """The face of `row`, found at `angle`, in the turn in which it scores best; `row` itself when none is better."""
    centre, half = (row[:2] + row[2:4]) / 2, 0.95 * float(max(row[2] - row[0], row[3] - row[1]))
    around = np.concatenate([centre - half, centre + half]).astype(np.float32)
    best = row.copy()
    if angle == 0:
        # Seen as closely as its turns will be, or a face on its head keeps the score that it had from afar.
        near = _turned(session, source, around, 0, NEAR_SIDE)[:1]
        best[14] = near[0, 14] if len(near) else FACE
    for quarter in (90, 180, 270) if angle == 0 else ():
        best, angle = _better(session, source, around, quarter, best, angle)
    # A face at 45 degrees is found upright or at a right angle too, so its neighbours on both sides settle it.
    for eighth in ((angle - 45) % 360, (angle + 45) % 360):
        best, angle = _better(session, source, around, eighth, best, angle)
    return (best, angle) if angle else (row, 0)


def _seen_again(session: Any, source: Source, row: NDArray[np.float32], turn: int) -> float:
    """The score of a doubtful face, or what is left of it from close by, as it is and mirrored; FACE at least."""
    looks = (_near(session, source, row, turn, SPOT, mirrored) for mirrored in (False, True))
    seen = sum(float(found[:, 14].max(initial=0.0)) for found in looks) / 2
    return float(row[14]) if seen >= CONFIRMED else max(FACE, min(seen, float(row[14])))


def _sharpened(session: Any, source: Source, row: NDArray[np.float32]) -> NDArray[np.float32]:
    """The row with its landmarks as they are seen from close by, where a face is."""
    near = _near(session, source, row, 0, FACE)
    sharp = row.copy()
    if len(near):
        sharp[4:14] = near[0, 4:14]
    return sharp


def _near(
    session: Any, source: Source, row: NDArray[np.float32], turn: int, at_least: float, mirrored: bool = False
) -> yunet.Found:
    """What stands in the middle of the square around a face, seen from close by."""
    centre, edge = (row[:2] + row[2:4]) / 2, float(max(row[2] - row[0], row[3] - row[1]))
    around = np.concatenate([centre - 0.95 * edge, centre + 0.95 * edge]).astype(np.float32)
    found = _turned(session, source, around, turn, NEAR_SIDE, at_least, mirrored)
    middle: yunet.Found = found[np.abs((found[:, :2] + found[:, 2:4]) / 2 - centre).max(axis=1) < edge / 2]
    return middle


def _better(
    session: Any, source: Source, around: NDArray[np.float32], turn: int, best: NDArray[np.float32], angle: int
) -> tuple[NDArray[np.float32], int]:
    for found in _turned(session, source, around, turn, NEAR_SIDE)[:1]:
        if found[14] > best[14] + (0.02 if angle == 0 else 0.0):
            return found, turn
    return best, angle


def _turned(
    session: Any,
    source: Source,
    region: NDArray[np.float32],
    turn: int,
    side: int,
    at_least: float = FACE,
    mirrored: bool = False,
) -> yunet.Found:
    """Faces in the square around `region` (x0, y0, x1, y1), looked at after a turn of `turn` degrees at `side` pixels.

    Rows come back in pixels of `source`. Of what is looked at in a mirror only boxes and scores mean something.
    """
    centre = (region[:2] + region[2:4]) / 2
    edge = float(max(region[2] - region[0], region[3] - region[1]))
    scale = edge / side
    matrix = _turn(turn) * scale
    half = edge * 0.7072 + 2 * max(1, math.floor(scale))
    x0, y0 = (max(0, math.floor(c - half)) for c in centre)
    x1, y1 = (min(limit, math.ceil(c + half)) for c, limit in zip(centre, size_of(source), strict=True))
    if x1 <= x0 or y1 <= y0:  # a box beyond the frame: nothing there to turn
        return np.zeros((0, 15), np.float32)
    part, factor, left, top = cut(source, (x0, y0, x1, y1), scale)
    middle = np.array([side / 2, side / 2], np.float32)
    affine = np.column_stack([matrix, centre - matrix @ middle - (left, top)]) / factor
    view = part.transform((side, side), Image.Transform.AFFINE, tuple(affine.ravel()), Image.Resampling.BILINEAR)
    pixels = np.asarray(view)
    rows = yunet.detect(session, pixels[:, ::-1] if mirrored else pixels, at_least)
    if mirrored:
        rows[:, [0, 2]] = side - rows[:, [2, 0]]
    return _turn_back(rows, matrix, middle, centre)
