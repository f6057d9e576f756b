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
from guardrail.inference.image.closeup import (
    DOUBTED,
    FACE,
    NEAR_SIDE,
    SURE,
    TRACE,
    best_turn,
    leans,
    looked,
    seen_again,
    sharpened,
    turn_back,
    turned_by,
)
from guardrail.inference.image.frame import Frame, packed
from guardrail.inference.image.skin import skin_share, skin_shares

AGE_FACE = 0.7
# Of 282 views of portraits on their side or head 95 % had a share of skin tones of 0.09 or more.
SKIN = 0.09
# Of 135 faces of 24 pixels in pictures of 1,024 nine in ten leave 0.012 or more, and all 23 that the MOST_SPOTS best
# spots did not show have a skin tone in 0.44 or more of their MIDDLE. Of spots that are below WEAK, or not among the
# best, those are looked at that a small face may have left, for a small and plain one: the box of a trace is up to
# four times as wide as the face. So 127 of the 135 are found instead of 113, for 1.6 looks more where nobody is.
SPOT, WEAK, PLAIN = 0.012, 0.03, 0.8
MOST_SPOTS, MOST_WEAK = 8, 6
# Where fewer than MOST_WEAK are left so, the best boxes from FAINTEST on fill up their number: 131 of the 135 then.
FAINTEST, MOST_FAINT = 0.003, 64
MIDDLE, MIDDLE_SKIN, SPOT_BOX = 10.0, 0.5, 100.0
# There 72 pixels are seen at 96.
SPOT_SIDE, SPOT_HALF = 96, 36.0
# So they are once more where a better spot, looked at as widely as its box is, leaves a HINT and no face: the box was
# that of a head with its shoulders, or of a small portrait laid into the picture. Of 540 faces of 24 pixels 504 are
# known again instead of 498, for 0.3 looks more in the mean of pictures of nobody.
HINT, MOST_CLOSER = 0.1, 2
# Beside a sure face only what looks more like one is worth the time.
SPOT_BESIDE, MOST_BESIDE = 0.1, 3
# Where GROUP faces are found, one of them below SMALL_FACE pixels, their neighbours are looked for in every pixel.
GROUP, SMALL_FACE = 3, 48.0
# Landmarks of upright faces below SMALL_FACE are read from close by. Of 51 portraits shrunk to a face of 32 pixels 51
# instead of 49 then match the large one, at 24 pixels 42 instead of 40 of the 46 that are found.
MOST_SHARPENED = 8
EDGE = 20.0  # see Frame.steepest
SIDE, SMALL_SIDE = 640, 256
# A picture longer than LARGE is searched at CLOSER as well, and a smaller one that leaves a trace and no face.
LARGE, CLOSER = 1280, 960
LONG = 2.0  # a picture longer than this is searched at a longer side
MOST_TURNED = 4  # faces of one frame that are looked at in other turns: each costs eight small passes
# A face at 45 degrees that fills its frame is seen by no quarter turn, but leaves a trace in one: 14 that were missed
# left 0.29 or more there or upright.
TILTED, TILTED_SIDE = 0.25, 192
FAINT = 64  # grey levels between the darkest and the brightest hundredth: below that contrast is stretched
SOFT_SIDES = (128, 64)  # sides to which a frame is averaged before it is enlarged again: takes dots and noise away
STRETCHED = 1.9  # a picture this long may have been pulled that way


