"""The pages of the documentation, taken apart: blocks, links, commands and paths."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
AT_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


def pages() -> list[Path]:
    """Every page that somebody may read: those at the top, docs/, and the cards of models/ and serving/."""
    below = [path for folder in ("docs", "models", "serving", "eval") for path in (ROOT / folder).rglob("*.md")]
    return [ROOT / name for name in AT_TOP] + sorted(below)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words behind `runnable`, and what is in it."""

    page: Path
    line: int
    language: str
    marks: dict[str, str] = field(hash=False)
    text: str

    @property
    def id(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    found = []
    text = page.read_text("utf-8")
    for match in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        marks = dict(word.partition("=")[::2] for word in match[2].split())
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, match[1], marks, match[3]))
    return found


def runnable(kind: str | None = None) -> list[Block]:
    """Every block marked `runnable`, or `runnable=kind`."""
    return [
        block
        for page in pages()
        if page.exists()
        for block in blocks(page)
        if "runnable" in block.marks and (kind is None or block.marks["runnable"] == kind)
    ]


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have, as GitHub makes them."""
    made = set()
    for heading in re.findall(r"^#{1,6} +(.+)$", without_fences(page.read_text("utf-8")), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        made.add(words.replace(" ", "-"))
    return made


def tables() -> ModuleType:
    """The script docs/tables.py, as a module."""
    spec = importlib.util.spec_from_file_location("docs_tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
