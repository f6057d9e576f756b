"""Names of the OpenAI Images API, and of the servers that copy it: which fields are pictures, prompts and settings."""

from __future__ import annotations

import re

from guardrail.upstream.slots import Vocabulary

PICTURES = frozenset({"image", "images", "mask", "markup"})
SCALARS = frozenset(
    {
        "prompt",
        "negative_prompt",
        "model",
        "n",
        "size",
        "quality",
        "background",
        "style",
        "output_format",
        "output_compression",
        "frame_count",
        "frame_duration_ms",
        "complexity",
        "response_format",
        "stream",
        "partial_images",
        "moderation",
        "user",
        "safety_identifier",
        "input_fidelity",
        "disable_safety_checker",
        "enable_safety_checker",
    }
)
KNOWN = PICTURES | SCALARS | {"svg", "image_url", "file_id"}
NAMES = Vocabulary(
    pictures=PICTURES,
    identifiers=frozenset({"model", "user", "safety_identifier"}),
    plain=re.compile(
        r"(?:auto|vivid|natural|transparent|opaque|low|medium|high|standard|hd|url|image_url|b64_json|base64|png|jpe?g|webp|true|false|none)?",
        re.IGNORECASE,
    ),
)


def misspelled(name: str) -> bool:
    """True for a known field in another spelling, which some servers take for it: "Prompt", "prompt[]", "IMAGE"."""
    folded = name.casefold()
    base = folded.split("[", 1)[0].strip(" .")
    if folded in KNOWN:
        return folded != name
    return base in SCALARS or (base in KNOWN and base != name.split("[", 1)[0])
