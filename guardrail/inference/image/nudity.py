"""Exposure: how much bare skin a picture shows, from two nets that err apart to one graded scale.

open_nsfw is asked about every view; nsfwjs beside it, where its weights are there and its answer could matter. On
harmless pictures they fire on different things, so together they raise fewer false alarms than either. Made once per
artifact, whoever asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from guardrail.errors import CheckError
from guardrail.inference.image.align import Pixels
from guardrail.inference.image.blocks import blocks, filled
from guardrail.inference.image.bodies import Body, BodyFinder
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import AGE_FACE, Face, FaceFinder
from guardrail.inference.image.frame import packed
from guardrail.inference.image.views import SIDE, View, glance, may_lean, views
from guardrail.inference.weights import Models
from guardrail.types import Artifact

OPEN_NSFW, NSFWJS, DETECTOR = "open-nsfw", "nsfwjs", "yunet"
GREY = (128, 128, 128)  # what nsfwjs takes for nothing
NOTHING, MARGIN = (123, 117, 104), 3  # what open_nsfw does, and how much of it it reads around the picture
JPEG_QUALITY = 75  # open_nsfw was taught on JPEGs; without the round trip its score moves by up to 0.21
HENTAI, PORN, SEXY = 1, 3, 4  # of nsfwjs' five classes

# The graded scale: 0 none, 0.33 suggestive or swimwear, 0.66 partly nude, 1 explicit. No picture of nudity was used,
# so the upper end of both curves is the nets' own scale and not a measured recall. The lower end is anchored on
# harmless pictures, where the share above each value is known.
# By open_nsfw alone, from 1,975 published: 5 % score above 0.085, 1.9 % above 0.2, 1.2 % above 0.3, 0.5 % above 0.5.
CURVE_ALONE = ((0.0, 0.085, 0.2, 0.325, 0.5, 0.65, 0.9, 1.0), (0.0, 0.06, 0.2, 0.33, 0.52, 0.66, 0.94, 1.0))
# By both, open_nsfw for MAIN of the sum: nsfwjs alone, however sure, then stays below the middle of the scale, which is
# what pieces of paintings and skin-coloured things ask for. Of 1,654 harmless pictures 2.5 % score above 0.22, 1.2 %
# above 0.3, 0.2 % above 0.45 (models/exposure/measure.py). Nothing published weighs the two so: with equal shares
# 0.25 % of the 1,975 reach 0.5.
MAIN = 0.6
CURVE = ((0.0, 0.1, 0.22, 0.3, 0.45, 0.6, 0.8, 1.0), (0.0, 0.07, 0.2, 0.33, 0.52, 0.68, 0.94, 1.0))
# By nsfwjs' class "sexy", which its makers describe as sexual and not pornographic, swimwear among it. It says
# suggestive and nothing more.
CURVE_SEXY = ((0.0, 0.25, 0.5, 1.0), (0.0, 0.2, 0.33, 0.45))

# A face close by is skin and little else: of tight portraits nsfwjs takes 3.9 % for explicit, of children's 5.8 %,
# open_nsfw 0.7 and 0 % (published, at 0.5). From CLOSE to TIGHT, as shares of the view that a face covers, nsfwjs loses
# its power to raise a score; to lower one it keeps.
CLOSE, TIGHT = 0.15, 0.25

# nsfwjs is not asked where no answer of it could lift the grade to LITTLE, half of what any rule of the default policy
# asks for: a tight portrait of which open_nsfw sees nothing. Nor where open_nsfw is below QUIET and the view has hardly
# a skin tone: a drawing that open_nsfw fails on has skin tones, or no colour at all.
LITTLE = 0.1
QUIET, BARE = 0.01, 0.05
# At a glance it is asked where open_nsfw notices something: as the first of two nets it then decides alone below this,
# which 5 % of 1,975 harmless pictures reach.
NOTICED = 0.085

# One look can err by chance: moved by a few pixels or mirrored, a plain brown coat is a bare body no more. A steady
# score is the mean of ten looks, the view and its four corners without a twentieth of its edges, as they are and
# mirrored: the ten crops of Krizhevsky et al. 2012, closer in. open_nsfw sees the mirrored ones in grey: to it alone a
# plain dress is a body once it has the colour of skin. models/exposure has what all that does to which pictures.
CORNER = 212


# A body of this score where no face is sure: somebody who may lie on their side or head. Of 1,852 harmless pictures
# 3.6 % have one, and none reaches 0.20, 0.33 or 0.5 by being looked at in every quarter turn; two do from 0.45 on.
# Were all of them looked at so, 111 would reach 0.33 instead of 41 (models/exposure).
SUSPECTED = 0.5


Crops = Callable[[Pixels], Sequence[Pixels]]
"""From a square of SIDE pixels to those that a net is shown of it."""


@dataclass(frozen=True)
class Looked:
    """What the nets say of one view: open_nsfw's score, and nsfwjs' explicit and sexy shares where it is there."""

    open_nsfw: float
    explicit: float | None = None
    sexy: float = 0.0
    close: float = 0.0

    @cached_property
    def grade(self) -> float:
        """On the graded scale, in [0, 1]."""
        if self.explicit is None:
            return _on(CURVE_ALONE, self.open_nsfw)
        trust = 1.0 - float(np.clip((self.close - CLOSE) / (TIGHT - CLOSE), 0.0, 1.0))
        both = MAIN * self.open_nsfw + (1.0 - MAIN) * self.explicit
        raised = max(0.0, both - self.open_nsfw)
        return max(_on(CURVE, both - (1.0 - trust) * raised), trust * _on(CURVE_SEXY, self.sexy))


class ExposureMeter:
    """Reads the exposure of a picture, once per artifact.

    Uses nsfwjs beside open_nsfw, and faces and bodies, to look closer and with people upright, where their weights are
    there.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._second = _present(models, NSFWJS)
        self._finder = FaceFinder(models) if _present(models, DETECTOR) else None
        self._bodies = BodyFinder.where_present(models) if self._finder else None

    @classmethod
    def where_present(cls, models: Models) -> ExposureMeter | None:
        """A meter where the weights are in the cache, else None: for checks that can do without."""
        return cls(models) if models.has(OPEN_NSFW) else None

    @property
    def names(self) -> tuple[str, ...]:
        """The weights of the nets that are asked."""
        return (OPEN_NSFW, NSFWJS) if self._second else (OPEN_NSFW,)

    @property
    def models(self) -> tuple[str, ...]:
        found = (label for each in (self._finder, self._bodies) if each is not None for label in each.models)
        return (*(self._models.label(name) for name in self.names), *found)

    def exposure(self, artifact: Artifact, frames: Collection[int] | None = None) -> float:
        """The graded exposure of the most exposed view of any frame, or of any of those at `frames`, in [0, 1].

        `frames` are places in `Picture.everything`. Raises CheckError when the picture cannot be read.
        """
        if frames is None:
            return self.most(artifact).grade
        return max((one.grade for at, one in self._looked(artifact) if at in frames), default=0.0)

    def most(self, artifact: Artifact) -> Looked:
        """What the nets say of the most exposed view of any frame. Raises CheckError as `exposure` does."""
        return max((one for _, one in self._looked(artifact)), key=lambda one: one.grade)

    def steady(self, artifact: Artifact, frames: Collection[int] | None = None) -> float:
        """The exposure with the most exposed view looked at ten times: for comparing, at ten times the cost.

        open_nsfw has five of these looks in grey. A view that then is more exposed than that counts as it was seen
        once. Raises CheckError as `exposure` does.
        """
        key = "steady exposure" if frames is None else f"steady exposure of {sorted(frames)}"
        return artifact.once(key, lambda: self._steady(artifact, frames))

    def _steady(self, artifact: Artifact, frames: Collection[int] | None) -> float:
        grades = [one.grade if frames is None or at in frames else -1.0 for at, one in self._looked(artifact)]
        most = int(np.argmax(grades))
        _, view = next(islice(self._views(artifact), most, None))
        return max(self._look(view, half_grey, ten).grade, *grades[:most], *grades[most + 1 :], 0.0)

    def _looked(self, artifact: Artifact) -> Sequence[tuple[int, Looked]]:
        return artifact.once("exposure", lambda: [(at, self.look(view)) for at, view in self._views(artifact)])

    def _views(self, artifact: Artifact) -> Iterator[tuple[int, View]]:
        """Every view, with the place of its frame; of glimpses, whose places come after, a glance each."""
        faces, shown = self._finder.faces(artifact) if self._finder else (), picture(artifact)
        for at, frame in enumerate(shown.frames):
            bodies = self._telling(artifact, faces, at)
            suspected = any(body.score >= SUSPECTED for body in bodies)
            for view in views(frame, _of(faces, at), suspected, bodies):
                yield at, view
        for at, frame in enumerate(shown.glimpses, len(shown.frames)):
            yield at, glance(frame)

    def _telling(self, artifact: Artifact, faces: Sequence[Face], at: int) -> Sequence[Body]:
        """The bodies of a frame in which faces do not say which way is up: none is sure, or one that is may lean."""
        sure = [face for face in _of(faces, at) if face.score >= AGE_FACE]
        if self._bodies is None or (sure and not any(map(may_lean, sure))):
            return ()
        return [body for body in self._bodies.bodies(artifact) if body.frame == at]

    def look(self, view: View) -> Looked:
        """What the nets say of a view. Raises CheckError when an answer is no number."""
        return self._look(view, _one, _one)

    def _look(self, view: View, first_sees: Crops, second_sees: Crops) -> Looked:
        """What the nets say of a view: the mean over all that they are shown of what each reads of it."""
        first = max(_mean([self._open_nsfw(one) for one in first_sees(look)]) for look in view.looks)
        if not self._second or _settled(first, view) or (view.glance and first < NOTICED):
            return Looked(first)
        shares = [self._nsfwjs(one) for one in second_sees(view.whole)]
        explicit, sexy = (_mean([share[at] for share in shares]) for at in (0, 1))
        return Looked(first, min(explicit, 1.0), sexy, view.close)

    def _open_nsfw(self, look: Pixels) -> float:
        session = self._models.session(OPEN_NSFW)
        (answer,) = session.run(None, {session.get_inputs()[0].name: framed(_jpeg(look))})
        return _finite(float(np.asarray(answer)[0, 1]), OPEN_NSFW)

    def _nsfwjs(self, whole: Pixels) -> tuple[float, float]:
        """Its explicit and its sexy share of a square of SIDE pixels."""
        session = self._models.session(NSFWJS)
        (answer,) = session.run(None, {session.get_inputs()[0].name: blocked(whole)})
        shares = np.asarray(answer)[0]
        return _finite(float(shares[HENTAI] + shares[PORN]), NSFWJS), _finite(float(shares[SEXY]), NSFWJS)


