"""What a prompt holds: the texts and pictures of its graph, and the files of the server that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.comfy.files import Known, Name, of_value
from guardrail.upstream.comfy.graph import Graph, Step
from guardrail.upstream.comfy.names import (
    A_FILE,
    A_LATENT,
    A_PLACE,
    IDENTIFIERS,
    LOADED,
    LORAS,
    NAMES,
    PLACES,
    TEXTS,
)
from guardrail.upstream.dialect import FetchFile
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import What, classify, leaf_of, loose, name_of, wordy
from guardrail.upstream.spans import Json, JsonFault, JsonLimits, Node, Path, keys, listed_numbers, scan, strings

JSON = JsonLimits(depth=32, values=200_000)
"""A workflow of the web interface has some sixty values for each node."""
_CREDENTIALS = frozenset({"api_key_comfy_org", "auth_token_comfy_org"})
_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{0,8192}")
_CLIENT = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
JOB = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FEW_WORDS = 3
_STRINGS = re.compile(r"string|text|prompt", re.IGNORECASE)
_LONGEST_KEY = 256  # characters
_NO_PROMPT = frozenset({"prompt", "client_id", "prompt_id", "extra_data"})


@dataclass
class Asked:
    """A prompt that was read; `files` are still to be had."""

    got: Gathered
    graph: Graph
    client: str
    job_id: str | None
    files: dict[Name, str] = field(default_factory=dict)


def gather(body: bytes, limits: Limits, known: Known, classes: frozenset[str] | None) -> Asked:
    """Read a prompt. Raises BadRequest for what is not strict JSON, no graph, unjudgeable or over a limit."""
    try:
        root = scan(body, JSON)
    except JsonFault as fault:
        raise BadRequest(f"the body is not the JSON expected: {fault}", code="invalid_json") from None
    if root.kind is not Json.OBJECT:
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    prompt = root.get("prompt")
    if prompt is None:
        raise BadRequest("prompt is missing", param="prompt", code="no_prompt")
    graph = Graph(prompt, body)
    if classes is not None and any(step.kind not in classes for step in graph.steps.values()):
        raise BadRequest(
            "a node is not of the classes that may be used here; ask the operator", param="prompt", code="not_allowed"
        )
    client = _id(root, body, "client_id", _CLIENT) or ""
    job_id = _id(root, body, "prompt_id", JOB)
    if job_id is not None and known.jobs.get(job_id) is not None:
        raise BadRequest("a prompt of this id is known already", param="prompt_id", code="invalid_value")
    asked = Asked(Gathered(limits), graph, client, job_id)
    _Reader(body, asked).read(root)
    return asked


async def resolve(asked: Asked, fetch_file: FetchFile) -> None:
    """Get every file that the graph names from the server.

    What is judged is what the server would load now, whatever was judged under that name when it was uploaded.
    """
    if len(asked.files) > asked.got.limits.urls:
        raise BadRequest(f"more than {asked.got.limits.urls} files in one prompt", param="prompt", code="too_many_urls")
    for name, slot in asked.files.items():
        data = (await fetch_file(name.query)).data
        if pictures.sniff(data) is None:
            raise BadRequest(f"what {slot} names is no picture", param=slot, code="invalid_image")
        asked.got.picture(slot, data, slot)


def _id(root: Node, body: bytes, name: str, pattern: re.Pattern[str]) -> str | None:
    node = root.get(name)
    if node is None:
        return None
    if node.kind is not Json.STRING or not pattern.fullmatch(node.text(body)):
        raise BadRequest(f"{name} must be a short plain string", param=name, code="invalid_value")
    return node.text(body)


class _Reader:
    def __init__(self, body: bytes, asked: Asked) -> None:
        self.body = body
        self.asked = asked
        self.got = asked.got
        self.said: dict[str, list[str]] = {}
        """The texts of each node, in the order of its inputs."""

    def read(self, root: Node) -> None:
        graph = self.asked.graph
        negative = graph.left_out()
        numbers = 0
        for name, step in graph.steps.items():
            for key in step.links:
                if LOADED.get(step.kind) == key or PLACES.fullmatch(key):
                    # Which file that is, is known once the graph runs.
                    slot = f"node[{name_of((name,))}].{name_of((key,))}"
                    raise _unseen(slot, "takes the name of a file from another node, which nobody could judge")
            for key, value in step.literals.items():
                numbers += listed_numbers(value)
                for path, node in strings(value, (name, key)):
                    self._literal(step, key, path, node, left_out=name in negative)
        self._rest(root)
        numbers += sum(listed_numbers(node) for node in _beside(root))
        for key in _keys(root):
            if len(key) > _LONGEST_KEY:
                raise BadRequest(f"a name is over {_LONGEST_KEY} characters", param="prompt", code="unjudged_field")
            if wordy(key):
                self.got.setting(key)
        if numbers > self.got.limits.numbers:
            raise BadRequest(
                f"lists hold more than {self.got.limits.numbers} numbers, which nobody judges", code="unjudged_field"
            )
        self._joined(negative)
        self.got.settle()

    def _rest(self, root: Node) -> None:
        """Everything beside the inputs of nodes."""
        nowhere = Step("")
        for path, node in strings(root):
            if path[0] == "prompt":
                named = len(path) == 3 and path[2] == "class_type" and not wordy(node.text(self.body))
                if len(path) > 2 and path[2] != "inputs" and node.size and not named:
                    self._setting(path, node)
            elif path[0] == "extra_data" and len(path) > 1 and path[1] in ("extra_pnginfo", *_CREDENTIALS):
                if path[1] in _CREDENTIALS and (len(path) > 2 or not _plain_key(node.text(self.body))):
                    raise BadRequest("a key must be a plain string", param=name_of(path), code="invalid_value")
            elif path[0] not in _NO_PROMPT or len(path) > 1:
                self._literal(nowhere, leaf_of(path), path, node, left_out=False)
        extra = root.get("extra_data")
        if extra is not None and extra.kind is not Json.OBJECT:
            raise BadRequest("extra_data must be an object", param="extra_data", code="invalid_type")
        told = extra.get("extra_pnginfo") if extra is not None else None
        if told is not None and (told.members or told.kind is not Json.OBJECT):
            # The workflow of the web interface: full of texts that are not used, but for nodes that read it.
            self.got.clamp("extra_pnginfo", Place(told.start, told.end, quoted=False), b"{}", bare=True)

    def _setting(self, path: Path, node: Node) -> None:
        text = node.text(self.body)
        self.got.looked_at(text)
        if classify(text, path, NAMES) in (What.SETTING, What.TEXT):
            self.got.setting(text)
        else:
            raise BadRequest(f"{name_of(path)} holds a picture", param=name_of(path), code="unjudged_field")

    def _literal(self, step: Step, key: str, path: Path, node: Node, *, left_out: bool) -> None:
        text = node.text(self.body)
        if not text.strip():
            return
        slot = f"node[{path[0]}].{name_of(path[1:])}" if step.kind and JOB.fullmatch(str(path[0])) else name_of(path)
        names_text = TEXTS.search(key) is not None
        if A_LATENT.fullmatch(text.strip()) and not names_text:
            raise _unseen(slot, "names a picture that was kept as latents, which nobody could judge")
        loads = LOADED.get(step.kind) == key
        if loads or (A_FILE.fullmatch(text.strip()) and not names_text and key != "filename_prefix"):
            self.asked.files.setdefault(of_value(text.strip(), slot), slot)
            if loads:
                return
        what = classify(text, ("inputs", key), NAMES)
        if what in (What.DATA_URL, What.BASE64):
            place = Place(node.start, node.end, quoted=True)
            self.got.encoded(slot, what, text.encode() if node.escaped else node.raw(self.body), slot, place)
            return
        self.got.looked_at(text)
        if what is What.URL or PLACES.fullmatch(key) or (not names_text and A_PLACE.match(text.strip())):
            raise _unseen(slot, "says where something is, which nobody could judge")
        many = len(text.split()) > _FEW_WORDS
        if IDENTIFIERS.fullmatch(key) and not many:
            return
        if names_text or many:
            self.got.text(slot, text, slot, left_out=left_out)
            self.said.setdefault(str(path[0]), []).append(text)
        elif what is What.TEXT or loose(text, ("inputs", key), NAMES):
            # The name of a LoRA says what it was made for.
            self.got.setting(re.sub(r"[_.-]+", " ", text) if LORAS.fullmatch(key) else text)

    def _joined(self, negative: frozenset[str]) -> None:
        """What string nodes may make of their pieces: one after the other, with and without a space between."""
        graph = self.asked.graph
        links = {name: list(self._text_links(step)) for name, step in graph.steps.items()}
        feeding = {source for sources in links.values() for source in sources}
        for name, ends in links.items():
            if not ends or name in feeding:
                continue
            nodes = dict.fromkeys(one for end in ends for one in graph.before(end))
            pieces = [text for one in (*nodes, name) for text in self.said.get(one, ())]
            if len(pieces) > 1:
                for joined, how in ((" ".join(pieces), "joined"), ("".join(pieces), "run-together")):
                    self.got.looked_at(joined)
                    self.got.text(
                        f"node[{name_of((name,))}].{how}", joined, "prompt", left_out=name in negative, whole=True
                    )

    def _text_links(self, step: Step) -> Iterator[str]:
        """The nodes that this one has a text from. `positive` and `negative` mostly are no texts any more."""
        for key, link in step.links.items():
            source = self.asked.graph.steps[link.source]
            if not TEXTS.search(key):
                continue
            if key not in ("positive", "negative") or ("Encode" not in source.kind and _STRINGS.search(source.kind)):
                yield link.source


def _unseen(slot: str, why: str) -> BadRequest:
    return BadRequest(f"{slot} {why}; upload the picture and name it", param=slot, code="unjudged_reference")


def _plain_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None and not pictures.looks_like_base64_picture(text)


def _beside(root: Node) -> Iterator[Node]:
    """What is sent on beside the inputs of nodes, whose links are lists with a number in them."""
    for name, member in root.members.items():
        if name == "prompt":
            for step in member.members.values():
                yield from (told for key, told in step.members.items() if key != "inputs")
        elif name == "extra_data":
            yield from (told for key, told in member.members.items() if key != "extra_pnginfo")
        else:
            yield member


def _keys(root: Node) -> Iterator[str]:
    """Every name in a prompt, but for those of the workflow, which is not sent on."""
    for name, member in root.members.items():
        yield name
        if name != "extra_data":
            yield from keys(member)
        for inner, told in member.members.items() if name == "extra_data" else ():
            yield inner
            yield from keys(told) if inner != "extra_pnginfo" else ()
