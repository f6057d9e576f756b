"""diffusers: a pipeline that judges what it is asked for and what it made, whichever pipeline it is.

Most pipelines (SDXL, SD3, Flux, Qwen-Image) have no hook for a safety checker, so the call itself is guarded. This
does not bind the program: code beside it can reach the models. It is for those whom the program paints for.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image

from guardrail.errors import BadRequest, ConfigError, GuardrailError
from guardrail.integrations import arguments
from guardrail.integrations.arguments import Read
from guardrail.integrations.outputs import Output
from guardrail.integrations.pixels import blackened, encoded
from guardrail.pipeline import Case, Guard
from guardrail.pipeline.guard import drive
from guardrail.types import Artifact, Decision, Kind, Request

__all__ = ["Refused", "SafetyChecker", "guard"]

Pipe = TypeVar("Pipe")
OnRefusal = Literal["black", "raise"]
ROUTE = "diffusers"
_SIDE = 512  # pixels of a black picture where nothing says how large it should be
_MOST, _LARGEST = 64, 4096  # black pictures of one refused call, and their longest side: nobody paints what is refused


class Refused(GuardrailError):
    """The guard refused a call or a picture of it; `decision` says why, and its receipt names the record."""

    def __init__(self, decision: Decision) -> None:
        rules = ", ".join(decision.rules) or "none"
        receipt = decision.receipt.id if decision.receipt is not None else "none"
        super().__init__(f"refused ({decision.action.word}) by {rules}; receipt {receipt}")
        self.decision = decision


def guard(
    pipe: Pipe,
    by: Guard,
    *,
    on_refusal: OnRefusal = "black",
    tenant: str = "default",
    allow_unread: bool = False,
) -> Pipe:
    """Guard a pipeline: from now on each call of it is judged before it runs, and each picture before it is returned.

    The pipeline itself is changed, so no unguarded one is left over, and given back. Every text among its arguments is
    judged as a prompt, every picture (PIL, NumPy, tensor) as an input. With "black", a refused picture is black, its
    neighbours stay, and the output has `nsfw_content_detected` (a flag each) and `guardrail` (the decision on each); a
    refused call gives black pictures and never runs. With "raise", either is `Refused`. Films are never half black.

    What cannot be looked at (embeddings and latents, given or asked for, and tensors for callbacks) is refused with
    BadRequest, and callbacks hear of steps without tensors, unless `allow_unread`; the record then names it.

    The call also raises Overloaded and AuditError, as `Guard` does; nothing is returned then.

    Raises ConfigError for a pipeline that is guarded already or takes pictures by another way than its call.
    """
    if on_refusal not in ("black", "raise"):
        raise ConfigError(f"on_refusal is {on_refusal!r}; black or raise is expected")
    kind = type(pipe)
    if hasattr(kind, "guarded_by"):
        raise ConfigError("this pipeline is guarded already")
    if callable(getattr(pipe, "invert", None)):
        raise ConfigError(f"{kind.__name__} takes pictures through invert(), which is not judged; it cannot be guarded")
    original = kind.__call__
    call = _Call(by, original, on_refusal, tenant, allow_unread)

    @functools.wraps(original)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call(self, *args, **kwargs)

    # Under its own name: diffusers goes by the names of classes when it saves pipelines and makes others of them.
    made = type(kind.__name__, (kind,), {"__call__": guarded, "__module__": kind.__module__, "guarded_by": by})
    object.__setattr__(pipe, "__class__", made)
    return pipe


class SafetyChecker:
    """For pipelines of the Stable Diffusion 1 family: `pipe.safety_checker = SafetyChecker(by)`.

    Judges pictures only; `guard` judges prompts and input pictures too. It needs the pipeline's feature extractor, as
    the model that it replaces does. Refused pictures are black and flagged; with "raise", `Refused` is raised.
    """

    def __init__(self, by: Guard, *, on_refusal: OnRefusal = "black", tenant: str = "default") -> None:
        self._by = by
        self._on_refusal = on_refusal
        self._tenant = tenant

    def __call__(self, images: Any, clip_input: Any = None) -> tuple[Any, list[bool]]:
        """Judge a batch: a tensor (N, 3, H, W) in [-1, 1], as the decoder makes it, or an array in [0, 1]."""
        made = [
            (at, Artifact(Kind.OUTPUT, slot, data=data))
            for at, slot, data in encoded(images, "images", signed=not isinstance(images, np.ndarray))
        ]
        self._by.admit()
        case = self._by.open(Request((), (), tenant=self._tenant), route=ROUTE)
        each = drive(case.judge_outputs([artifact for _, artifact in made]))
        overall = case.overall(each)
        bad = frozenset(at for (at, _), one in zip(made, each, strict=True) if one.action.refuses)
        status = "answered" if not bad else "refused" if len(bad) == len(images) else "partly_refused"
        receipt = drive(case.seal(overall, status=status))
        if bad and self._on_refusal == "raise":
            raise Refused(replace(overall, receipt=receipt))
        return blackened(images, bad), [at in bad for at in range(len(images))]


class _Call:
    """One pipeline's calls."""

    def __init__(
        self, by: Guard, original: Callable[..., Any], on_refusal: OnRefusal, tenant: str, allow_unread: bool
    ) -> None:
        self._by = by
        self._original = original
        self._signature = inspect.signature(original)
        self._on_refusal = on_refusal
        self._tenant = tenant
        self._allow_unread = allow_unread

    def __call__(self, pipe: Any, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(pipe, *args, **kwargs)
        named = self._named(bound)
        kind_out = named.get("output_type", self._default("output_type"))
        if kind_out == "latent" and not self._allow_unread:
            raise BadRequest(
                f"output_type: latents cannot be looked at{arguments.UNREAD_HINT}",
                param="output_type",
                code="unreadable",
            )
        read = arguments.read({k: v for k, v in named.items() if k != "callback"}, allow_unread=self._allow_unread)
        self._mute(bound, named, read)
        # Made on any thread, also one whose event loop runs.
        request = Request(tuple(read.given.texts), tuple(one for one in read.given.inputs if one), tenant=self._tenant)
        case = self._by.open(request, route=ROUTE)
        decision = drive(self._ask(case))
        if decision.action.refuses:
            decision = _sealed(case, decision, read, "refused")
            return self._refused_call(pipe, named, read, decision)
        try:
            made = self._original(*bound.args, **bound.kwargs)
            found = Output(made, allow_unread=self._allow_unread)
        except BaseException:
            _sealed(case, decision, read, "failed")
            raise
        return self._answer(case, decision, read, found)

    # -- before the pipeline runs ------------------------------------------------------------------------------

    def _named(self, bound: inspect.BoundArguments) -> dict[str, Any]:
        """The arguments by name, those of `**kwargs` among them, without the pipeline itself."""
        named = dict(list(bound.arguments.items())[1:])
        for parameter in self._signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                named |= named.pop(parameter.name, {})
        return named

    def _default(self, name: str) -> Any:
        parameter = self._signature.parameters.get(name)
        return parameter.default if parameter is not None else None

    async def _ask(self, case: Case) -> Decision:
        try:
            decision = await case.judge_request()
            if not decision.action.refuses:
                # A full queue is said before the pipeline works, not after.
                self._by.admit()
        except GuardrailError as error:
            status = "unreadable_input" if isinstance(error, BadRequest) else "turned_away"
            await case.seal(case.so_far, status=status)
            raise
        return decision

    def _mute(self, bound: inspect.BoundArguments, named: Mapping[str, Any], read: Read) -> None:
        """Callbacks hear of each step, not of its latents: a half-made picture is a picture."""
        hears = [name for name, value in named.items() if value is not None and arguments.STEP.fullmatch(name)]
        if self._allow_unread:
            read.unread += hears
            read.unread += ["callback"] if named.get("callback") is not None else []
            return
        if named.get("callback") is not None:
            raise BadRequest("callback: it is given latents; use callback_on_step_end", param="callback")
        for name in hears:
            if not callable(named[name]) or hasattr(named[name], "tensor_inputs"):
                raise BadRequest(f"{name}: a function is expected; this one is given tensors", param=name)
            inside = [bound.arguments, *(given for given in bound.arguments.values() if isinstance(given, dict))]
            for where in inside:
                if name in where:
                    where[name] = _muted(named[name])

    # -- afterwards ----------------------------------------------------------------------------------------------

    def _answer(self, case: Case, decision: Decision, read: Read, found: Output) -> Any:
        if not found.artifacts and not found.texts and not case.request.artifacts:
            _sealed(case, decision, read, "failed")
            raise BadRequest("nothing of this call could be looked at, neither what was asked nor what was made")
        read.unread += found.unread
        each: list[Decision] = []
        if found.artifacts or found.texts:
            try:
                each = drive(case.judge_outputs(found.artifacts, found.texts))
            except BaseException:
                _sealed(case, decision, read, "failed")
                raise
            decision = case.overall(each)
        bad = sum(one.action.refuses for one in each)
        status = "answered" if not bad else "refused" if bad == len(each) else "partly_refused"
        decision = _sealed(case, decision, read, status)
        if bad and (self._on_refusal == "raise" or not found.artifacts):  # a text cannot be black
            raise Refused(decision)
        return found.without([replace(one, receipt=decision.receipt) for one in each])

    def _refused_call(self, pipe: Any, named: Mapping[str, Any], read: Read, decision: Decision) -> Any:
        """Black pictures in the place of those that were asked for."""
        films = {"num_frames", "video", "video_length"} & self._signature.parameters.keys()
        if self._on_refusal == "raise" or films:
            raise Refused(decision)
        each = named.get("num_images_per_prompt") or self._default("num_images_per_prompt") or 1
        count = min(_MOST, read.prompts * int(each) if isinstance(each, int) else 1)
        width, height = _size(pipe, named)
        images = _black(count, width, height, named.get("output_type", self._default("output_type")))
        if named.get("return_dict", self._default("return_dict")) is False:
            return (images, [True] * count) if hasattr(pipe, "safety_checker") else (images,)
        output = import_module("diffusers.pipelines.pipeline_utils").ImagePipelineOutput(images=images)
        output.nsfw_content_detected = [True] * count
        output.guardrail = (decision,) * count
        return output


def _sealed(case: Case, decision: Decision, read: Read, status: str) -> Decision:
    """Write the record, with what nobody looked at. Raises AuditError; then nothing may be returned."""
    if read.unread and case.request.artifacts:
        first = case.request.artifacts[0]
        first.remarks += tuple(f"{name} was not looked at" for name in read.unread)
    return replace(decision, receipt=drive(case.seal(decision, status=status)))


def _muted(heard: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def step(pipe: Any, at: int, timestep: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
        heard(pipe, at, timestep, {})
        return {}

    return step


def _size(pipe: Any, named: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the pictures that a call asks for, in pixels."""
    side = getattr(pipe, "default_sample_size", None)
    scale = getattr(pipe, "vae_scale_factor", None)
    usual = side * scale if isinstance(side, int) and isinstance(scale, int) else _SIDE
    like = named.get("image")
    width, height = (like.width, like.height) if isinstance(like, Image.Image) else (usual, usual)
    asked = int(named.get("width") or width), int(named.get("height") or height)
    return max(1, min(_LARGEST, asked[0])), max(1, min(_LARGEST, asked[1]))


def _black(count: int, width: int, height: int, output_type: Any) -> Any:
    if output_type == "pil":
        return [Image.new("RGB", (width, height)) for _ in range(count)]
    blank = np.zeros((count, height, width, 3), np.float32)
    if output_type != "pt":
        return blank
    return import_module("torch").from_numpy(blank).permute(0, 3, 1, 2)