def ten(square: Pixels) -> list[Pixels]:
    """A square of SIDE pixels and its four corners of CORNER pixels, enlarged to SIDE, as they are and mirrored."""
    image, rest = Image.fromarray(packed(square)), SIDE - CORNER
    corners = [
        image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + CORNER, top + CORNER))
        for left in (0, rest)
        for top in (0, rest)
    ]
    upright = [np.asarray(each) for each in (image, *corners)]
    return [*upright, *(np.ascontiguousarray(each[:, ::-1]) for each in upright)]


def half_grey(square: Pixels) -> list[Pixels]:
    """`ten` of a square, the mirrored five in grey."""
    looks = ten(square)
    return [*looks[:5], *(np.asarray(Image.fromarray(look).convert("L").convert("RGB")) for look in looks[5:])]


def _one(square: Pixels) -> list[Pixels]:
    return [square]


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)


def _settled(first: float, view: View) -> bool:
    """True when nothing that nsfwjs could say of a view changes what open_nsfw's score says of it."""
    return Looked(first, 1.0, 1.0, view.close).grade < LITTLE or (first < QUIET and view.skin < BARE)


def _finite(score: float, name: str) -> float:
    """The score; CheckError where it is no number, which a maximum would pass over."""
    if not math.isfinite(score):
        raise CheckError(f"{name} gave no finite score: the model is damaged")
    return score


