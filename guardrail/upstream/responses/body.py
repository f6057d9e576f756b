"""Bodies of the Responses API: all turns, pictures by id, the image tool, and what an earlier response brings along."""

from __future__ import annotations

import re
from dataclasses import replace

import pybase64

from guardrail.errors import BadRequest
from guardrail.types import Artifact, Kind
from guardrail.upstream.bodies import json_object
from guardrail.upstream.conversation import Conversation
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.limits import Limits
from guardrail.upstream.messages import Messages, what_of
from guardrail.upstream.responses.past import Past, Remembered
from guardrail.upstream.slots import Vocabulary, What, classify, leaf_of, loose, name_of, wordy
from guardrail.upstream.spans import Json, Node, Path, keys, text_of

KNOWN = frozenset(
    {"input", "instructions", "prompt", "previous_response_id", "conversation", "background", "store", "stream",
     "tools", "tool_choice", "model", "user", "safety_identifier", "metadata", "moderation", "text", "include"}
)  # fmt: skip
NAMES = Vocabulary(
    pictures=frozenset({"input_image_mask"}),
    identifiers=frozenset({"model", "user", "safety_identifier", "metadata", "prompt_cache_key", "service_tier"}),
    prompts=frozenset(),
    plain=re.compile(
        r"(?:auto|none|required|text|json_object|json_schema|function|image_generation|minimal|low|medium|high|xhigh"
        r"|default|flex|priority|generate|edit|png|jpe?g|webp|gif|svg|transparent|opaque|true|false|disabled|concise"
        r"|detailed|allowed_tools|in-memory|24h|[a-z_]{1,40}(?:\.[a-z_]{1,40})+)?",
        re.IGNORECASE,
    ),
)
_BY_REFERENCE = frozenset({"prompt", "conversation"})
# Tools that bring in texts alone, or run where the caller sees them; what else there is may bring in anything.
_TOOLS = re.compile(
    r"image_generation|function|custom|web_search(?:_preview)?(?:_[0-9_]{10})?|local_shell|apply_patch"
    r"|computer_use_preview|code_interpreter"
)
_FILE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_BY_ID = frozenset({"image_generation_call", "item_reference"})
_WITH_FILES = frozenset({"input_image", ""})


def gather(body: bytes, limits: Limits, known: Remembered) -> tuple[Gathered, Past]:
    """Read a body: what is judged, and what is remembered of it. Raises BadRequest for what is not strict JSON,
    cannot be judged or is over a limit."""
    root = json_object(body, limits)
    reading = _Reading(body, Conversation(Gathered(limits)), known)
    for number, key in enumerate(keys(root)):
        if wordy(key):
            reading.talk.text(f"field-name[{number}]", key)
    reading.before(root)
    for key, node in root.members.items():
        if key.casefold() in KNOWN and key not in KNOWN:
            raise BadRequest(f"{key} is spelled in another way than this API's", param=key, code="unknown_field")
        if node.kind is not Json.NULL:
            reading.field(key, node)
    if not reading.turns:
        raise BadRequest("input is missing", param="input", code="missing_required_parameter")
    reading.talk.settle()
    return reading.got, Past(lines=tuple(reading.talk.lines))