def search(session: Any, frame: Frame) -> tuple[yunet.Found, list[int]]:
    """Detector rows of one frame with a score of FACE or more, in its pixels, and the turn each was found at.

    One pass is the rule, one more where the picture is large or small faces stand in a group. Spots that look a little
    like a face are then looked at closely. A frame in which nothing leaves a trace, and that has few skin tones, is
    done with it. Else a smaller scale is tried (a face that fills the frame, noise), the whole frame in other turns,
    softened and squeezed where no face was found: all these only where there is an edge to be seen. Each face without
    full confidence is looked at in other turns, and a doubtful one again. `session` is YuNet's.
    """
    frame = _clear(frame)
    rows, faint = _first(session, frame)
    best = float(rows[0, 14]) if len(rows) else 0.0
    # A small picture costs little to look at in every turn.
    small = max(frame.width, frame.height) <= SMALL_SIDE
    skin = small or best >= TRACE or skin_share(frame.shrunk(SMALL_SIDE)[::4, ::4].reshape(-1, 3)) >= SKIN
    large = max(frame.width, frame.height) > LARGE and (len(rows) > 0 or skin)
    if _factor(frame, CLOSER) < _factor(frame, SIDE) and (large or TRACE <= best < FACE):
        rows = _merged(rows, _at(session, frame, CLOSER))
    if _factor(frame, LARGE) < _factor(frame, SIDE) and _is_group(rows):
        rows = _merged(rows, _at(session, frame, LARGE))
    if _factor(frame, SIDE) > 1:
        rows = _merged(rows, _spots(session, frame, rows, faint))
    if not skin and (not len(rows) or rows[0, 14] < TRACE):
        return rows[:0], []
    # In a frame without edges a look at fewer of its pixels shows nothing, whichever way up.
    hidden = (not len(rows) or rows[0, 14] < AGE_FACE) and frame.steepest >= EDGE
    if hidden:
        rows = _merged(rows, _at(session, frame, SMALL_SIDE))
    rows = rows[rows[:, 14] >= FACE]
    turns = np.zeros(len(rows), np.int64)
    if hidden and (not len(rows) or rows[0, 14] < AGE_FACE):
        more, at = _turned_whole(session, frame, best)
        rows, turns = np.concatenate([rows, more]), np.concatenate([turns, at])
    if hidden and not len(rows):
        rows = _softened(session, frame)
        turns = np.zeros(len(rows), np.int64)
    _look_again(session, frame, rows, turns)
    if not hidden and frame.steepest >= EDGE and len(rows) and rows[:, 14].max() < AGE_FACE:
        # What hid the search for turned faces was none itself, or was seen the wrong way up.
        more, at = _turned_whole(session, frame, best)
        _look_again(session, frame, more, at)
        rows, turns = np.concatenate([rows, more]), np.concatenate([turns, at])
    tiny = ((rows[:, 2:4] - rows[:, :2]).max(axis=1, initial=0.0) < SMALL_FACE) & (turns == 0)
    for i in [i for i in np.argsort(-rows[:, 14], kind="stable") if tiny[i]][:MOST_SHARPENED]:
        rows[i] = sharpened(session, frame, rows[i])
    if turns.any():
        # One face lies on its side, so the picture does: look for its neighbours the same way.
        most = int(np.bincount(np.round(turns[turns > 0] / 90).astype(int) % 4).argmax()) * 90
        if most:
            more, at = _whole(session, frame, (most,), SIDE)
            rows, turns = np.concatenate([rows, more]), np.concatenate([turns, at])
    order = np.argsort(-rows[:, 14], kind="stable")
    kept = order[yunet.keep(rows[order])]
    return rows[kept], [int(turn) for turn in turns[kept]]


def _look_again(session: Any, frame: Frame, rows: yunet.Found, turns: NDArray[np.int64]) -> None:
    """Look at each face without full confidence in other turns, and at a doubtful one closely; `rows` are changed."""
    askew = [rows[i, 14] < SURE or leans(rows[i]) for i in range(len(rows))]
    for i in [i for i in np.argsort(-rows[:, 14], kind="stable") if askew[i]][:MOST_TURNED]:
        rows[i], turns[i] = best_turn(session, frame, rows[i], int(turns[i]))
    # Those that an age would be read of first, the least sure before the others.
    order = np.lexsort((rows[:, 14], rows[:, 14] < AGE_FACE))
    for i in [i for i in order if rows[i, 14] < DOUBTED][:MOST_TURNED]:
        rows[i, 14] = seen_again(session, frame, rows[i], int(turns[i]))


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


