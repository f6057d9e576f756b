"""What every client is put through, and the marks by which the table at the end of a run knows it."""

from __future__ import annotations

import pytest

CASES = {
    "clean": "a clean answer arrives byte for byte",
    "refusal": "a refusal is the client's own typed error, and is asked for once",
    "uncalled": "the generator hears nothing of what is refused before it",
    "words": "a forbidden word in each slot in turn",
    "input": "a bad picture in each place in turn",
    "output": "a bad picture in each channel in turn; not one byte arrives",
    "stream": "streams and previews",
    "caller": "the caller's own credentials arrive, switches are clamped, nothing else is asked",
    "fault": "errors of the generator, and what is closed",
    "record": "the record holds together",
}
# Each door and the clients that knock at it: the environment that each runs in, and how the table calls it. One that
# did not run is shown.
_OPENAI = {"openai3": "openai 3.54.0", "openai2": "openai 2.54.0"}
DOORS = {
    "images": {**_OPENAI, "node": "openai 6.49.0 (npm)"},
    "vendors": _OPENAI,
    "litellm": {"litellm": "litellm 1.106.2"},
    "litellm-gemini": {"litellm": "litellm 1.106.2"},
    "chat": {**_OPENAI, "node": "openai 6.49.0 (npm)"},
    "responses": {**_OPENAI, "node": "openai 6.49.0 (npm)"},
    "gemini": {
        "genai3": "google-genai 3.4.0",
        "genai1": "google-genai 1.60.0",
        "node": "@google/genai 2.32.0 (npm)",
    },
    "a1111": {"webuiapi": "webuiapi 0.9.17"},
    "comfy": {"comfy": "comfy-api-simplified 1.6.0", "comfykit": "comfykit 0.1.12"},
    "replicate": {"replicate": "replicate 1.0.7"},
    "fal": {"fal": "fal-client 1.0.3", "node": "@fal-ai/client 1.10.1 (npm)"},
    "starlette": {"openai3": "openai 3.54.0"},
    "diffusers": {"diffusers": "diffusers 0.42.1"},
}
# What cannot be shown of a client, and why. Any other empty cell is one that a test is missing for.
NOT_APPLICABLE = {
    ("diffusers", "caller"): "a pipeline runs in the program itself: no key goes anywhere, no switch is sent",
}


def case(*names: str, client: str | None = None) -> pytest.MarkDecorator:
    """Says which cases a test shows, and of which client where several run in one environment.

    Raises ValueError for a case that is not in the table.
    """
    unknown = set(names) - set(CASES)
    if unknown or not names:
        raise ValueError(f"no case is called {', '.join(unknown) or 'nothing'}; there are {', '.join(CASES)}")
    return pytest.mark.case(*names, client=client)
