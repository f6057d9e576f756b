"""Dialects by name: those that come with Guardrail, and others through the entry point group `guardrail.dialects`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points

from guardrail.errors import ConfigError
from guardrail.upstream.dialect import Dialect, Openable, Setup

GROUP = "guardrail.dialects"
BUILT_IN = {
    "openai": "guardrail.upstream.openai:OpenAIImages",
    "moderation": "guardrail.upstream.moderation:Moderation",
    "gemini": "guardrail.upstream.gemini:Gemini",
    "chat": "guardrail.upstream.chat:Chat",
    "responses": "guardrail.upstream.responses:Responses",
    "openai-all": "guardrail.upstream.several:OpenAI",
    "a1111": "guardrail.upstream.a1111:A1111",
    "comfy": "guardrail.upstream.comfy:Comfy",
    "replicate": "guardrail.upstream.replicate:Replicate",
    "fal": "guardrail.upstream.fal:Fal",
}
# These ask no generator: an upstream that speaks one of them has no address.
NO_ADDRESS = frozenset({"moderation"})
# What these remember of one call for the next, another process does not know: it refuses what it would need it for.
ONE_PROCESS = frozenset({"responses", "openai-all", "replicate", "fal"})


def installed() -> dict[str, Callable[[], Openable]]:
    """Name of every dialect there is, and how to load its class. Nothing is imported until one is loaded."""
    found: dict[str, Callable[[], Openable]] = {name: partial(_load, where) for name, where in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, entry.load)
    return found


def open_dialect(name: str, setup: Setup) -> Dialect:
    """Open the dialect of that name. Raises ConfigError when there is none, or when its options are wrong."""
    known = installed()
    if name not in known:
        raise ConfigError(f"no dialect is called {name!r}; there are {', '.join(sorted(known))}")
    return known[name]().open(setup)


def _load(where: str) -> Openable:
    module, _, name = where.partition(":")
    found: Openable = getattr(import_module(module), name)
    return found
