"""Bodies of generateContent: every turn, every picture of the conversation, and the switches of the vendor's safety."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.bodies import json_object
from guardrail.upstream.conversation import ROLES, Conversation, spoken
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.gemini import names
from guardrail.upstream.gemini.names import PICTURE_KIND, plain
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import What, classify, left_out, loose, name_of, wordy
from guardrail.upstream.spans import Edit, Json, Node, Path, keys, strings

_NAME = re.compile(r"[A-Za-z0-9_./+:-]{0,128}")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/_=-]*+")
_PLAIN_LEAVES = frozenset({"mimetype", "id", "language", "outcome"})


@dataclass(frozen=True)
class _InlinePlace(Place):
    """The member `fileData` of a part, which becomes `inlineData` with the bytes that were judged."""

    def becomes(self, text: bytes) -> Edit:
        head, _, data = text.partition(b";base64,")
        kind = head.removeprefix(b"data:")
        return self.start, self.end, b'"inlineData":{"mimeType":"' + kind + b'","data":"' + data + b'"}'


def gather(body: bytes, limits: Limits, file: Callable[[str], bytes | None] = lambda _: None) -> Gathered:
    """Read a body; `file` gives the picture that was uploaded under an address.

    Raises BadRequest for what is not strict JSON, cannot be judged or is over a limit.
    """
    root = json_object(body, limits)
    _one_casing(root, ())
    reading = _Reading(body, Gathered(limits), file)
    for number, key in enumerate(keys(root)):
        if wordy(key):
            reading.talk.text(f"field-name[{number}]", key)
    for key, node in root.members.items():
        if node.kind is not Json.NULL:
            reading.field(key, node)
    if not reading.turns:
        raise BadRequest("contents is missing", param="contents", code="missing_required_parameter")
    reading.talk.settle()
    return reading.got


def _one_casing(node: Node, path: Path) -> None:
    """A known field that stands twice, in two casings, is one to one reader and another to the next."""
    seen: set[str] = set()
    for key, member in node.members.items():
        name = plain(key)
        if name in names.KNOWN and name in seen:
            raise BadRequest(
                f"{name_of((*path, key))} stands twice, in two casings",
                param=name_of((*path, key)),
                code="invalid_json",
            )
        seen.add(name)
        _one_casing(member, (*path, key))
    for index, item in enumerate(node.items):
        _one_casing(item, (*path, index))


class _Reading:
    """One body that is being read."""

    def __init__(self, body: bytes, got: Gathered, file: Callable[[str], bytes | None]) -> None:
        self.body = body
        self.file = file
        self.got = got
        self.talk = Conversation(got)
        self.turns = 0

    def field(self, key: str, node: Node) -> None:
        name = plain(key)
        if name in names.BY_REFERENCE:
            raise BadRequest(f"{key}: {names.BY_REFERENCE[name]}", param=key, code="unjudged_reference")
        if name == "contents":
            for index, turn in enumerate(node.items or [node]):
                self.turn(f"contents[{index}]", turn, (key, index))
        elif name == "systeminstruction":
            self.turn("systemInstruction", node, (key,), counts=False)
        elif name == "tools":
            self.tools(node, key)
        else:
            self.settings(node, (key,))

    # ------------------------------------------------------------------------------------------------------ turns

    def turn(self, slot: str, node: Node, path: Path, *, counts: bool = True) -> None:
        """One turn, whoever said it. Pictures of any turn are inputs: an edit may mean one that was posted before."""
        if node.kind not in (Json.OBJECT, Json.STRING):
            raise BadRequest(f"{slot} must be an object", param=slot, code="invalid_type")
        texts: list[str] = []
        self.value(node, "", path, texts)
        self.talk.turn(slot, texts)
        self.turns += counts

    def value(self, node: Node, name: str, path: Path, texts: list[str]) -> None:
        if node.kind is Json.STRING:
            self.string(node, name, path, texts)
        for index, item in enumerate(node.items):
            self.value(item, name, (*path, index), texts)
        for key, member in node.members.items():
            here = plain(key)
            if here == "inlinedata" and member.kind is not Json.NULL:
                self.inline(member, (*path, key))
            elif here == "filedata" and member.kind is not Json.NULL:
                self.elsewhere(member, (*path, key))
            else:
                self.value(member, here, (*path, key), texts)

    def string(self, node: Node, name: str, path: Path, texts: list[str]) -> None:
        text = node.text(self.body)
        if name == "thoughtsignature":
            # The model's own, sealed by the vendor, who takes back nothing else.
            if not _SIGNATURE.fullmatch(text) or pictures.looks_like_base64_picture(text):
                raise BadRequest(f"{name_of(path)} is no signature", param=name_of(path), code="invalid_value")
        elif not (name in _PLAIN_LEAVES and _NAME.fullmatch(text)) and not (name == "role" and text in ROLES):
            texts.append(text)

    def inline(self, node: Node, path: Path) -> None:
        param = name_of(path)
        fields = {plain(key): member for key, member in node.members.items()}
        data = fields.pop("data", None)
        if node.kind is not Json.OBJECT or data is None or data.kind is not Json.STRING:
            raise BadRequest(f"{param} must be an object with data in base64", param=param, code="invalid_type")
        self.rest(fields, path)
        slot = self.got.image_slot()
        encoded: pictures.Bytes = data.text(self.body).encode() if data.escaped else data.raw(self.body)
        what = What.DATA_URL if bytes(encoded[:5]).lower() == b"data:" else What.BASE64
        if what is What.DATA_URL:
            # Some clients do so; the API takes base64 alone, so that is what it gets.
            encoded = bytes(encoded).partition(b",")[2]
        before = len(self.got.edits)
        self.got.encoded(slot, What.BASE64, encoded, param, Place(data.start, data.end, quoted=True))
        picture = self.got.inputs[-1]
        if picture is None or pictures.sniff(picture.data or b"") is None:
            raise BadRequest(
                f"{param} is no picture, and nothing else can be judged", param=param, code="unjudged_media"
            )
        if what is What.DATA_URL and len(self.got.edits) == before:
            self.got.edits.append((data.start, data.end, b'"' + bytes(encoded) + b'"'))

    def elsewhere(self, node: Node, path: Path) -> None:
        param = name_of(path)
        fields = {plain(key): member for key, member in node.members.items()}
        uri = fields.pop("fileuri", None)
        if node.kind is not Json.OBJECT or uri is None or uri.kind is not Json.STRING:
            raise BadRequest(f"{param} must be an object with fileUri", param=param, code="invalid_type")
        self.rest(fields, path)
        target = uri.text(self.body).strip()
        uploaded = self.file(target)
        if uploaded is not None:
            self.got.picture(self.got.image_slot(), uploaded, param)
            return
        if pictures.url_scheme(target) not in ("https", "http") or "googleapis.com" in target.lower():
            raise BadRequest(
                f"{param} names a file that did not come up through this guard; upload it here, or send the picture "
                "as inlineData or by https",
                param=param,
                code="unjudged_reference",
            )
        place = _InlinePlace(node.key_start, node.end, quoted=False)
        self.got.reference(self.got.image_slot(), What.URL, target, param, place)

    def rest(self, fields: dict[str, Node], path: Path) -> None:
        """What else stands beside a picture's data: its type, and a name that the model may read.

        Raises BadRequest for another type than a picture's: the vendor goes by it, and may read a document instead.
        """
        kind = fields.get("mimetype")
        told = kind is not None and kind.kind is not Json.NULL
        if (
            kind is not None
            and told
            and not (kind.kind is Json.STRING and PICTURE_KIND.fullmatch(kind.text(self.body)))
        ):
            raise BadRequest(
                f"{name_of(path)} is not called a picture (mimeType image/...), and nothing else can be judged",
                param=name_of(path),
                code="unjudged_media",
            )
        for name, member in fields.items():
            texts: list[str] = []
            self.value(member, name, (*path, name), texts)
            for text in texts:
                self.talk.text(name_of((*path, name)), self.talk.cleared(name_of(path), text))

    # --------------------------------------------------------------------------------------------------- settings

    def tools(self, node: Node, key: str) -> None:
        """Tools by name; the words of their declarations are one text."""
        words: list[str] = []
        for index, tool in enumerate(node.items or [node]):
            if tool.kind is not Json.OBJECT:
                raise BadRequest(f"{name_of((key, index))} must be an object", param=key, code="invalid_type")
            for name, member in tool.members.items():
                if member.kind is Json.NULL:
                    continue
                if plain(name) not in names.TOOLS or any(plain(inner) == "imagesearch" for inner in keys(member)):
                    raise BadRequest(
                        f"{name_of((key, index, name))}: this tool brings in what nobody has judged",
                        param=name_of((key, index, name)),
                        code="unjudged_tool",
                    )
                words += (spoken(found.text(self.body), at) for at, found in strings(member))
        said = self.talk.cleared("tools", "\n".join(word for word in words if word.strip()))
        if said.strip():
            self.talk.text("tools", said)

    def settings(self, node: Node, path: Path) -> None:
        """Everything else: the vendor's switches, and words that may reach the prompt."""
        name = plain(path[-1]) if isinstance(path[-1], str) else ""
        if name == "threshold":
            self.clamp(node, "safetySettings", names.SAFE_THRESHOLDS, names.CLAMPED_THRESHOLD)
        elif name == "persongeneration":
            self.clamp(node, "personGeneration", names.SAFE_PEOPLE, names.CLAMPED_PEOPLE)
        elif name == "prominentpeople":
            self.clamp(node, "prominentPeople", names.SAFE_PROMINENT, names.CLAMPED_PROMINENT)
        elif name == "candidatecount" and node.kind is not Json.NULL:
            self.got.count = self.count(node)
        elif name in names.BY_REFERENCE:
            raise BadRequest(
                f"{name_of(path)}: {names.BY_REFERENCE[name]}", param=name_of(path), code="unjudged_reference"
            )
        elif node.kind is Json.STRING:
            self.word(node, path)
        for key, member in node.members.items():
            self.settings(member, (*path, key))
        for index, item in enumerate(node.items):
            self.settings(item, (*path, index))

    def clamp(self, node: Node, name: str, safe: frozenset[str], to: bytes) -> None:
        if node.kind is Json.NULL or (node.kind is Json.STRING and node.text(self.body).upper() in safe):
            return
        if node.kind not in (Json.STRING, Json.NUMBER):
            raise BadRequest(f"{name} must name a value", param=name, code="invalid_type")
        self.got.edits.append((node.start, node.end, b'"' + to + b'"'))
        if name not in self.got.clamped:
            self.got.clamped.append(name)

    def count(self, node: Node) -> int:
        raw = self.body[node.start : node.end]
        if node.kind is not Json.NUMBER or not raw.isdigit() or len(raw) > 4 or not 1 <= int(raw) <= self.got.limits.n:
            raise BadRequest(
                f"candidateCount must be a whole number from 1 to {self.got.limits.n}",
                param="candidateCount",
                code="invalid_value",
            )
        return int(raw)

    def word(self, node: Node, path: Path) -> None:
        text = node.text(self.body)
        what = classify(text, path, names.VOCABULARY)
        if what is What.SETTING:
            self.got.looked_at(text)
            if loose(text, path, names.VOCABULARY):
                self.got.setting(text)
        elif what is What.TEXT:
            self.got.looked_at(text)
            self.got.text(f"field:{name_of(path)}", text, name_of(path), left_out=left_out(str(path[-1])))
        else:
            raise BadRequest(
                f"{name_of(path)} holds a picture; send it as inlineData", param=name_of(path), code="unjudged_field"
            )