def _present(models: Models, name: str) -> bool:
    return name in models.names() and models.has(name)


def _of(faces: Sequence[Face], at: int) -> list[Face]:
    return [face for face in faces if face.frame == at]


def _on(curve: tuple[tuple[float, ...], tuple[float, ...]], score: float) -> float:
    """A score on the graded scale: monotone, piecewise linear through the curve's points."""
    return float(np.interp(score, *curve))


def blocked(whole: Pixels) -> Pixels:
    """A square of SIDE pixels as nsfwjs reads it: uint8 (1, 113, 113, 16), blocks that end two grey pixels after it."""
    canvas = filled(SIDE + 2, SIDE + 2, GREY)
    canvas[:SIDE, :SIDE, :3] = whole
    return blocks(canvas)


def framed(look: Pixels) -> Pixels:
    """A square of SIDE pixels as open_nsfw reads it: uint8 (1, 115, 115, 16), blocks that begin MARGIN before it."""
    canvas = filled(SIDE + 2 * MARGIN, SIDE + 2 * MARGIN, NOTHING)
    canvas[MARGIN : MARGIN + SIDE, MARGIN : MARGIN + SIDE, :3] = look
    return blocks(canvas)


def _jpeg(view: Pixels) -> Pixels:
    encoded = simplejpeg.encode_jpeg(packed(view), quality=JPEG_QUALITY, colorsubsampling="420")
    decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(encoded)
    return decoded
