"""Multipart bodies of the OpenAI Images API: edits and variations."""

from __future__ import annotations

import re

from guardrail.errors import BadRequest
from guardrail.upstream.bodies import form_parts
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.limits import Limits
from guardrail.upstream.multipart import Part
from guardrail.upstream.openai.body_json import check_output
from guardrail.upstream.openai.routes import Route
from guardrail.upstream.openai.slots import NAMES, PICTURES, SCALARS, misspelled
from guardrail.upstream.slots import What, classify, left_out, loose, name_of, weak, wordy

_BOOLS = {"true": True, "false": False}
_SWITCHES = {"disable_safety_checker": "false", "enable_safety_checker": "true"}
_COUNT = re.compile(r"[0-9]{1,4}")


def gather_form(body: bytes, parameters: dict[str, str], route: Route, limits: Limits) -> Gathered:
    """Read a multipart body; `parameters` are those of its content type.

    Raises BadRequest for what is not strict multipart, has wrong types or is over a limit.
    """
    if route is Route.GENERATIONS:
        raise BadRequest("generations take JSON", status=415, code="unsupported_media_type")
    found = form_parts(body, parameters, limits)
    fields = ((part.name, body[part.start : part.end][:64].decode("latin-1")) for part in found if not part.is_file)
    got = Gathered(limits, guided=not any(weak(name, value) for name, value in fields))
    for number, part in enumerate(found):
        if misspelled(part.name):
            raise BadRequest(
                "a known field is spelled in another way than this API's",
                param=name_of((part.name,)),
                code="unknown_field",
            )
        if wordy(part.name):
            got.text(f"field-name[{number}]", part.name, "a field name")
        if part.is_file:
            _file(part, body, got)
        else:
            _field(part, body, got)
    got.settle()
    if route is Route.EDITS and not any(text.slot == "prompt" for text in got.texts):
        raise BadRequest("prompt is missing", param="prompt", code="missing_required_parameter")
    if not got.images:
        raise BadRequest("an image is missing", param="image", code="missing_required_parameter")
    return got


def _slot(name: str, got: Gathered, other: str) -> str:
    base = name.split("[", 1)[0]
    if base in ("image", "images", "image_url"):
        return got.image_slot()
    return base if base in PICTURES else f"{other}:{name_of((name,))}"


def _file(part: Part, body: bytes, got: Gathered) -> None:
    base = part.name.split("[", 1)[0]
    if base in SCALARS:
        raise BadRequest(f"{base} is a field, and came as a file", param=base, code="invalid_type")
    if part.start == part.end and base not in PICTURES:
        return  # some clients add an empty file to every form; there is nothing in it
    got.picture(_slot(part.name, got, "file"), body[part.start : part.end], name_of((part.name,)))


def _field(part: Part, body: bytes, got: Gathered) -> None:
    param = name_of((part.name,))
    try:
        text = body[part.start : part.end].decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{param} is not UTF-8", param=param, code="invalid_type") from None
    if "\x00" in text:
        raise BadRequest(f"{param} has a zero byte", param=param, code="invalid_type")
    place = Place(part.start, part.end, quoted=False)
    if _setting(part.name, text, place, got):
        return
    what = classify(text, (part.name,), NAMES)
    if what in (What.SETTING, What.TEXT):
        got.looked_at(text)
    if what is What.SETTING:
        if loose(text, (part.name,), NAMES):
            got.setting(text)
        return
    if what is What.TEXT:
        known = part.name in ("prompt", "negative_prompt")
        got.text(part.name if known else f"field:{param}", text, param, left_out=left_out(part.name))
    elif what is What.FILE:
        raise BadRequest("a form takes no file ids; send JSON", param=param, code="invalid_value")
    elif what is What.URL:
        got.reference(_slot(part.name, got, "field"), what, text.strip(), param, place)
    else:
        got.encoded(_slot(part.name, got, "field"), what, body[part.start : part.end], param, place)


def _setting(name: str, text: str, place: Place, got: Gathered) -> bool:
    """Read a field that this API gives a type. True when nothing more is to be looked at."""
    if name == "prompt" and not text:
        raise BadRequest("prompt must not be empty", param="prompt", code="invalid_value")
    if name == "n":
        if not _COUNT.fullmatch(text) or not 1 <= int(text) <= got.limits.n:
            raise BadRequest(f"n must be a whole number from 1 to {got.limits.n}", param="n", code="invalid_value")
        got.count = int(text)
        return True
    if name == "stream" or name in _SWITCHES:
        if text.lower() not in _BOOLS:
            raise BadRequest(f"{name} must be true or false", param=name, code="invalid_type")
        if name == "stream":
            got.stream = _BOOLS[text.lower()]
        elif text.lower() != _SWITCHES[name]:
            got.clamp(name, place, _SWITCHES[name].encode())
        return True
    if name == "output_format":
        check_output(text)
    if name.startswith("svg["):
        check_output("svg")
    if name == "moderation":
        if text != "auto":
            got.clamp(name, place, b"auto")
        return True
    if name in ("user", "safety_identifier"):
        got.subject = text
    return False
