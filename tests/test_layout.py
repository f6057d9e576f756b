"""The layout: a room imports lower floors only, never its neighbours, and every file is in a room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "guardrail"

# From the top: what stands on one line are neighbours.
FLOORS = (
    ("cli", "integrations"),
    ("config", "server", "console", "evaluate"),
    ("pipeline",),
    ("checks", "policy", "upstream", "audit"),
    ("inference",),
    ("types", "errors", "home"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# `home` is built on `errors`, `types` on nothing: the ground floor has an order of its own.
GROUND = {("home", "errors")}


def room_of(path: Path, package: Path = PACKAGE) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every room that a file imports, wherever the import stands, and the line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; rooms are named in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "guardrail" and len(parts) > 1:
                yield parts[1], node.lineno


def upward(path: Path, package: Path = PACKAGE) -> list[str]:
    room = room_of(path, package)
    found = []
    for other, line in imports(path):
        if other == room or other not in FLOOR or (room, other) in GROUND:
            continue
        if FLOOR[other] <= FLOOR[room]:
            found.append(f"{path.relative_to(package.parent)}:{line}: {room} imports {other}, which is not below it")
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_lower_floors_only(path):
    if path == PACKAGE / "__init__.py":
        return  # the front door: it names what users import
    assert room_of(path) in FLOOR, f"{path}: no floor is known for this room"
    assert upward(path) == []


def test_an_upward_import_would_be_found(tmp_path):
    guilty = PACKAGE / "types.py"
    copy = tmp_path / "guardrail" / "types.py"
    copy.parent.mkdir()
    copy.write_text(guilty.read_text("utf-8") + "\ndef late():\n    from guardrail.pipeline import Guard\n", "utf-8")
    assert [line for line in upward(copy, tmp_path / "guardrail") if "types imports pipeline" in line]


def test_only_settings_and_home_read_the_environment():
    readers = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if "os.environ" in (text := path.read_text("utf-8")) or "getenv" in text
    }
    # fetch.py hands the environment on to pip and npm, whose own settings live there.
    assert readers <= {"config.py", "home.py", "inference/fetch.py"}


def test_no_module_opens_a_network_connection_when_imported():
    for path in FILES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Expr | ast.Assign) and "urlopen" in ast.unparse(node):
                raise AssertionError(f"{path}:{node.lineno} fetches at import")
