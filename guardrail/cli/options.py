"""Groups of options: what belongs together reaches a command as one thing, however many options it is given by."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import Any


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of a group, in its place, for each parameter whose type is one.

    A group is a dataclass whose fields are options, all with defaults.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {each.name: each.annotation for each in own if is_dataclass(each.annotation)}
    options = {name: _parameters(group) for name, group in groups.items()}
    shown = [one for each in own for one in options.get(each.name, [each])]

    @wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: group(**{option.name: given.pop(option.name) for option in options[name]})
            for name, group in groups.items()
        }
        command(**made, **given)

    # What typer reads the options from.
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in shown}
    return run


def _parameters(group: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(group, eval_str=True).parameters.values())
