"""JSON bodies of the OpenAI Images API."""

from __future__ import annotations

from typing import TypeGuard

from guardrail.errors import BadRequest
from guardrail.upstream.bodies import guided, json_object
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.limits import Limits
from guardrail.upstream.openai.routes import Route
from guardrail.upstream.openai.slots import KNOWN, NAMES, PICTURES, misspelled
from guardrail.upstream.slots import What, classify, leaf_of, left_out, loose, name_of, wordy
from guardrail.upstream.spans import Json, Node, Path, keys, strings

# Switches that other servers of this protocol have, and the value that leaves their safety on.
_SWITCHES = {"disable_safety_checker": Json.FALSE, "enable_safety_checker": Json.TRUE}
_BOOLS = frozenset({Json.TRUE, Json.FALSE})


def gather_json(body: bytes, route: Route, limits: Limits) -> Gathered:
    """Read a JSON body. Raises BadRequest for what is not strict JSON, has wrong types or is over a limit."""
    root = json_object(body, limits)
    if route is Route.VARIATIONS:
        raise BadRequest(
            "variations take multipart/form-data", status=415, code="unsupported_media_type", param="image"
        )
    for name in root.members:
        if misspelled(name):
            raise BadRequest(
                "a known field is spelled in another way than this API's", param=name_of((name,)), code="unknown_field"
            )
    got = Gathered(limits, guided=guided(root, body))
    _settings(root, body, got)
    form = root.get("output_format")
    check_output("svg" if root.get("svg") is not None else form.text(body) if _is_text(form) else "")
    for number, key in enumerate(keys(root)):
        if key not in KNOWN and wordy(key):
            got.text(f"field-name[{number}]", key, "a field name")
    _one_reference(root, ())
    for path, node in strings(root):
        _string(path, node, body, got)
    got.settle()
    if not any(text.slot == "prompt" for text in got.texts):
        raise BadRequest("prompt is missing", param="prompt", code="missing_required_parameter")
    if route is Route.EDITS and not got.images:
        raise BadRequest("an image is missing", param="images", code="missing_required_parameter")
    return got


def check_output(asked: str) -> None:
    """Raises BadRequest for an output that nobody could judge, before it is paid for."""
    if asked.strip().casefold() in ("svg", "image/svg+xml"):
        raise BadRequest(
            "an SVG is drawn by whoever shows it, so what it shows cannot be judged; ask for png, jpeg, webp or gif",
            param="output_format",
            code="unsupported_output",
        )


def _is_text(node: Node | None) -> TypeGuard[Node]:
    return node is not None and node.kind is Json.STRING


def _settings(root: Node, body: bytes, got: Gathered) -> None:
    prompt = root.members.get("prompt")
    if prompt is not None and (prompt.kind is not Json.STRING or not prompt.text(body)):
        raise BadRequest("prompt must be a string that is not empty", param="prompt", code="invalid_type")
    count = root.get("n")
    if count is not None:
        got.count = _count(count, body, got.limits)
    stream = root.get("stream")
    if stream is not None:
        if stream.kind not in _BOOLS:
            raise BadRequest("stream must be true or false", param="stream", code="invalid_type")
        got.stream = stream.kind is Json.TRUE
    _safety(root, body, got)


def _safety(root: Node, body: bytes, got: Gathered) -> None:
    """Who asks, and the switches of the vendor's own safety, which stay on."""
    for name in ("user", "safety_identifier"):
        node = root.get(name)
        if node is not None:
            if node.kind is not Json.STRING:
                raise BadRequest(f"{name} must be a string", param=name, code="invalid_type")
            got.subject = node.text(body)
    moderation = root.get("moderation")
    if moderation is not None:
        if moderation.kind is not Json.STRING:
            raise BadRequest('moderation must be "auto" or "low"', param="moderation", code="invalid_type")
        if moderation.text(body) != "auto":
            got.clamp("moderation", Place(moderation.start, moderation.end, quoted=True), b"auto")
    for name, safe in _SWITCHES.items():
        switch = root.get(name)
        if switch is None:
            continue
        if switch.kind not in _BOOLS:
            raise BadRequest(f"{name} must be true or false", param=name, code="invalid_type")
        if switch.kind is not safe:
            got.clamp(name, Place(switch.start, switch.end, quoted=False), safe.value.encode())


def _count(node: Node, body: bytes, limits: Limits) -> int:
    raw = body[node.start : node.end]
    if node.kind is not Json.NUMBER or not raw.isdigit() or len(raw) > 4 or not 1 <= int(raw) <= limits.n:
        raise BadRequest(f"n must be a whole number from 1 to {limits.n}", param="n", code="invalid_value")
    return int(raw)


def _one_reference(node: Node, path: Path) -> None:
    """An entry with both an address and a file id is two pictures to one reader and one to another."""
    if node.get("image_url") is not None and node.get("file_id") is not None:
        raise BadRequest(
            f"{name_of(path)} has both image_url and file_id; give one", param=name_of(path), code="invalid_value"
        )
    for key, member in node.members.items():
        if member.members or member.items:
            _one_reference(member, (*path, key))
    for index, item in enumerate(node.items):
        _one_reference(item, (*path, index))


def _string(path: Path, node: Node, body: bytes, got: Gathered) -> None:
    text = node.text(body)
    what = classify(text, path, NAMES)
    if what in (What.SETTING, What.TEXT):
        got.looked_at(text)
    if what is What.SETTING:
        if loose(text, path, NAMES):
            got.setting(text)
        return
    param = name_of(path)
    if what is What.TEXT:
        known = path in (("prompt",), ("negative_prompt",))
        got.text(param if known else f"field:{param}", text, param, left_out=left_out(leaf_of(path)))
        return
    base = path[0] if path[0] in PICTURES else None
    if base in ("image", "images") or path == ("image_url",):
        slot = got.image_slot()
    else:
        slot = str(base) if base is not None and len(path) <= 2 else f"field:{param}"
    key = (node.key_start, node.key_end) if node.key_start >= 0 else None
    place = Place(node.start, node.end, quoted=True, key=key)
    if what in (What.URL, What.FILE):
        got.reference(slot, what, text.strip(), param, place)
    else:
        got.encoded(slot, what, text.encode() if node.escaped else node.raw(body), param, place)
