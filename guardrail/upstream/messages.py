"""Messages of OpenAI's conversational protocols: chat completions, Responses, and the servers that copy them.

What a string in a message is, is told by what it holds and by the name that it stands under. Whatever is no picture and
no plain name is text, and belongs to its turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.conversation import NAME, ROLES, Conversation, spoken
from guardrail.upstream.gather import Place
from guardrail.upstream.gemini import names as google
from guardrail.upstream.slots import What, name_of
from guardrail.upstream.spans import Json, Node, Path, strings

SEALED = re.compile(r"[A-Za-z0-9+/_=.:|-]*+")
PLAIN = frozenset(
    {"type", "id", "tool_call_id", "call_id", "item_id", "detail", "format", "media_type", "mime_type",
     "status", "phase", "object", "finish_reason", "native_finish_reason"}
)  # fmt: skip
"""Names whose values are names themselves, and no texts, where they look like names."""
SIGNATURES = frozenset({"thought_signature", "signature", "encrypted_content"})
"""What a model gave out sealed, to get it back: nobody but its vendor reads it."""
PICTURE_LEAVES = frozenset({"image_url", "image", "b64_json", "result", "partial_image_b64"})
PICTURE_PARENTS = frozenset({"image_url", "images", "image", "source", "input_image", "input_image_mask", "mask"})
# Sound, films, documents, and what a model has made of a picture or a text: nothing here can look at them.
# A part is one by its type, or, as some servers read it, by what it holds.
_UNSEEN = frozenset(
    {"input_audio", "audio_url", "video_url", "input_video", "video", "video_embeds", "input_file", "file_url",
     "file_data", "image_embeds", "audio_embeds", "prompt_embeds"}
)  # fmt: skip
_UNSEEN_TYPES = _UNSEEN | {"audio", "file", "document"}
BY_REFERENCE = frozenset({"preset", "chat_template", "prompt_embeds", "prompt_token_ids"})
"""Settings by which a server says something else than the texts of a body: what lies behind a name, a program that
writes the prompt, and a prompt in numbers."""
_LEAST_BASE64 = 24
_LONGEST_URL = 10_000  # characters
_HARM = re.compile(r"(?:HARM_|BLOCK_)[A-Z_]{1,60}|OFF|SEVERITY|PROBABILITY")
_SWITCHES = {"disable_safety_checker": Json.FALSE, "enable_safety_checker": Json.TRUE}


class Messages:
    """Reads the messages of one body into a conversation."""

    def __init__(self, body: bytes, talk: Conversation) -> None:
        self.body = body
        self.talk = talk
        self.got = talk.got

    def turn(self, slot: str, node: Node, path: Path) -> None:
        """One message, whoever said it. Raises BadRequest for what nobody could judge."""
        if node.kind not in (Json.OBJECT, Json.STRING):
            raise BadRequest(f"{slot} must be an object", param=slot, code="invalid_type")
        texts: list[str] = []
        self.value(node, path, (), texts)
        self.talk.turn(slot, texts)

    def value(self, node: Node, path: Path, above: tuple[str, ...], texts: list[str]) -> None:
        """What stands at `path`; `above` are the names that lead there inside the message, in lower case."""
        if node.kind is Json.STRING:
            self.string(node, path, above, texts)
        elif node.kind is Json.OBJECT:
            self.seen(node, path)
        for index, item in enumerate(node.items):
            self.value(item, (*path, index), above, texts)
        within = (*above, *picture_part(node, self.body))
        for key, member in node.members.items():
            self.value(member, (*path, key), (*within, key.casefold()), texts)

    def seen(self, node: Node, path: Path) -> None:
        """Raises BadRequest for a part that holds what cannot be looked at."""
        kind = node.get("type")
        said = kind.text(self.body).casefold() if kind is not None and kind.kind is Json.STRING else ""
        held = (key.casefold() for key in node.members if node.get(key) is not None)
        unseen = said if said in _UNSEEN_TYPES else next((name for name in held if name in _UNSEEN), None)
        if unseen is not None:
            raise BadRequest(
                f"{name_of(path)} is of type {unseen}, which nobody can judge; send texts and pictures",
                param=name_of(path),
                code="unjudged_media",
            )
        # vLLM keeps pictures of earlier calls and takes one by its `uuid`, whatever picture stands beside it.
        kept = node.get("uuid") is not None and any("image" in name.casefold() for name in (said, *node.members))
        if node.get("file_id") is not None or said == "item_reference" or kept:
            raise BadRequest(
                f"{name_of(path)} refers to what is not in the request; send it itself",
                param=name_of(path),
                code="unjudged_reference",
            )

    def string(self, node: Node, path: Path, above: tuple[str, ...], texts: list[str]) -> None:
        text = node.text(self.body)
        name = above[-1] if above else ""
        if name in SIGNATURES or (name == "data" and "reasoning_details" in above):
            if not SEALED.fullmatch(text) or pictures.looks_like_base64_picture(text):
                raise BadRequest(f"{name_of(path)} is no signature", param=name_of(path), code="invalid_value")
        elif (name in PLAIN and NAME.fullmatch(text)) or (name == "role" and text in ROLES):
            return
        elif (what := what_of(text, above)) is not None:
            self.picture(node, what, path)
        else:
            texts.append(text)

    def picture(self, node: Node, what: What, path: Path) -> None:
        """A picture that a string holds or leads to. Raises BadRequest."""
        slot, param = self.got.image_slot(), name_of(path)
        place = Place(node.start, node.end, quoted=True)
        if what is What.URL:
            self.got.reference(slot, what, node.text(self.body).strip(), param, place)
            return
        encoded = node.text(self.body).encode() if node.escaped else node.raw(self.body)
        self.got.encoded(slot, what, encoded, param, place)
        picture = self.got.inputs[-1]
        if picture is None or pictures.sniff(picture.data or b"") is None:
            raise BadRequest(
                f"{param} is no picture, and nothing else can be judged", param=param, code="invalid_image"
            )

    # --------------------------------------------------------------------------------------------------- settings

    def words(self, slot: str, node: Node) -> None:
        """The words of a declaration (a tool, a schema) as one text."""
        self.said(slot, [spoken(text, path) for path, one in strings(node) if (text := one.text(self.body))])

    def said(self, slot: str, texts: Sequence[str]) -> None:
        """Texts that stand beside a conversation, judged as one."""
        text = self.talk.cleared(slot, "\n".join(one for one in texts if one.strip()))
        if text.strip():
            self.talk.text(slot, text)

    def setting(self, node: Node, path: Path) -> None:
        """A field beside the messages, and all that stands in it: switches, and each string as a `word`."""
        if self.switch(str(path[-1]), node):
            return
        if node.kind is Json.STRING:
            self.word(node, path)
        for key, member in node.members.items():
            self.setting(member, (*path, key))
        for index, item in enumerate(node.items):
            self.setting(item, (*path, index))

    def word(self, node: Node, path: Path) -> None:
        """A string of a setting. Raises BadRequest for what nobody could judge."""
        raise NotImplementedError

    def switch(self, name: str, node: Node) -> bool:
        """Turn a switch of a vendor's own safety back on. True where this is one. Raises BadRequest."""
        if node.kind is Json.NULL:
            return False
        if name.casefold() in BY_REFERENCE:
            raise BadRequest(
                f"{name} brings in what is not among the texts of the request; send it as a message",
                param=name,
                code="unjudged_reference",
            )
        if name in _SWITCHES:
            if node.kind not in _SWITCHES.values():
                raise BadRequest(f"{name} must be true or false", param=name, code="invalid_type")
            if node.kind is not _SWITCHES[name]:
                self.got.clamp(name, Place(node.start, node.end, quoted=False), _SWITCHES[name].value.encode())
            return True
        if name == "moderation" and node.kind is Json.STRING:
            if node.text(self.body) != "auto":
                self.got.clamp(name, Place(node.start, node.end, quoted=True), b"auto")
            return True
        if google.plain(name) == "safetysettings":
            self._thresholds(node)
            return True
        return False

    def _thresholds(self, node: Node) -> None:
        """Google's own, as its OpenAI-compatible address takes them: names in capitals, and nothing else."""
        if node.kind is Json.STRING and not _HARM.fullmatch(node.text(self.body)):
            raise BadRequest("safety_settings holds what is no setting", code="unjudged_field")
        for item in node.items:
            self._thresholds(item)
        for key, member in node.members.items():
            safe = member.kind is Json.STRING and member.text(self.body).upper() in google.SAFE_THRESHOLDS
            if google.plain(key) == "threshold" and not safe and member.kind in (Json.STRING, Json.NUMBER):
                self.got.edits.append((member.start, member.end, b'"' + google.CLAMPED_THRESHOLD + b'"'))
                if "safetySettings" not in self.got.clamped:
                    self.got.clamped.append("safetySettings")
            else:
                self._thresholds(member)


def picture_part(node: Node, body: bytes) -> tuple[str, ...]:
    """What an object's type adds to the names above its members: some servers put the address beside the type."""
    kind = node.get("type")
    said = kind.text(body)[:100].casefold() if kind is not None and kind.kind is Json.STRING else ""
    return ("image",) if "image" in said else ()


def stands(above: tuple[str, ...]) -> bool:
    """True where a picture, or the address of one, is expected: `above` are the names that lead there."""
    name = above[-1] if above else ""
    return name in PICTURE_LEAVES or (name in ("url", "data", "uri") and bool(PICTURE_PARENTS & set(above[:-1])))


def what_of(text: str, above: tuple[str, ...]) -> What | None:
    """The picture that a string of a message is, or None where it is none: by what it holds, and where it stands."""
    if not stands(above):
        return What.BASE64 if pictures.looks_like_base64_picture(text) else None
    if pictures.is_data_url(text):
        return What.DATA_URL
    if pictures.url_scheme(text[:_LONGEST_URL]) is not None:
        return What.URL
    return What.BASE64 if len(text) >= _LEAST_BASE64 and " " not in text[:_LEAST_BASE64] else None