def _spots(session: Any, frame: Frame, rows: yunet.Found, faint: yunet.Found) -> yunet.Found:
    """Faces at the best spots that are not yet one, looked at closely.

    A spot that was hardly one has to look more like a face then.
    """
    sure = bool(len(rows)) and rows[0, 14] >= SURE
    least, most = (SPOT_BESIDE, MOST_BESIDE) if sure else (WEAK, MOST_SPOTS)
    spots = rows[rows[:, 14] < FACE]
    strong = int((spots[:most, 14] >= least).sum())
    found, closer = [np.zeros((0, 15), np.float32)], 0
    for row in spots[:strong]:
        half = max(1.25 * float(max(row[2] - row[0], row[3] - row[1])), NEAR_SIDE / 3)
        seen = looked(session, frame, _square(row, half), 0, NEAR_SIDE, HINT, plain=True)
        close = seen[seen[:, 14] >= (FACE if row[14] >= TRACE else AGE_FACE)]
        wide = half > NEAR_SIDE / 3 and not sure and closer < MOST_CLOSER
        if wide and len(seen) and not len(close) and _skinned(frame, seen[:1])[0]:
            close, closer = _small(session, frame, seen[0]), closer + 1
        found.append(close)
    weak = spots[:0] if sure else _weak(frame, spots[strong:])[:MOST_WEAK]
    if not sure and len(weak) < MOST_WEAK:
        weak = np.concatenate([weak, _apart(_weak(frame, faint)[:MOST_FAINT], rows)])[:MOST_WEAK]
    found += [_small(session, frame, row) for row in weak]
    seen = np.concatenate(found)
    return seen[~_parts(seen, rows[rows[:, 14] >= FACE])]


def _apart(found: yunet.Found, rows: yunet.Found) -> yunet.Found:
    """Those of `found` that overlap none of `rows`, nor one of themselves that is better; both come best first."""
    kept = np.array(yunet.keep(np.concatenate([rows, found])), np.int64)
    return found[kept[kept >= len(rows)] - len(rows)]


def _small(session: Any, frame: Frame, row: NDArray[np.float32]) -> yunet.Found:
    """Small and plain faces around the middle of a spot."""
    seen = looked(session, frame, _square(row, SPOT_HALF), 0, SPOT_SIDE, plain=True)
    small: yunet.Found = seen[((seen[:, 2:4] - seen[:, :2]).max(axis=1) < SMALL_FACE) & (seen[:, 14] >= PLAIN)]
    return small


def _weak(frame: Frame, spots: yunet.Found) -> yunet.Found:
    """Those of the spots that a small face may have left: no large box, and skin tones in its middle."""
    spots = spots[(spots[:, 2:4] - spots[:, :2]).max(axis=1, initial=0.0) < SPOT_BOX]
    return spots[_skinned(frame, spots)]


def _skinned(frame: Frame, spots: yunet.Found) -> NDArray[np.bool_]:
    """Which of the spots have skin tones in their middle."""
    small, factor = frame.shrunk(SIDE), frame.shrink_factor(SIDE)
    reach = max(1, round(MIDDLE / factor))
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, 1, -1)
    x, y = np.round((spots[:, :2] + spots[:, 2:4]) / 2 / factor).astype(int).T[..., None]
    patches = small[np.clip(y + down, 0, small.shape[0] - 1), np.clip(x + across, 0, small.shape[1] - 1)]
    skinned: NDArray[np.bool_] = skin_shares(patches) >= MIDDLE_SKIN
    return skinned


