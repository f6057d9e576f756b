"""Enrolment: from pictures of a person, or numbers made elsewhere, to templates for the registry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guardrail.checks.likeness import CHILD_BELOW_YEARS, Ages, Finder
from guardrail.checks.person import WIDTH, Template
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.image.faces import AGE_FACE
from guardrail.types import Artifact, Kind

MAX_TEMPLATE_FILE = 1 << 20
SAME_PERSON = 0.363
"""Cosine of two faces from which on SFace's authors take one pair for the same adult."""


def template_from(
    finder: Finder, picture: bytes, *, named: str, child: bool = False, ages: Ages | None = None
) -> Template:
    """The template of the one face in a picture. `named` is the file, for the message.

    It is a child's where `child` says so, or where `ages` reads the face as a child's: children look alike, and one
    that was enrolled as an adult would be found in other children's faces.

    Raises ConfigError when the picture cannot be read, or does not show exactly one face that is large and frontal
    enough to compare.
    """
    artifact = Artifact(Kind.INPUT, "picture", data=picture)
    try:
        faces = finder.faces(artifact)
    except CheckError as error:
        raise ConfigError(f"{named}: {error}") from None
    if not faces:
        raise ConfigError(f"{named}: no face was found; one sharp, frontal face is expected")
    if len(faces) > 1:
        raise ConfigError(f"{named}: {len(faces)} faces were found; cut the picture so that only this person is in it")
    (face,) = faces
    if not face.readable:
        raise ConfigError(
            f"{named}: the face is too small or too far turned to compare ({face.size_px:.0f} pixels across); "
            "take a larger, frontal picture"
        )
    young = ages is not None and face.score >= AGE_FACE and ages.age(artifact, face) < CHILD_BELOW_YEARS
    return Template.of(finder.embed(artifact, face), child=child or young, named=named)


def templates_in(path: Path, *, child: bool = False) -> list[Template]:
    """The templates of a file: one list of WIDTH numbers or several, as JSON or as NumPy's .npy (never pickled).

    They must come from the model that the guard compares with. Raises ConfigError.
    """
    try:
        if path.stat().st_size > MAX_TEMPLATE_FILE:
            raise ConfigError(f"{path}: over {MAX_TEMPLATE_FILE} bytes, which no file of templates is")
        if path.suffix == ".npy":
            rows = np.load(path, allow_pickle=False)
        else:
            rows = np.asarray(json.loads(path.read_text(encoding="utf-8")), np.float64)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError):
        raise ConfigError(f"{path}: lists of {WIDTH} numbers are expected, as JSON or .npy") from None
    if rows.ndim == 1:
        rows = rows[None]
    if rows.ndim != 2 or not len(rows):
        raise ConfigError(f"{path}: lists of {WIDTH} numbers are expected, the shape is {rows.shape}")
    return [Template.of(row, child=child, named=f"{path}, template {at}") for at, row in enumerate(rows)]


def unlike(templates: Sequence[Template]) -> list[int]:
    """Places of templates that look like none of the others: perhaps a picture of somebody else. Empty for one."""
    if len(templates) < 2:
        return []
    rows = np.stack([template.vector for template in templates])
    alike = rows @ rows.T
    np.fill_diagonal(alike, -1.0)
    return [int(at) for at in np.flatnonzero(alike.max(axis=1) < SAME_PERSON)]
