"""Routes of the AUTOMATIC1111 API and its kin: which are judged, which pass, and that all else is closed.

A route is compared as the bytes that came; nothing is decoded, folded or tidied up first. The Gradio interface
generates too, by routes of its own (`/run/predict`, `/queue/join`): these are closed.
"""

from __future__ import annotations

from collections.abc import Set
from enum import Enum

from guardrail.upstream.dialect import Door


class Route(Enum):
    """A judged route."""

    TXT2IMG = "txt2img"
    IMG2IMG = "img2img"
    EXTRA_SINGLE = "extra-single-image"
    EXTRA_BATCH = "extra-batch-images"
    DETECT = "controlnet-detect"
    PNG_INFO = "png-info"
    INTERROGATE = "interrogate"
    OPTIONS = "options"
    PROGRESS = "progress"
    TASK_PROGRESS = "task-progress"


BASE = "/sdapi/v1"
GENERATING = frozenset({Route.TXT2IMG, Route.IMG2IMG})
PICTURED = GENERATING | {Route.EXTRA_SINGLE, Route.EXTRA_BATCH, Route.DETECT}
"""Routes whose answer has pictures of its own."""
POLLS = frozenset({Route.PROGRESS, Route.TASK_PROGRESS})

JUDGED = {
    ("POST", f"{BASE}/txt2img"): Route.TXT2IMG,
    ("POST", f"{BASE}/img2img"): Route.IMG2IMG,
    ("POST", f"{BASE}/extra-single-image"): Route.EXTRA_SINGLE,
    ("POST", f"{BASE}/extra-batch-images"): Route.EXTRA_BATCH,
    ("POST", "/controlnet/detect"): Route.DETECT,
    ("POST", f"{BASE}/png-info"): Route.PNG_INFO,
    ("POST", f"{BASE}/interrogate"): Route.INTERROGATE,
    ("POST", f"{BASE}/options"): Route.OPTIONS,
    ("GET", f"{BASE}/progress"): Route.PROGRESS,
    ("POST", "/internal/progress"): Route.TASK_PROGRESS,
}
_READ = (
    "cmd-flags embeddings face-restorers hypernetworks latent-upscale-modes loras memory options prompt-styles "
    "realesrgan-models samplers schedulers script-info scripts sd-models sd-modules sd-vae upscalers"
)
_CONTROLNET = "control_types model_list module_list settings version"
_DO = "refresh-checkpoints refresh-embeddings refresh-loras refresh-vae"
CONTROLS = frozenset({"interrupt", "skip", "reload-checkpoint", "unload-checkpoint"})
"""What reaches whatever is being made, whoever asked for it: the server knows no users. Closed until opened by name."""
PASSED = frozenset(
    {("GET", f"{BASE}/{name}") for name in _READ.split()}
    | {("GET", f"/controlnet/{name}") for name in _CONTROLNET.split()}
    | {("POST", f"{BASE}/{name}") for name in _DO.split()}
)


def judged(method: str, path: str) -> Route | None:
    """The judged route that this is, or None."""
    return JUDGED.get((method, path))


def door(method: str, path: str, controls: Set[str]) -> Door:
    """What to do with a route: `path` as the client sent it, without the query. `controls` are those that are open."""
    if judged(method, path) is not None:
        return Door.JUDGED
    opened = method == "POST" and path.startswith(f"{BASE}/") and path.removeprefix(f"{BASE}/") in controls
    return Door.PASSED if opened or (method, path) in PASSED else Door.CLOSED
