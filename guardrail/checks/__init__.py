"""Checks: each looks at one kind of thing and says what it sees, as calibrated probabilities.

A check is found through the `guardrail.checks` entry point, as anyone's own is: the entry names a class with
`open(tools)`. It knows no HTTP, policy, threads or deadlines; the pipeline adds those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from guardrail.errors import ConfigError
from guardrail.inference.weights import Models
from guardrail.types import Check

GROUP = "guardrail.checks"


@dataclass(frozen=True)
class Tools:
    """What a check may use to open itself.

    `models` hands out verified weights as shared sessions; `home` is the folder of the operator's state (registry,
    block bank); `key(purpose)` gives 32 bytes derived from the operator's key for that purpose alone; `options`
    are the settings of this check from the configuration file.
    """

    models: Models
    home: Path
    key: Callable[[str], bytes]
    options: Mapping[str, Any] = field(default_factory=dict)


class Openable(Protocol):
    """The class that an entry point of the group `guardrail.checks` names."""

    @classmethod
    def open(cls, tools: Tools) -> Check:
        """Make the check ready to score. Raises ConfigError when weights or settings are missing or wrong."""
        ...


def installed() -> dict[str, Callable[[], Openable]]:
    """Name of every installed check, and how to load its class. Nothing is imported until one is loaded."""
    return {entry.name: entry.load for entry in entry_points(group=GROUP)}


def open_check(name: str, tools: Tools) -> Check:
    """Open the check that the entry point `name` names.

    Raises ConfigError when no such check is installed, or when it cannot be opened.
    """
    known = installed()
    if name not in known:
        raise ConfigError(f"no check named {name!r}; installed: {', '.join(sorted(known)) or 'none'}")
    return known[name]().open(tools)
