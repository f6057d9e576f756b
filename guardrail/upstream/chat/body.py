"""Bodies of chat completions and of OpenRouter's images."""

from __future__ import annotations

import re

from guardrail.errors import BadRequest
from guardrail.upstream.bodies import json_object
from guardrail.upstream.chat.routes import Route
from guardrail.upstream.conversation import Conversation
from guardrail.upstream.gather import Gathered
from guardrail.upstream.limits import Limits
from guardrail.upstream.messages import Messages
from guardrail.upstream.slots import Vocabulary, What, classify, leaf_of, left_out, loose, name_of, wordy
from guardrail.upstream.spans import Json, Node, Path, keys

KNOWN = frozenset(
    {"messages", "model", "models", "n", "stream", "tools", "functions", "user", "safety_identifier", "prompt",
     "modalities", "image_config", "input_references", "preset", "response_format", "moderation", "audio"}
)  # fmt: skip
NAMES = Vocabulary(
    pictures=frozenset({"input_references", "image", "images", "mask"}),
    file_ids=frozenset({"file_id"}),
    identifiers=frozenset(
        {"model", "models", "user", "safety_identifier", "provider", "metadata", "session_id", "prompt_cache_key",
         "service_tier", "trace"}
    ),
    prompts=frozenset({"prompt"}),
    plain=re.compile(
        r"(?:auto|none|required|text|image|audio|json_object|json_schema|function|minimal|low|medium|high|xhigh|default"
        r"|flex|priority|url|b64_json|png|jpe?g|webp|gif|svg|transparent|opaque|standard|hd|true|false|middle-out"
        r"|[0-9]{1,2}:[0-9]{1,2}|[0-9]{2,5}x[0-9]{2,5}|[0-9.]{1,4}k|web|file-parser)?",
        re.IGNORECASE,
    ),
)  # fmt: skip
# What a server would put into the conversation by a name that nobody here can look behind.
_BY_REFERENCE = frozenset({"previous_response_id", "conversation", "prompt_id", "cached_content"})


def gather(body: bytes, route: Route, limits: Limits) -> Gathered:
    """Read a body. Raises BadRequest for what is not strict JSON, cannot be judged or is over a limit."""
    root = json_object(body, limits)
    reading = _Reading(body, Conversation(Gathered(limits)))
    for number, key in enumerate(keys(root)):
        if wordy(key):
            reading.talk.text(f"field-name[{number}]", key)
    for key, node in root.members.items():
        if key.casefold() in KNOWN and key not in KNOWN:
            raise BadRequest(f"{key} is spelled in another way than this API's", param=key, code="unknown_field")
        if node.kind is not Json.NULL:
            reading.field(key, node)
    needed = "messages" if route is Route.CHAT else "prompt"
    if not (
        reading.turns if route is Route.CHAT else any(text.slot == "prompt" and text.text for text in reading.got.texts)
    ):
        raise BadRequest(f"{needed} is missing", param=needed, code="missing_required_parameter")
    reading.talk.settle()
    return reading.got


class _Reading(Messages):
    """One body that is being read."""

    turns = 0

    def field(self, key: str, node: Node) -> None:
        if key in _BY_REFERENCE:
            raise BadRequest(
                f"{key} refers to what is not in the request; send it itself", param=key, code="unjudged_reference"
            )
        if key == "messages":
            if node.kind is not Json.ARRAY:
                raise BadRequest("messages must be a list", param=key, code="invalid_type")
            for index, message in enumerate(node.items):
                self.turn(f"messages[{index}]", message, (key, index))
            self.turns = len(node.items)
        elif key in ("tools", "functions"):
            self.words(key, node)
        elif key == "n":
            self.got.count = self.count(node)
        elif key == "stream":
            if node.kind not in (Json.TRUE, Json.FALSE):
                raise BadRequest("stream must be true or false", param="stream", code="invalid_type")
            self.got.stream = node.kind is Json.TRUE
        else:
            self.setting(node, (key,))

    def word(self, node: Node, path: Path) -> None:
        text = node.text(self.body)
        param = name_of(path)
        if path in (("user",), ("safety_identifier",)):
            self.got.subject = text
        if path[0] in ("model", "models") and "@preset" in text:
            raise BadRequest("a preset is a prompt that is not in the request", param=param, code="unjudged_reference")
        what = classify(text, path, NAMES)
        if what is What.FILE:
            raise BadRequest(f"{param} is a file id; send the picture itself", param=param, code="unjudged_reference")
        if what not in (What.SETTING, What.TEXT):
            self.picture(node, what, path)
            return
        self.got.looked_at(text)
        if what is What.TEXT:
            slot = "prompt" if path == ("prompt",) else f"field:{param}"
            self.got.text(slot, text, param, left_out=left_out(leaf_of(path)))
        elif loose(text, path, NAMES):
            self.got.setting(text)

    def count(self, node: Node) -> int:
        raw = self.body[node.start : node.end]
        if node.kind is not Json.NUMBER or not raw.isdigit() or len(raw) > 4 or not 1 <= int(raw) <= self.got.limits.n:
            raise BadRequest(f"n must be a whole number from 1 to {self.got.limits.n}", param="n", code="invalid_value")
        return int(raw)
