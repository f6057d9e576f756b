"""Names of ComfyUI: which inputs of nodes are texts, names and places, and how a negative prompt is known."""

from __future__ import annotations

import re

from guardrail.upstream.slots import Vocabulary

NAMES = Vocabulary(pictures=frozenset(), file_ids=frozenset(), identifiers=frozenset(), prompts=frozenset())

TEXTS = re.compile(
    r"text|prompt|caption|description|instruction|negative|positive|string|wildcard|value|clip_[gl]|t5xxl|llama|bert"
    r"|mt5xl|find|replace|regex|tags|query|question|message",
    re.IGNORECASE,
)
"""Inputs that are texts however short they are."""
IDENTIFIERS = re.compile(
    r"(?:ckpt|vae|unet|clip|control_net|model|style_model|clip_vision|upscale_model|sampler|config)_name_?[0-9]?"
    r"|scheduler|upscale_method|weight_dtype|filename_prefix"
)
"""Inputs that pick one of a list of the server, or name what is made."""
LORAS = re.compile(r"lora(?:_name)?_?[0-9]{0,2}")
PLACES = re.compile(r"(?:.*_)?(?:dir|directory|folder|path|filepath|url|uri)", re.IGNORECASE)
"""Inputs that say where something is: on the server, or anywhere."""
LOADED = {
    "LoadImage": "image",
    "LoadImageMask": "image",
    "LoadImageOutput": "image",
    "LoadLatent": "latent",
    "LoadVideo": "file",
    "VHS_LoadVideo": "video",
}
"""Nodes that load a file, and the input that names it."""
A_FILE = re.compile(
    r".{1,1000}\.(?:png|jpe?g|jfif|webp|bmp|gif|tiff?|avif|heic|mp4|webm|mov|mkv|avi)(?: ?\[(?:input|output|temp)\])?",
    re.IGNORECASE | re.DOTALL,
)
A_LATENT = re.compile(r".{1,1000}\.latent(?: ?\[(?:input|output|temp)\])?", re.IGNORECASE | re.DOTALL)
"""The name of a picture that was kept as latents (`SaveLatent`): to be drawn on, and for nobody to look at."""
A_PLACE = re.compile(r"/|~|\.\.?[\\/]|[A-Za-z]:[\\/]|\\\\|blake3:", re.IGNORECASE)

SAMPLERS = frozenset({"KSampler", "KSamplerAdvanced", "SamplerCustom", "CFGGuider"})
"""Nodes whose input `negative` is what shall not be in the picture, as long as `cfg` is a number of 1 or more."""
TWO_WAYS = frozenset({"ControlNetApplyAdvanced", "ControlNetApplySD3", "InpaintModelConditioning"})
"""Nodes that pass `positive` on as their first output and `negative` as their second."""
ONE_WAY = frozenset(
    {
        "CLIPTextEncode",
        "CLIPTextEncodeSDXL",
        "CLIPTextEncodeSDXLRefiner",
        "CLIPTextEncodeFlux",
        "CLIPTextEncodeSD3",
        "CLIPTextEncodeLumina2",
        "ConditioningCombine",
        "ConditioningConcat",
        "ConditioningSetArea",
        "ConditioningSetMask",
        "ConditioningSetTimestepRange",
        "PrimitiveString",
        "PrimitiveStringMultiline",
        "StringConcatenate",
    }
)
"""Nodes that pass on what they are given as their first output."""
SOCKET_OUTPUTS = frozenset({"SaveImageWebsocket", "ETN_SendImageWebSocket"})
"""Nodes that send finished pictures over the socket."""
