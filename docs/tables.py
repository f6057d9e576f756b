"""Writes the tables of the reference that are read from the code: settings, signals, commands and their options.

    python docs/tables.py

Each stands between `<!-- table: NAME -->` and `<!-- end of table -->`; what is written by hand around them stays. A
test compares, so a setting or an option cannot be added without its line here.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from guardrail.checks import installed
from guardrail.cli import app
from guardrail.config import UpstreamSettings, keys
from guardrail.policy import load
from guardrail.policy.model import described
from guardrail.types import SIGNALS

REFERENCE = Path(__file__).parent / "reference"
# What the command-line library adds to each command by itself.
OWN = {"--help", "--install-completion", "--show-completion"}
# Options whose help says nothing, because their name does.
UNSAID = {
    ("version", "option"): "Print the version.",
    ("as_json", "option"): "One JSON document instead of words.",
    ("name", "argument"): "A weight by name; see `list`.",
}


def settings() -> str:
    """Every setting: name, default, environment variable, meaning."""
    lines = ["| setting | default | environment | meaning |", "|---|---|---|---|"]
    for key in keys():
        default = f"`{json.dumps(key.default)}`" if key.default != "" else "(empty)"
        lines.append(f"| `{key.name}` | {default} | `{key.variable}` | {_cell(key.help)} |")
    return "\n".join(lines)


def upstreams() -> str:
    """Every setting of one generator."""
    lines = ["| of one generator | default | meaning |", "|---|---|---|"]
    for key in keys(UpstreamSettings):
        default = "(empty)" if key.default in ("", None) else f"`{json.dumps(key.default)}`"
        lines.append(f"| `{key.name}` | {default} | {_cell(key.help)} |")
    return "\n".join(lines)


def signals() -> str:
    """Every signal, what it says, and the check that gives it."""
    given = {}
    for name, opener in sorted(installed().items()):
        check: Any = opener()
        factors = getattr(check, "factors", None)
        for kind in check.kinds:
            # A check that knows its factors only once it is open gives all of its kind that no other one gives.
            for factor in (
                factors if factors is not None else (s.partition(".")[2] for s in SIGNALS if s.startswith(f"{kind}."))
            ):
                given.setdefault(f"{kind}.{factor}", name)
    lines = ["| signal | check | says |", "|---|---|---|"]
    lines += [f"| `{name}` | `{given.get(name, '')}` | {_cell(says)} |" for name, says in SIGNALS.items()]
    return "\n".join(lines)


def commands() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    parts = []
    for path, command in walk():
        usage = " ".join(["guardrail", *path, *_arguments(command)])
        group = hasattr(command, "list_commands")
        level = "##" if len(path) < 2 else "###"
        parts.append(f"{level} `{usage}`\n\n{_prose(command.help)}")
        options = list(_options(command))
        if options:
            parts.append("\n".join(["| option | meaning |", "|---|---|", *options]))
        elif not group:
            parts.append("No options.")
    return "\n\n".join(parts)


def walk() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command there is, with the words that call it, the top one first."""

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield path, command
        for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
            yield from below(command.get_command(None, name), (*path, name))

    yield from below(typer.main.get_command(app), ())


def _arguments(command: Any) -> list[str]:
    found = []
    for one in command.params:
        if one.param_type_name == "argument":
            name = (one.metavar or one.name.upper()).strip("[].")
            found.append(f"{name if one.required else f'[{name}]'}{'...' if one.nargs == -1 else ''}")
    return found


def _options(command: Any) -> Iterator[str]:
    for one in command.params:
        if OWN & set(one.opts):
            continue
        help_text = _cell(getattr(one, "help", None) or UNSAID.get((one.name, one.param_type_name), ""))
        if one.param_type_name == "argument":
            name = (one.metavar or one.name.upper()).strip("[].")
            yield f"| `{name}` | {help_text} |"
            continue
        value = "" if one.is_flag else f" {one.metavar or one.opts[0].strip('-').upper()}"
        names = ", ".join(f"`{name}{value}`" for name in one.opts)
        default = f" Default: `{one.default}`." if one.default not in (None, False, "", ()) else ""
        yield f"| {names.replace('|', chr(92) + '|')} | {help_text}{default} |"


def _prose(text: str | None) -> str:
    return inspect.cleandoc(text or "").strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def rules() -> str:
    """Every rule of the shipped policy, floors first."""
    lines = ["| rule | action | when | says |", "|---|---|---|---|"]
    for rule in load("default").rules:
        floor = " (floor)" if rule.floor else ""
        lines.append(
            f"| `{rule.id}`{floor} | {rule.action.word} | {_cell(described(rule.when))} | {_cell(rule.says)} |"
        )
    return "\n".join(lines)


TABLES = {"rules": rules, "settings": settings, "upstreams": upstreams, "signals": signals, "commands": commands}


def filled(page: str) -> str:
    """`page` with every table of it as the code has it now."""

    def put(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n\n{TABLES[match[1]]()}\n\n<!-- end of table -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end of table -->", put, page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in sorted(REFERENCE.glob("*.md")):
        before = path.read_text("utf-8")
        after = filled(before)
        if after != before:
            path.write_text(after, "utf-8")
            print(f"wrote {path}")
