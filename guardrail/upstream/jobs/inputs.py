"""Free-form inputs of jobs: every model has field names of its own, so each string is judged by what it holds.

A string that is a picture, or the address of one, is a picture wherever it stands; whatever else is said is text or a
setting. Weights by address or name bring in what nobody judges (somebody's likeness, say): only those that the operator
has listed pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from guardrail.errors import BadRequest, ConfigError
from guardrail.upstream import pictures
from guardrail.upstream.bodies import guided, json_object
from guardrail.upstream.dialect import Fetched
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import Vocabulary, What, classify, leaf_of, left_out, loose, name_of, wordy
from guardrail.upstream.spans import Json, Node, Path, keys, strings

TEXTS = 64  # some models take a dozen prompts, one for each shot
NAMES = Vocabulary(
    pictures=frozenset(),
    references=frozenset(),
    file_ids=frozenset(),
    identifiers=frozenset(),
    prompts=frozenset({"prompt", "negative_prompt"}),
    plain=re.compile(
        r"(?:auto|none|true|false|default|custom|png|jpe?g|webp|gif|mp4|landscape|portrait|square|hd|match_input_image"
        r"|(?:landscape|portrait|square)_[a-z0-9_]{1,20}|k_[a-z_]{1,30}|ddim|dpm[a-z_+0-9]{0,30}|euler[a-z_]{0,20}"
        r"|simple|karras|normal|low|medium|high|[0-9]{1,4} ?megapixels?)?",
        re.IGNORECASE,
    ),
)
_ABOUT_SAFETY = r"safety|nsfw|censor|content_filter|moderation|guardrail"
_OFF = re.compile(
    rf"(?:disable|skip|bypass|no|allow|without|ignore|remove)_(?:\w*_)?(?:{_ABOUT_SAFETY})\w*|allow_nudity"
)
_ON = re.compile(
    rf"(?:(?:enable|use|run|apply|with)_)?(?:\w*_)?(?:{_ABOUT_SAFETY})(?:_(?:check|checks|checker|filter|mode|guard))?"
)
_TOLERANCE = re.compile(r"(?:safety|moderation|content_safety)_tolerance")
TOLERANCE = 2
"""The most of a `safety_tolerance` that is sent on: what the makers of FLUX allow for pictures that are edited."""
_LEVELS = {"block_only_high": "block_medium_and_above", "block_none": "block_medium_and_above", "off": "on"}
_LEVEL = re.compile(r"(?:safety|moderation|content)_(?:filter_?)?(?:level|threshold|mode)|moderation")
_WEIGHTS_NAME = re.compile(
    r"lora|weights|checkpoint|ckpt|embedding|safetensors|adapter|textual_inversion|hf_id|hf_model"
)
_PICTURE_NAME = re.compile(r"image|img|mask|picture|photo")
_WEIGHTS_FILE = re.compile(r".{0,8192}\.(?:safetensors|ckpt|pt|pth|bin|onnx|tar|zip|gguf)(?:[?#].{0,2048})?", re.DOTALL)
_BOOLS = frozenset({Json.TRUE, Json.FALSE})
_LONGEST_URL = 10_000


@dataclass(frozen=True)
class Rules:
    """What the operator allows: weights that begin with one of `weights`, and `models` by name; None for any model."""

    weights: tuple[str, ...] = ()
    models: frozenset[str] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], dialect: str) -> Rules:
        """Out of the options `weights` and `models`. Raises ConfigError."""
        weights = _listed(options, "weights", dialect) or ()
        if not all(weights):
            raise ConfigError(f"server.upstreams: {dialect}: an empty entry in weights would allow all of them")
        models = _listed(options, "models", dialect)
        return cls(tuple(weights), None if models is None else frozenset(models))

    def check(self, model: str) -> None:
        """Raises BadRequest for a model that is not among those that may be used. An entry with a * at its end
        stands for all that begin so."""
        if self.models is None or model in self.models:
            return
        if not any(entry.endswith("*") and model.startswith(entry[:-1]) for entry in self.models):
            raise BadRequest(
                "this model is not among those that may be used here; ask the operator",
                status=403,
                param="model",
                code="model_not_allowed",
            )


@dataclass(repr=False)
class Reading:
    """One body that is being read. `own` are the pictures that the generator's own store has, by address."""

    body: bytes
    got: Gathered
    rules: Rules
    own: Callable[[str], bytes | None] = lambda _: None
    joined: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, body: bytes, limits: Limits, rules: Rules, spell: Callable[[str, bytes], bytes]
    ) -> tuple[Reading, Node]:
        """The body as a strict JSON object. Raises BadRequest for what is none."""
        root = json_object(body, limits)
        return cls(body, Gathered(limits, spell), rules), root

    def read(self, node: Node, path: Path = ()) -> None:
        """Everything under `node`, whose fields are named from `path` on. Raises BadRequest."""
        self.got.guided = self.got.guided and guided(node, self.body)
        for key in keys(node):
            self.named(key)
        self._switches(node)
        for at, one in strings(node, path):
            self._string(at, one)

    def named(self, key: str) -> None:
        """The name of a field, which may be a sentence."""
        if wordy(key):
            self.got.setting(key)

    def settle(self) -> None:
        """Once everything was read: texts that a model may put together are judged together, too."""
        if len(self.joined) > 1:
            self.got.text("joined", ", ".join(self.joined), "prompt")
        self.got.settle()

    # --------------------------------------------------------------------------------------------------- switches

    def _switches(self, node: Node) -> None:
        for key, member in node.members.items():
            if member.kind in _BOOLS or member.kind in (Json.STRING, Json.NUMBER):
                self._switch(key.casefold(), key, member)
            self._switches(member)
        for item in node.items:
            self._switches(item)

    def _switch(self, name: str, key: str, node: Node) -> None:
        """A switch of the vendor's own safety stays on, whatever it is called."""
        place = Place(node.start, node.end, quoted=node.kind is Json.STRING)
        if _TOLERANCE.fullmatch(name):
            self._tolerance(key, node, place)
        elif _LEVEL.fullmatch(name) and node.kind is Json.STRING:
            said = node.text(self.body).strip().casefold()
            if said == "low" or said in _LEVELS:
                self.got.clamp(name_of((key,)), place, _LEVELS.get(said, "auto").encode())
        elif (off := _OFF.fullmatch(name)) or _ON.fullmatch(name):
            safe = Json.FALSE if off else Json.TRUE
            if node.kind not in _BOOLS:
                raise BadRequest(f"{name_of((key,))} must be true or false", param=name_of((key,)), code="invalid_type")
            if node.kind is not safe:
                self.got.clamp(name_of((key,)), place, safe.value.encode())

    def _tolerance(self, key: str, node: Node, place: Place) -> None:
        said = node.text(self.body) if node.kind is Json.STRING else self.body[node.start : node.end].decode()
        if not (said.isascii() and said.isdigit() and len(said) < 4):
            raise BadRequest(f"{key} must be a whole number", param=key, code="invalid_type")
        if int(said) > TOLERANCE:
            self.got.clamp(key, place, str(TOLERANCE).encode())

    # ---------------------------------------------------------------------------------------------------- strings

    def _string(self, path: Path, node: Node) -> None:
        text = node.text(self.body)
        if not text.strip():
            return
        if _weights(text, path):
            self._weights(text, path)
            return
        kept = self.own(text)
        if kept is not None:
            self.got.picture(self._slot(path), kept, name_of(path))
            return
        place = Place(node.start, node.end, quoted=True)
        scheme = pictures.url_scheme(text) if len(text) <= _LONGEST_URL else None
        if pictures.is_data_url(text):
            self._encoded(path, node, What.DATA_URL, place)
        elif scheme in ("https", "http"):
            self.got.reference(self._slot(path), What.URL, text.strip(), name_of(path), place)
        elif scheme is None and pictures.looks_like_base64_picture(text):
            self._encoded(path, node, What.BASE64, place)
        else:
            self._words(path, text)

    def _encoded(self, path: Path, node: Node, what: What, place: Place) -> None:
        param = name_of(path)
        encoded = node.text(self.body).encode() if node.escaped else node.raw(self.body)
        self.got.encoded(self._slot(path), what, encoded, param, place)
        picture = self.got.inputs[-1]
        if picture is None or pictures.sniff(picture.data or b"") is None:
            raise BadRequest(
                f"{param} is no picture, and nothing else can be judged", param=param, code="invalid_image"
            )

    def _words(self, path: Path, text: str) -> None:
        self.got.looked_at(text)
        param, leaf = name_of(path), leaf_of(path)
        what = classify(text, path, NAMES)
        if what is What.TEXT:
            without = left_out(leaf) and self.got.guided
            self.got.text(param if len(path) == 1 else f"field:{param}", text, param, left_out=without)
            if not without:
                self.joined.append(text)
        elif what is not What.SETTING:
            raise BadRequest(f"{param} holds what nobody judges", param=param, code="unjudged_field")
        elif loose(text, path, NAMES):
            self.got.setting(text)

    def _slot(self, path: Path) -> str:
        name = name_of(path)
        return name if "mask" in name.casefold() else self.got.image_slot()

    def _weights(self, text: str, path: Path) -> None:
        if not any(text.startswith(allowed) for allowed in self.rules.weights):
            raise BadRequest(
                f"{name_of(path)} brings in weights that nobody has judged; ask the operator to list them",
                param=name_of(path),
                code="unjudged_weights",
            )


async def no_file(file_id: str) -> Fetched:
    """The `FetchFile` of a protocol whose inputs name files by address."""
    raise BadRequest("files are named by address here", param="file_id", code="invalid_file_id")


def _weights(text: str, path: Path) -> bool:
    """True for what says which weights a model is to load: by the name of the field, or by that of the file."""
    leaf = leaf_of(path).casefold()
    if len(text) <= _LONGEST_URL and _WEIGHTS_FILE.fullmatch(text.casefold()) and len(text.split()) == 1:
        return True
    if _PICTURE_NAME.search(leaf):
        return False
    named = [step.casefold() for step in path if isinstance(step, str)]
    return any(_WEIGHTS_NAME.search(name) for name in named) and len(text.split()) == 1


def _listed(options: Mapping[str, Any], key: str, dialect: str) -> list[str] | None:
    found = options.get(key)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"server.upstreams: {dialect}: {key} must be a list of texts")
    return found
