"""JSON bodies of the AUTOMATIC1111 API: prompts, pictures, arguments of scripts, and settings for one call."""

from __future__ import annotations

import re

import pybase64

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.a1111.prompts import readings, styles_in
from guardrail.upstream.a1111.routes import GENERATING, Route
from guardrail.upstream.a1111.slots import (
    A_PLACE,
    IDENTIFIERS,
    IMAGES,
    NAMES,
    PICTURE_LEAVES,
    PICTURES,
    PLACES,
    PROMPTS,
    SAVING,
    SETTINGS,
    SWITCHES,
    Rules,
)
from guardrail.upstream.bodies import guided, json_object
from guardrail.upstream.gather import Gathered, Place, too_large
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import What, classify, leaf_of, left_out, loose, name_of, names_content, wordy
from guardrail.upstream.spans import Json, Node, Path, keys, strings

_BOOLS = {Json.TRUE: True, Json.FALSE: False}
_FEW_WORDS = 3
_PLOT = re.compile(r"x/?y", re.IGNORECASE)
_PLAIN_DATA_URL = re.compile(rb"data:image/[a-z0-9.+-]{1,40};base64,")
_WORDED = ("prompt", "hr_prompt")
_SETTINGS = "override_settings"
_NEEDS = {
    Route.IMG2IMG: "init_images",
    Route.EXTRA_SINGLE: "image",
    Route.EXTRA_BATCH: "imageList",
    Route.PNG_INFO: "image",
    Route.INTERROGATE: "image",
    Route.DETECT: "controlnet_input_images",
}


def gather(body: bytes, route: Route, limits: Limits, rules: Rules) -> Gathered:
    """Read a body. Raises BadRequest for what is not strict JSON, of a wrong type, unjudgeable or over a limit."""
    root = json_object(body, limits)
    reader = _Reader(body, route, Gathered(limits), rules)
    reader.read(root)
    return reader.got


