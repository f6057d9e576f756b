"""Slots: what each text of a request is. A prompt, a picture, a reference to one, a mere setting, or a hole.

A protocol has a few prompts and pictures; the servers that copy it have more. A field nobody here knows is judged by
what it holds, and refused when it holds what cannot be judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.spans import Path


@dataclass(frozen=True)
class Vocabulary:
    """The names of one protocol.

    `pictures` are the outermost fields that hold pictures; `references` the names, inside them, of what is a picture or
    leads to one; `file_ids` are the names that an id of the generator's own store stands under. `identifiers` are names
    and ids that the caller makes up: no prompts unless they read like sentences. `prompts` are the outermost fields
    that are texts whatever they hold. `plain` is what settings of this protocol may say; any other short text is a
    word that a server may add to its prompt.
    """

    pictures: frozenset[str]
    references: frozenset[str] = frozenset({"image_url", "url", "data", "base64", "b64_json"})
    file_ids: frozenset[str] = frozenset({"file_id"})
    identifiers: frozenset[str] = frozenset({"model", "user"})
    prompts: frozenset[str] = frozenset({"prompt"})
    plain: re.Pattern[str] = re.compile(r"(?:auto|none|true|false)?", re.IGNORECASE)


_TEXT_NAME = re.compile(r"prompt|caption|description|instruction|text|negative", re.IGNORECASE)
_LEFT_OUT_NAME = re.compile(r"negative", re.IGNORECASE)
# "cfg_scale", "guidance_scale", "true_cfg".
_GUIDANCE = re.compile(r"(?:true_|hr_|classifier_free_)?(?:cfg|guidance)(?:_scale|_strength)?", re.IGNORECASE)
_PICTURE_NAME = re.compile(r"image|img|mask|markup|picture|photo|reference|frame", re.IGNORECASE)
_FILE_ID = re.compile(r"file[-_][A-Za-z0-9_-]{6,120}")
_ANY_FILE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_WORD = re.compile(r"[^\W\d_]+")
_RUN = re.compile(r"[!-~]+")
# With the brackets in which forms number their parts: image[], image[0].
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}(?:\[[0-9]{0,3}\])?")
_OPAQUE = 1024  # characters without a space in a field nobody knows: no word of any language, no id
_LONGEST_URL = 10_000  # characters; what is longer is refused as opaque
_LONGEST = 200_000  # characters; no text of a request is longer, so none is gone through
_FEW_WORDS = 3  # a setting has no more ("high quality", "url"); what has more is judged as a text
_SPACELESS = 0x0E00  # from Thai on, scripts may be written without spaces: each character counts as a word


class What(Enum):
    """What a text of a request is."""

    SETTING = "setting"
    TEXT = "text"
    DATA_URL = "data url"
    BASE64 = "base64"
    URL = "url"
    FILE = "file"


def name_of(path: Path) -> str:
    """A path as "images[0].image_url". Keys that are not plain names, or say a sentence, become "?"."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            out += ("." if out else "") + (step if _SAFE_NAME.fullmatch(step) and not wordy(step) else "?")
    return out[:120] or "?"


def wordy(text: str) -> bool:
    """True for more than three words: a sentence, not a setting. Scripts without spaces count by character."""
    words = 0
    for found in _WORD.finditer(text):
        run = found.group()
        words += len(run) if max(run) >= chr(_SPACELESS) else 1
        if words > _FEW_WORDS:
            return True
    return False


def left_out(name: str) -> bool:
    """True for the name of a field that says what shall not be in the picture: "negative_prompt"."""
    return _LEFT_OUT_NAME.search(name) is not None


def guides(name: str) -> bool:
    """True for the name of a field that says how strongly a picture is drawn away from the negative prompt."""
    return _GUIDANCE.fullmatch(name) is not None


def weak(name: str, value: str) -> bool:
    """True for a guidance below 1: there samplers draw what the negative prompt says. `value` is as it was sent."""
    if not guides(name):
        return False
    try:
        return not float(value.strip().strip('"')) >= 1.0  # and where it is no number at all
    except ValueError:
        return True


def names_content(name: str) -> bool:
    """True for a name that says its value is a text or a picture: "suffix_prompt", "ref_image"."""
    return _TEXT_NAME.search(name) is not None or _PICTURE_NAME.search(name) is not None


def loose(text: str, path: Path, names: Vocabulary) -> bool:
    """True for a setting with a word of its own: "nude" as a style says as much as it does in a prompt."""
    if path[0] in names.identifiers or names.plain.fullmatch(text.strip()):
        return False
    return any(len(run) > 2 or max(run) >= chr(_SPACELESS) for run in _WORD.findall(text))


def leaf_of(path: Path) -> str:
    """The last name of a path; indexes of lists are no names."""
    for step in reversed(path):
        if isinstance(step, str):
            return step
    return ""


def classify(text: str, path: Path, names: Vocabulary) -> What:
    """What the string at `path` of a request is. Raises BadRequest for what nobody could judge."""
    leaf = leaf_of(path)
    top = path[0] if path and isinstance(path[0], str) else ""
    base = top.split("[", 1)[0]
    in_picture = base in names.pictures or leaf == "image_url" or leaf in names.file_ids
    if len(path) == 1 and path[0] in names.prompts:
        if (pictures.is_data_url(text) and "base64" in text[:200].lower()) or pictures.looks_like_base64_picture(text):
            raise _closed(path, "holds a picture; send it as an image")
        return What.TEXT
    if leaf in names.file_ids or _FILE_ID.fullmatch(text):
        return _file(text, leaf, path, names)
    scheme = pictures.url_scheme(text) if len(text) <= _LONGEST_URL else None
    if pictures.is_data_url(text):
        found = What.DATA_URL
    elif scheme is not None and path[0] not in names.identifiers:
        found = _url(scheme, leaf, in_picture, path)
    elif pictures.looks_like_base64_picture(text):
        found = What.BASE64
    elif in_picture and (leaf in names.references or leaf == top):
        found = What.BASE64  # whatever it is, it stands where a picture is expected
    else:
        found = _words(text, leaf, path, names)
    return found


def _file(text: str, leaf: str, path: Path, names: Vocabulary) -> What:
    if leaf not in names.file_ids or not _ANY_FILE_ID.fullmatch(text):
        raise _closed(path, "holds the id of a file, which can be judged only as a file_id")
    return What.FILE


def _url(scheme: str, leaf: str, in_picture: bool, path: Path) -> What:
    if scheme not in ("https", "http"):
        raise BadRequest(
            f"{name_of(path)} holds an address that is not https; send the picture as https or data URL",
            param=name_of(path),
            code="url_not_allowed",
        )
    if in_picture or _PICTURE_NAME.search(leaf):
        return What.URL
    raise _closed(path, "holds an address, and nobody judges what is behind it")


def _words(text: str, leaf: str, path: Path, names: Vocabulary) -> What:
    if len(text) > _LONGEST:
        raise _closed(path, f"holds more than {_LONGEST} characters")
    if any(len(run.group()) > _OPAQUE for run in _RUN.finditer(text)):
        raise _closed(path, f"holds more than {_OPAQUE} characters without a space, which nobody can judge")
    if _TEXT_NAME.search(leaf) and text.strip():
        return What.TEXT
    if path[0] in names.identifiers:
        return What.TEXT if len(text.split()) > _FEW_WORDS else What.SETTING
    return What.TEXT if wordy(text) else What.SETTING


def _closed(path: Path, why: str) -> BadRequest:
    return BadRequest(f"{name_of(path)} {why}", param=name_of(path), code="unjudged_field")
