"""Runs: the folder that one run of a suite leaves, from which every figure can be computed again.

`rows.jsonl` has one line per row in the suite's order and no times in it, so two runs on the same inputs are equal
byte for byte; `timings.jsonl` has the times; `run.json` says what was run with what, and is written last: a folder
without it is a run that did not come to its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from guardrail.errors import ConfigError

FORMAT = 1
MOST_NAMED = 8
"""Differences between two runs that are named."""
RUN, BEGUN, ROWS, TIMINGS = "run.json", "begun.json", "rows.jsonl", "timings.jsonl"


def runs_folder(home: Path) -> Path:
    """Where runs lie under the folder of all state."""
    return home / "evaluate" / "runs"


def checked(name: str) -> str:
    """The name of a run as that of a folder. Raises ConfigError for one that would lie elsewhere."""
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ConfigError(f"run name {name!r}: letters, digits, -, _ and @ are expected")
    return name


def find(name: str, home: Path) -> Path:
    """The folder of a run: a path that is one, else the run of that name. Raises ConfigError when there is none."""
    for folder in (Path(name), runs_folder(home) / name):
        if (folder / RUN).is_file() or (folder / BEGUN).is_file():
            return folder
    there = ", ".join(sorted(path.parent.name for path in runs_folder(home).glob(f"*/{RUN}"))[:20])
    raise ConfigError(f"no run {name!r} as a folder or in {runs_folder(home)}; there are: {there or 'none'}")


def read_run(folder: Path) -> dict[str, Any]:
    """What `run.json` says. Raises ConfigError for a run that did not end, and one of another format."""
    file = folder / RUN
    if not file.is_file():
        raise ConfigError(f"{folder}: the run did not come to its end; `guardrail eval run` with its name goes on")
    try:
        told = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {type(error).__name__}") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ConfigError(f"{file}: format {FORMAT} is expected; run the suite again with this version")
    return told


def part_of(suite: Mapping[str, Any]) -> str:
    """Which rows of its suite a run took, in words; "" for all."""
    part = [f"{name}={value}" for name, value in suite.get("where") or ()]
    part += [f"rows labelled 1 on {suite['only_factor']}"] if suite.get("only_factor") else []
    part += [f"the first {suite['limit']} rows"] if suite.get("limit") else []
    return " and ".join(part)


def given(run: Mapping[str, Any]) -> str:
    """The scores that the policy was told without a check having looked, in words; "" for none."""
    said = []
    for kind, scores in sorted((run.get("assume") or {}).items()):
        words = " and ".join(f"{signal}={score:g}" for signal, score in sorted(scores.items()))
        said += [words if kind == "*" else f"{words} where kind={kind}"] if words else []
    return "; ".join(said)


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Every row of a run, as a stream. Raises ConfigError for a line that is not one."""
    yield from _objects(folder / ROWS)


def timings(folder: Path) -> Iterator[dict[str, Any]]:
    """The time of every row of a run, as a stream."""
    yield from _objects(folder / TIMINGS)


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    read = json.loads(line)
                except ValueError:
                    raise ConfigError(f"{file}:{number}: not JSON; the run was cut off: run it again") from None
                yield read
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def line(content: Mapping[str, Any]) -> bytes:
    """One line of a log: keys sorted, so that equal rows are equal bytes."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class RunLog:
    """Appends to the log of a run, a chunk at a time, each on disk before the next is begun.

    A run that was killed is taken up where its last whole chunk ended: `done` is the number of rows that are there.
    Chunks always begin at multiples of `chunk` rows, so each row meets the same batch mates in either case.
    """

    def __init__(self, folder: Path, begun: Mapping[str, Any], chunk: int, *, fresh: bool = False) -> None:
        """Raises ConfigError when the folder holds a run of something else, or rows of which nothing is said."""
        self.folder = folder
        self.begun = dict(begun)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if fresh:
            for name in (RUN, BEGUN, ROWS, TIMINGS):
                (folder / name).unlink(missing_ok=True)
        self.complete = (folder / RUN).is_file()
        before = self._before()
        if before is None and any((folder / name).exists() for name in (RUN, ROWS)):
            raise ConfigError(
                f"{folder}: does not say what its rows were made with ({BEGUN} is missing or damaged); "
                "give this run another --name, or --fresh to throw them away"
            )
        if before is None:
            _write(folder / BEGUN, self.begun)
        elif differs := list(_differences(before, json.loads(json.dumps(self.begun)))):
            more = f" and {len(differs) - MOST_NAMED} more" if len(differs) > MOST_NAMED else ""
            verb = "differs" if len(differs) == 1 else "differ"
            raise ConfigError(
                f"{folder}: holds a run of something else ({', '.join(differs[:MOST_NAMED])}{more} {verb}); "
                "give this one another --name, or --fresh to throw that one away"
            )
        self._rows = (folder / ROWS).open("ab+")
        self._timings = (folder / TIMINGS).open("ab+")
        whole = min(_lines(self._rows), _lines(self._timings))
        self.done = whole if self.complete else whole - whole % chunk
        for file in (self._rows, self._timings):
            file.truncate(_offset(file, self.done))

    def _before(self) -> dict[str, Any] | None:
        try:
            read = json.loads((self.folder / BEGUN).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return read if isinstance(read, dict) else None

    def append(self, rows: bytes, timings: bytes) -> None:
        """Write a chunk; returns once it is on disk. Timings first: rows are what counts as done."""
        for file, content in ((self._timings, timings), (self._rows, rows)):
            file.seek(0, os.SEEK_END)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def end(self, **more: Any) -> dict[str, Any]:
        """Write `run.json`: what was begun, and what became of it."""
        told = {**self.begun, **more}
        _write(self.folder / RUN, told)
        return told

    def spoiled(self) -> None:
        """Take back that the run came to its end, which another process may have said of the same rows."""
        (self.folder / RUN).unlink(missing_ok=True)

    def close(self) -> None:
        self._rows.close()
        self._timings.close()


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """The dotted names of what one of two runs was made with and the other was not."""
    for name in sorted({*before, *now}):
        was, told = before.get(name), now.get(name)
        if isinstance(was, dict) and isinstance(told, dict):
            yield from _differences(was, told, f"{within}{name}.")
        elif was != told or (name in before) != (name in now):
            yield f"{within}{name}"


def _lines(file: IO[bytes]) -> int:
    """Whole lines of a file; one that was cut off in the middle does not count."""
    file.seek(0)
    count = 0
    while block := file.read(1 << 20):
        count += block.count(b"\n")
    return count


def _offset(file: IO[bytes], lines: int) -> int:
    file.seek(0)
    for _ in range(lines):
        file.readline()
    return file.tell()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_suffix(".part")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
