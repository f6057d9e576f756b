"""The cache of scores: what was seen of the same content by the same models need not be looked at again.

Keys are digests under the operator's key, so nobody without it can tell what was measured; values are scores only.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from blake3 import blake3

import guardrail
from guardrail.evaluate.judging import Seen
from guardrail.evaluate.rows import Row

_PACKAGE = Path(guardrail.__file__).parent
_JUDGING = ("checks", "inference", "pipeline", "upstream/gather.py", "upstream/limits.py", "evaluate/judging.py")
"""What has a part in what is seen of a row, lists of words and heads among it; `gather` reads its texts together."""
_RUNNING = (
    *(*_JUDGING, "policy"),
    *(f"evaluate/{one}" for one in ("attacks", "engine.py", "peers.py", "through_proxy.py")),
)
"""What has a part in the line that a run keeps of a row."""


def code_digest(package: Path = _PACKAGE, *, run: bool = False) -> str:
    """Digest of what scores: a version number does not change while somebody works on a check or a list of words.

    With `run` also of what attacks, asks others and decides.
    """
    digest = blake3()
    for place in _RUNNING if run else _JUDGING:
        for file in sorted((package / place).rglob("*")) or [package / place]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.read_bytes())
    return digest.hexdigest(16)


class Cache:
    """Scores by content and judge, in one SQLite file. Not for several threads.

    `key` are 32 bytes of the operator's, `judge` is what tells this judge's scores from any other's: its models,
    settings and code, and the attack.
    """

    def __init__(self, file: Path, key: bytes, judge: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key = key
        self._judge = judge.encode()
        self._base = sqlite3.connect(file, timeout=60.0)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        self._base.execute("CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY, scores TEXT) WITHOUT ROWID")

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def look(self, rows: Sequence[Row]) -> list[Seen | None]:
        """What is remembered of each row, None for what is not."""
        found: list[Seen | None] = []
        for row in rows:
            hit = self._base.execute("SELECT scores FROM seen WHERE key = ?", (self._of(row),)).fetchone()
            found.append(Seen(json.loads(hit[0]), {}, 0.0) if hit else None)
        return found

    def keep(self, rows: Sequence[Row], seen: Sequence[Seen]) -> None:
        """Remember rows that were looked at whole; an error may be gone the next time, so it is asked again."""
        kept = [
            (self._of(row), _text(one.scores))
            for row, one in zip(rows, seen, strict=True)
            if one.scores and not one.errors and one.action is None
        ]
        with self._base:
            self._base.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", kept)

    def _of(self, row: Row) -> bytes:
        digest = blake3(key=self._key)
        digest.update(self._judge)
        for part, held in (("t", row.texts), ("i", row.inputs), ("o", row.outputs)):
            for one in held:
                content = (
                    one.encode("utf-8", "surrogatepass")
                    if isinstance(one, str)
                    else one
                    if isinstance(one, bytes)
                    else one.read_bytes()
                )
                digest.update(f"{part}{len(content)}:".encode())
                digest.update(content)
        return digest.digest()


def _text(scores: Mapping[str, float]) -> str:
    return json.dumps(dict(scores), sort_keys=True)