def _parts(found: yunet.Found, faces: yunet.Found) -> NDArray[np.bool_]:
    """Which of `found` lie by more than half in a face that is surer: a part of it, seen too closely."""
    wide = np.minimum(found[:, None, 2], faces[:, 2]) - np.maximum(found[:, None, 0], faces[:, 0])
    high = np.minimum(found[:, None, 3], faces[:, 3]) - np.maximum(found[:, None, 1], faces[:, 1])
    own = ((found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1]))[:, None]
    within = np.maximum(wide, 0) * np.maximum(high, 0) > own / 2
    parts: NDArray[np.bool_] = (within & (faces[:, 14] > found[:, None, 14])).any(axis=1)
    return parts


def _square(row: NDArray[np.float32], half: float) -> NDArray[np.float32]:
    centre = (row[:2] + row[2:4]) / 2
    return np.concatenate([centre - half, centre + half])


def _softened(session: Any, frame: Frame) -> yunet.Found:
    """Faces of the frame softened, and of a long one squeezed: what dots, coarse pixels and a stretch hide."""
    small = Image.fromarray(packed(frame.fit(SMALL_SIDE)))
    for side in SOFT_SIDES:
        coarse = small.copy()
        coarse.thumbnail((side, side), Image.Resampling.BOX)
        rows = _pulled(session, frame, coarse.resize(small.size, Image.Resampling.BICUBIC))
        if len(rows):
            return rows
    if max(frame.width, frame.height) < STRETCHED * min(frame.width, frame.height):
        return rows
    for times in (2, 4):
        whole = Image.fromarray(packed(frame.fit(SMALL_SIDE * times)))
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


def _first(session: Any, frame: Frame) -> tuple[yunet.Found, yunet.Found]:
    """What `_at` finds at SIDE, and the boxes below SPOT, overlaps among them."""
    side = _as_many(frame, SIDE)
    rows = yunet.boxes(session, frame.shrunk(side), FAINTEST, frame.shrink_factor(side))
    spots = rows[rows[:, 14] >= SPOT]
    return spots[yunet.keep(spots)], rows[len(spots) :]


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


def _turned_whole(session: Any, frame: Frame, best: float) -> tuple[yunet.Found, NDArray[np.int64]]:
    """Faces of the whole frame after quarter turns and, where these or `best` leave a trace and no face, eighths."""
    seen, turns = _whole(session, frame, (90, 180, 270), SMALL_SIDE, TRACE)
    most = max(best, float(seen[:, 14].max(initial=0.0)))
    rows, turns = seen[seen[:, 14] >= FACE], turns[seen[:, 14] >= FACE]
    if most < TILTED or (len(rows) and rows[:, 14].max() >= AGE_FACE):
        return rows, turns
    whole = np.array([0, 0, frame.width, frame.height], np.float32)
    tilted = [(looked(session, frame, whole, eighth, TILTED_SIDE), eighth) for eighth in (45, 135, 225, 315)]
    found, at = zip(*((faces, np.full(len(faces), eighth, np.int64)) for faces, eighth in tilted), strict=True)
    return np.concatenate([rows, *found]), np.concatenate([turns, *at])


def _whole(
    session: Any, frame: Frame, turns: Sequence[int], side: int, at_least: float = FACE
) -> tuple[yunet.Found, NDArray[np.int64]]:
    """Faces of the whole frame after quarter turns, which cost no resampling; and the turn of each."""
    side = _as_many(frame, side)
    view, factor = frame.shrunk(side), frame.shrink_factor(side)
    found = []
    for turn in turns:
        turned = np.rot90(view, turn // 90)
        centre = np.array(turned.shape[1::-1], np.float32) / 2
        rows = yunet.detect(session, turned, at_least)
        found.append(
            turn_back(rows, turned_by(turn), centre, np.array(view.shape[1::-1], np.float32) / 2) * _scaled(factor)
        )
    return np.concatenate(found), np.repeat(np.array(turns, np.int64), [len(one) for one in found])


def _scaled(factor: float) -> NDArray[np.float32]:
    """What rows are multiplied by when pixels grow by `factor`; the score stays."""
    return np.array([factor] * 14 + [1.0], np.float32)