class _Reader:
    def __init__(self, body: bytes, route: Route, got: Gathered, rules: Rules) -> None:
        self.body = body
        self.route = route
        self.got = got
        self.rules = rules
        self.worded: list[str] = []
        """What the server may put together with the prompt, in the order of the request."""

    def read(self, root: Node) -> None:
        self._switches(root)
        if self.route is Route.OPTIONS:
            self._settings(root, ())
        else:
            self._settings(root.get(_SETTINGS), (_SETTINGS,))
        if self.route in GENERATING:
            self._count(root)
            self._scripts(root)
            self.got.guided = self.got.guided and guided(root, self.body)
        self._prompts(root)
        for key in keys(root):
            if wordy(key):
                self.got.setting(key)
        for path, node in strings(root):
            if self.route is Route.OPTIONS or path[0] == _SETTINGS:
                self._setting(path, node)
            elif path[0] not in ("styles", *PROMPTS):
                self._string(path, node)
        if len(self.worded) > 1:
            self.got.text("joined", ", ".join(self.worded), "prompt")
        self.got.settle()
        needed = _NEEDS.get(self.route)
        if needed is not None and not self.got.images:
            raise BadRequest(f"{needed} is missing", param=needed, code="missing_required_parameter")

    # ------------------------------------------------------------------------------------------------- switches

    def _switches(self, root: Node) -> None:
        for name, safe in SWITCHES.items():
            node = root.get(name)
            if node is not None:
                self._switch(name, node, safe=safe)

    def _switch(self, name: str, node: Node, *, safe: bool) -> None:
        # The server's own reader takes 1, "yes" and "on" for true.
        if node.kind not in _BOOLS:
            raise BadRequest(f"{name} must be true or false", param=name, code="invalid_type")
        if _BOOLS[node.kind] is not safe:
            self.got.clamp(name, Place(node.start, node.end, quoted=False), b"true" if safe else b"false", bare=True)

    def _settings(self, node: Node | None, path: Path) -> None:
        """Settings change what the server keeps and where: only those pass that say how a picture is computed."""
        if node is None:
            return
        if node.kind is not Json.OBJECT:
            raise BadRequest(f"{_SETTINGS} must be an object", param=_SETTINGS, code="invalid_type")
        for name, member in node.members.items():
            where = name_of((*path, name))
            if name not in SETTINGS | self.rules.settings:
                raise BadRequest(
                    f"{where} is not among the settings that a call may change here; ask the operator",
                    param=where,
                    code="setting_not_allowed",
                )
            if name in SAVING and member.kind is not Json.NULL:
                self._switch(name, member, safe=False)
            elif member.kind is Json.OBJECT:
                raise BadRequest(f"{where} must not be an object", param=where, code="invalid_type")

    def _setting(self, path: Path, node: Node) -> None:
        text = node.text(self.body)
        self.got.looked_at(text)
        if pictures.is_data_url(text) or pictures.looks_like_base64_picture(text) or pictures.url_scheme(text):
            raise BadRequest(
                f"{name_of(path)} holds what is no setting", param=name_of(path), code="setting_not_allowed"
            )
        if len(text.split()) > _FEW_WORDS:
            self.got.text(f"field:{name_of(path)}", text, name_of(path))

    def _count(self, root: Node) -> None:
        count = 1
        for name in ("batch_size", "n_iter"):
            node = root.get(name)
            if node is None:
                continue
            raw = self.body[node.start : node.end]
            if node.kind is not Json.NUMBER or not raw.isdigit() or len(raw) > 4 or not int(raw):
                raise BadRequest(f"{name} must be a whole number from 1 on", param=name, code="invalid_value")
            count *= int(raw)
        if count > self.got.limits.entries:
            raise BadRequest(
                f"batch_size times n_iter is {count}; at most {self.got.limits.entries} pictures are judged at once",
                param="n_iter",
                code="invalid_value",
            )
        self.got.count = count

    def _scripts(self, root: Node) -> None:
        allowed = self.rules.scripts
        scripts = root.get("alwayson_scripts")
        if scripts is not None and scripts.kind is not Json.OBJECT:
            raise BadRequest("alwayson_scripts must be an object", param="alwayson_scripts", code="invalid_type")
        name = root.get("script_name")
        if name is not None and name.kind is not Json.STRING:
            raise BadRequest("script_name must be a string", param="script_name", code="invalid_type")
        if name is not None and _PLOT.search(name.text(self.body)):
            self.got.guided = False  # it draws the same with other settings, a guidance of 0 among them
        named = [] if scripts is None else list(scripts.members)
        named += [] if name is None else [name.text(self.body)]
        if allowed is not None and any(one and one.casefold().strip() not in allowed for one in named):
            raise BadRequest(
                "a script is not among those that may be used here; ask the operator",
                param="alwayson_scripts",
                code="script_not_allowed",
            )

    # -------------------------------------------------------------------------------------------------- prompts

    def _prompts(self, root: Node) -> None:
        infotext = root.get("infotext")
        if infotext is not None and (infotext.kind is not Json.STRING or infotext.size):
            # The server reads any field out of it, settings too.
            raise BadRequest("infotext is not read here; send its fields", param="infotext", code="unjudged_field")
        for name in sorted(PROMPTS, key=lambda one: (one != "prompt", one)):
            node = root.get(name)
            if node is None:
                continue
            if node.kind is not Json.STRING:
                raise BadRequest(f"{name} must be a string", param=name, code="invalid_type")
            self._prompt(name, node)
        styles = root.get("styles")
        if styles is not None:
            if styles.kind is not Json.ARRAY or any(item.kind is not Json.STRING for item in styles.items):
                raise BadRequest("styles must be a list of names", param="styles", code="invalid_type")
            for item in styles.items:
                self._style(item.text(self.body))

    def _prompt(self, name: str, node: Node) -> None:
        text = node.text(self.body)
        classify(text, (name,), NAMES)  # a prompt that is a picture is refused
        if not text.strip():
            return
        self.got.looked_at(text)
        self.got.text(name, text, name, left_out=left_out(name))
        for style in styles_in(text):
            self._style(style)
        if name in _WORDED:
            said = readings(text)
            for number, one in enumerate(said):
                self.got.text(f"{name}:{'plain' if len(said) == 1 else 'end' if number else 'start'}", one, name)
            self.worded.append(said[-1] if said else text)

    def _style(self, name: str) -> None:
        name = name.strip()
        if not name or name.casefold() == "none":
            return
        text = self.rules.styles.get(name)
        if text is None:
            raise BadRequest(
                "a style is named whose text is not known here, so nobody could judge it; send its text in the "
                "prompt, or ask the operator to list the style",
                param="styles",
                code="unknown_style",
            )
        if text.strip():
            self.got.text(f"style[{name_of((name,))}]", text, "styles")
            self.worded.append(text)

    # --------------------------------------------------------------------------------------------- other strings

    def _string(self, path: Path, node: Node) -> None:
        text = node.text(self.body)
        if not text.strip():
            return
        leaf = leaf_of(path)
        what = classify(text, path, NAMES)
        if what in (What.SETTING, What.TEXT):
            if leaf in PICTURE_LEAVES and path[0] not in IDENTIFIERS:
                what = What.BASE64  # a picture is meant: what is none would be a file of the server
            else:
                self._words(path, text, leaf, what)
                return
        param = name_of(path)
        if path[0] in IMAGES:
            slot = self.got.image_slot()
        else:
            slot = str(path[0]) if path[0] in PICTURES and len(path) <= 2 else f"field:{param}"
        place = Place(node.start, node.end, quoted=True)
        if what is What.URL:
            self.got.reference(slot, what, text.strip(), param, place)
        elif what is What.DATA_URL and not _PLAIN_DATA_URL.match(bytes(node.raw(self.body)[:60])):
            self._rewrite(slot, text, param, place)
        else:
            self.got.encoded(slot, what, text.encode() if node.escaped else node.raw(self.body), param, place)
            got = self.got.inputs[-1]
            if got is None or pictures.sniff(got.data or b"") is None:
                # "face" is base64 too, and where a picture is missing some scripts read the name of a file.
                raise BadRequest(f"{param} is no picture; send it as base64", param=param, code="invalid_image")

    def _rewrite(self, slot: str, text: str, param: str, place: Place) -> None:
        """The server knows a data URL by "data:image/" alone and reads everything else as base64 with holes in it."""
        try:
            data = pictures.decode_data_url(text.encode(), self.got.limits.image_bytes).data
        except pictures.TooLarge:
            raise too_large(param, self.got.limits) from None
        except pictures.PictureFault as fault:
            raise BadRequest(f"{param} {fault}; send a picture as base64", param=param, code="invalid_image") from None
        self.got.picture(slot, data, param)
        self.got.edits.append(place.becomes(pybase64.b64encode(data)))

    def _words(self, path: Path, text: str, leaf: str, what: What) -> None:
        self.got.looked_at(text)
        param = name_of(path)
        named = PLACES.search(leaf) or ("prompt" not in leaf.lower() and A_PLACE.match(text.strip()))
        if named and path[0] != "imageList":
            raise BadRequest(
                f"{param} says where something is on the server, which nobody could judge; send the picture itself",
                param=param,
                code="unjudged_field",
            )
        meant = names_content(leaf) and leaf not in PICTURE_LEAVES
        if what is What.TEXT and (len(text.split()) > _FEW_WORDS or (meant and "prompt" in leaf.lower())):
            negative = left_out(leaf) and self.got.guided
            self.got.text(f"field:{param}", text, param, left_out=negative)
            if not negative:
                self.worded.append(text)
        elif what is What.TEXT or loose(text, path, NAMES):
            self.got.setting(text)
            if leaf in ("args", "script_args"):
                self.worded.append(text)