class _Reading(Messages):
    """One body that is being read."""

    turns = 0

    def __init__(self, body: bytes, talk: Conversation, known: Remembered) -> None:
        super().__init__(body, talk)
        self.known = known

    def before(self, root: Node) -> None:
        """The conversation that `previous_response_id` goes on with. Raises BadRequest where it is not known here."""
        node = root.get("previous_response_id")
        if node is None:
            return
        past = self.known.responses.get(node.text(self.body)) if node.kind is Json.STRING else None
        if past is None:
            raise BadRequest(
                "previous_response_id names a response that this guard does not remember; send the earlier turns",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        for text in past.texts:
            if not text.slot.startswith(("conversation", "together")):
                slot = f"previous.{text.slot.removeprefix('previous.')}"
                self.got.text(slot, text.text or "", "previous_response_id", whole=True)
        for data in (*(one.data or b"" for one in past.pictures), *past.made):
            self._known_picture(data, "previous_response_id")
        self.talk.lines += (*past.lines, *past.said)

    def field(self, key: str, node: Node) -> None:
        if key in _BY_REFERENCE:
            raise BadRequest(
                f"{key} refers to what is not in the request; send it itself", param=key, code="unjudged_reference"
            )
        if key == "input":
            for index, item in enumerate(node.items if node.kind is Json.ARRAY else [node]):
                self.turn(f"input[{index}]", item, (key, index))
                self.turns += 1
        elif key == "instructions":
            for index, item in enumerate(node.items if node.kind is Json.ARRAY else [node]):
                self.turn("instructions", item, (key, index))
        elif key == "tools":
            if node.kind is not Json.ARRAY:
                raise BadRequest("tools must be a list", param=key, code="invalid_type")
            for index, tool in enumerate(node.items):
                self.tool(tool, (key, index))
        elif key in ("stream", "background"):
            if node.kind not in (Json.TRUE, Json.FALSE):
                raise BadRequest(f"{key} must be true or false", param=key, code="invalid_type")
            self.got.stream = self.got.stream or (key == "stream" and node.kind is Json.TRUE)
        elif key == "text":
            self.words(key, node)
        elif key != "previous_response_id":
            self.setting(node, (key,))

    # ------------------------------------------------------------------------------------------------------ turns

    def seen(self, node: Node, path: Path) -> None:
        """Pictures by the id of an item or of a file; all else as in any message."""
        kind = node.get("type")
        said = kind.text(self.body) if kind is not None and kind.kind is Json.STRING else ""
        file_id, item_id = node.get("file_id"), node.get("id")
        if len(path) == 2 and kind is None and item_id is not None and node.get("role") is None:
            said = "item_reference"  # the one item whose type may be left out
        if said in _BY_ID:
            named = item_id is not None and item_id.kind is Json.STRING
            kept = self.known.pictures.get(item_id.text(self.body)) if item_id is not None and named else None
            result = text_of(node, "result", self.body)
            shown = said != "item_reference" and what_of(result, ("result",)) is not None
            if kept is None and not shown:
                raise BadRequest(
                    f"{name_of(path)} refers to an item that this guard does not remember; send it whole",
                    param=name_of(path),
                    code="unjudged_reference",
                )
            # Beside a picture that is shown, too: the generator may take the one that it has under that id.
            if kept is not None and (not shown or pybase64.b64encode(kept).decode() != result):
                self._known_picture(kept, name_of(path))
            if shown:
                super().seen(node, path)
        elif file_id is not None and said in _WITH_FILES:
            self._file(file_id, node, path)
        else:
            super().seen(node, path)

    def string(self, node: Node, path: Path, above: tuple[str, ...], texts: list[str]) -> None:
        if above and above[-1] == "file_id":
            return  # read with the object that it stands in
        super().string(node, path, above, texts)

    def _file(self, node: Node, parent: Node, path: Path) -> None:
        param = name_of((*path, "file_id"))
        if node.kind is not Json.STRING or not _FILE_ID.fullmatch(node.text(self.body)):
            raise BadRequest(f"{param} is no file id", param=param, code="invalid_value")
        if parent.get("image_url") is not None:
            raise BadRequest(f"{name_of(path)} has both image_url and file_id; give one", param=param)
        if "image_url" in parent.members:
            raise BadRequest(f"{name_of(path)}: leave image_url out where there is a file_id", param=param)
        place = Place(node.start, node.end, quoted=True, key=(node.key_start, node.key_end))
        self.got.reference(self.got.image_slot(), What.FILE, node.text(self.body), param, place)

    def _known_picture(self, data: bytes, param: str) -> None:
        self.got.picture(f"previous.{self.got.image_slot()}", data, param)

    # --------------------------------------------------------------------------------------------------- settings

    def tool(self, node: Node, path: Path) -> None:
        kind, container = node.get("type"), node.get("container")
        said = kind.text(self.body) if kind is not None and kind.kind is Json.STRING else ""
        names = {key.casefold() for key in keys(node)}
        if (
            not _TOOLS.fullmatch(said)
            or {"file_ids", "vector_store_ids", "server_url"} & names
            or self._images(node, said)
            or (container is not None and container.kind is Json.STRING)
        ):
            raise BadRequest(
                f"{name_of(path)}: this tool brings in what nobody has judged",
                param=name_of(path),
                code="unjudged_tool",
            )
        if said != "image_generation":
            self.words(name_of(path), node)
            return
        for key, member in node.members.items():
            if key == "input_image_mask" and member.kind is not Json.NULL:
                texts: list[str] = []
                self.value(member, (*path, key), (key,), texts)
                self.said(name_of((*path, key)), texts)
            elif key not in ("type", "model"):
                self.setting(member, (*path, key))

    def _images(self, node: Node, said: str) -> bool:
        """True for a web search that may bring pictures into the conversation."""
        return said.startswith("web_search") and any("image" in key.casefold() for key in keys(node))

    def word(self, node: Node, path: Path) -> None:
        text = node.text(self.body)
        if path in (("user",), ("safety_identifier",)):
            self.got.subject = text
        what = classify(text, path, NAMES)
        if what not in (What.SETTING, What.TEXT):
            raise BadRequest(
                f"{name_of(path)} holds a picture or leads to one; send it in the input",
                param=name_of(path),
                code="unjudged_field",
            )
        self.got.looked_at(text)
        if what is What.TEXT:
            self.got.text(f"field:{name_of(path)}", text, leaf_of(path))
        elif loose(text, path, NAMES):
            self.got.setting(text)


def asked(past: Past, got: Gathered) -> Past:
    """What is remembered of a request once its references are there."""
    pictures = tuple(
        Artifact(Kind.INPUT, one.slot, data=one.data) for one in got.inputs if one is not None and one.data is not None
    )
    return replace(past, texts=tuple(got.texts), pictures=pictures)
