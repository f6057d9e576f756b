"""Suites on disk, a judge of words, and a run of one over the other."""

from __future__ import annotations

import json
from pathlib import Path

from guardrail.evaluate.judging import About, Seen
from guardrail.evaluate.pools import Threads
from guardrail.policy import parse

POLICY = parse(
    """
version: 1
name: test
rules:
  - id: undress-request
    when: {prompt.undress: 0.50, input.person: 0.50}
    action: block
  - id: sexual-prompt
    when: {prompt.sexual: 0.50}
    action: flag
"""
)


def write_suite(folder: Path, rows, **more) -> Path:
    """A suite of prompts in Guardrail's own format."""
    told = {"id": folder.name, "version": "1", "task": "prompt", "factors": ["sexual", "undress"], **more}
    (folder / "rows").mkdir(parents=True)
    (folder / "suite.yaml").write_text(json.dumps(told), "utf-8")  # JSON is YAML
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "rows/en.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def row(number: int, text: str, **labels: int):
    return {
        "id": f"r{number}",
        "pair": f"p{number // 2}",
        "lang": "en",
        "kind": "edit",
        "text": text,
        "labels": labels,
        "slice": {"form": "direct"},
    }


class Words:
    """Says 0.9 where a word stands in one of a row's texts, and could not tell where the text says "blind"."""

    about = About(("words@1",), frozenset({"prompt.sexual", "prompt.undress"}), "words")

    def __init__(self) -> None:
        self.asked: list[int] = []

    def judge(self, rows):
        self.asked.append(len(rows))
        return [self._seen(" ".join(row.texts)) for row in rows]

    def _seen(self, text):
        if "blind" in text:
            return Seen({"prompt.sexual": 0.1}, {"prompt.undress": "could not look"}, 1.0)
        return Seen({"prompt.sexual": 0.9 * ("sexual" in text), "prompt.undress": 0.9 * ("undress" in text)}, {}, 1.0)


def open_words() -> Words:
    """For pools with processes of their own."""
    return Words()


def pool(judge=None) -> Threads:
    return Threads(judge or Words())
