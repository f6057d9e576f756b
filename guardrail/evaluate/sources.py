"""Sources: files of rows as others publish them, read as a stream of plain records.

JSON lines, CSV, TSV, one prompt a line, Parquet, a saved Hugging Face data set, a folder of pictures. A record is a
mapping of column to value, with the place it came from, so that whatever is wrong with it can be pointed at.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from guardrail.errors import ConfigError, extra

LONGEST_LINE = 4 << 20
"""Characters of one line: a prompt is at most 32,000, and a line of more than this is no row."""
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})

Record = tuple[str, Mapping[str, Any]]
"""Where a row stands ("rows/nl.jsonl:12") and its columns."""

_UNPACK: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def records(root: Path, patterns: Sequence[str] = (), *, names: str = "") -> Iterator[Record]:
    """Every record of a file, or of the files in a folder that match one of `patterns`, in the order of their names.

    A folder without `patterns` is a saved data set (Arrow or Parquet files), or a folder of pictures: those have the
    column `path` and, where `names` is a template such as "{age}_{gender}_{rest}", a column for each of its words.

    Raises ConfigError when nothing is there, a file cannot be read, or its form is not known.
    """
    if not root.exists():
        raise ConfigError(f"{root}: does not exist; a file or a folder of rows is expected")
    for file in files(root, patterns):
        place = file.relative_to(root).as_posix() if root.is_dir() else file.name
        try:
            if file.suffix.lower() in PICTURES:
                yield place, {"path": str(file), **(_named(place, names) if names else {})}
            else:
                yield from _read(file, place)
        except UnicodeDecodeError:
            raise ConfigError(f"{file}: not UTF-8, which is expected; save it anew in that encoding") from None
        except (OSError, EOFError, lzma.LZMAError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ConfigError(f"{file}: cannot be read: {why}") from None


def files(root: Path, patterns: Sequence[str] = ()) -> list[Path]:
    """The files that `records` reads. Raises ConfigError when there is none."""
    if root.is_file():
        return [root]
    if patterns:
        found = [file for pattern in patterns for file in sorted(root.glob(pattern)) if file.is_file()]
        found = list(dict.fromkeys(found))  # two patterns may match the same one
    else:
        every = sorted(file for file in root.rglob("*") if file.is_file())
        tables = _tables([file for file in every if file.suffix.lower() in {".arrow", ".parquet"}])
        found = tables or [file for file in every if file.suffix.lower() in PICTURES]
    if not found:
        expected = " or ".join(patterns) or "Arrow or Parquet files, or pictures"
        raise ConfigError(f"{root}: no rows there; {expected} expected")
    return found


def _tables(found: Sequence[Path]) -> list[Path]:
    """Without what is beside the shards that a saved data set names: results that a program of its owner kept there."""
    named: dict[Path, frozenset[str] | None] = {}
    for folder in {file.parent for file in found}:
        try:
            shards = json.loads((folder / "state.json").read_text("utf-8"))["_data_files"]
            named[folder] = frozenset(str(one["filename"]) for one in shards)
        except FileNotFoundError:
            named[folder] = None
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(f"{folder / 'state.json'}: the shards of a saved data set are expected") from None
    kept = []
    for file in found:
        shards = named[file.parent]
        if shards is None or file.name in shards:
            kept.append(file)
    gone = [
        str(folder / one) for folder, shards in named.items() for one in shards or () if not (folder / one).is_file()
    ]
    if gone:
        raise ConfigError(f"{min(gone)}: is missing; state.json beside it names it as a part of the data set")
    return kept


def _read(file: Path, place: str) -> Iterator[Record]:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    packed = suffixes[-1] if suffixes and suffixes[-1] in _UNPACK else ""
    form = (suffixes[-2] if packed and len(suffixes) > 1 else suffixes[-1] if suffixes else "") or "none"
    reader = _READERS.get(form)
    if reader is None:
        raise ConfigError(f"{file}: files that end in {form} are not known; known: {', '.join(sorted(_READERS))}")
    if form in {".parquet", ".arrow"}:
        yield from reader(file, place)
        return
    opened = _UNPACK[packed](file, "rt", encoding="utf-8-sig") if packed else file.open("rt", encoding="utf-8-sig")
    with opened as text:
        yield from reader(text, place)


def _json_lines(text: IO[str], place: str) -> Iterator[Record]:
    for number, line in _lines(text, place):
        try:
            read = json.loads(line)
        except (ValueError, RecursionError):
            raise ConfigError(f"{place}:{number}: not JSON; one object a line is expected") from None
        if not isinstance(read, dict):
            raise ConfigError(f"{place}:{number}: an object is expected, this is a {type(read).__name__}")
        yield f"{place}:{number}", read


def _plain(text: IO[str], place: str) -> Iterator[Record]:
    for number, line in _lines(text, place):
        yield f"{place}:{number}", {"text": line.strip(), "line": number}


def _lines(text: IO[str], place: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in _numbered(text, place) if line.strip())


def _numbered(text: IO[str], place: str) -> Iterator[tuple[int, str]]:
    """Every line with its number; one over the limit is refused before the rest of it is read."""
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            raise ConfigError(f"{place}:{number}: longer than {LONGEST_LINE} characters, which no row is")
        yield number, line


def _table(separator: str) -> Callable[[IO[str], str], Iterator[Record]]:
    def read(text: IO[str], place: str) -> Iterator[Record]:
        rows = csv.reader((line for _, line in _numbered(text, place)), delimiter=separator)
        try:
            for number, record in _records(rows, place, tabs=separator == "\t"):
                yield f"{place}:{number}", record
        except csv.Error as error:
            raise ConfigError(f"{place}:{rows.line_num}: {error}; is a quote left open?") from None

    return read


def _records(rows: Any, place: str, *, tabs: bool) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table by the names in its first line, each with the number of its last line."""
    header = next(rows, None)
    if header is None:
        raise ConfigError(f"{place}: empty; a first line with the names of the columns is expected")
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if twice:  # one of the two would be lost
        raise ConfigError(f"{place}:1: the column {twice[0]!r} is there twice; each needs a name of its own")
    for cells in rows:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ConfigError(f"{place}:{rows.line_num}: {len(cells)} cells, the first line names {len(header)}")
        if tabs and any("\t" in cell and "\n" in cell for cell in cells):
            # Many write tables with tabs without quoting: a text that begins with a quote then takes rows with it.
            raise ConfigError(f"{place}:{rows.line_num}: a quote opens a cell that swallows rows; double each quote")
        yield rows.line_num, dict(zip(header, cells, strict=True))


def _array(text: IO[str], place: str) -> Iterator[Record]:
    """A JSON array of objects, or an object of columns: read whole, since that is how such files are made."""
    try:
        read = json.load(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{place}: not JSON") from None
    if isinstance(read, dict) and read:
        read = _turned(read, place)
    if not isinstance(read, list) or not all(isinstance(row, dict) for row in read):
        raise ConfigError(f"{place}: an array of objects is expected")
    for number, row in enumerate(read, 1):
        yield f"{place}[{number}]", row


def _turned(columns: Mapping[str, Any], place: str) -> Any:
    """Rows of columns that are lists, or objects of row to cell, as pandas writes them."""
    if all(isinstance(column, dict) for column in columns.values()):
        orders = {tuple(column) for column in columns.values()}
        columns = {name: list(column.values()) for name, column in columns.items()}
    elif all(isinstance(column, list) for column in columns.values()):
        orders = {(len(column),) for column in columns.values()}
    else:
        return columns
    if len(orders) > 1:
        raise ConfigError(f"{place}: the columns {', '.join(columns)} are not of the same rows")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _parquet(file: Path, place: str) -> Iterator[Record]:
    number = 0
    with _pyarrow(file, "pyarrow.parquet").ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{place}[{number}]", row


def _arrow(file: Path, place: str) -> Iterator[Record]:
    pa = _pyarrow(file, "pyarrow")
    number = 0
    with pa.memory_map(str(file)) as mapped:
        try:
            batches = pa.ipc.open_stream(mapped)
        except pa.ArrowInvalid:  # a file with a footer, which other writers make
            opened = pa.ipc.open_file(mapped)
            batches = (opened.get_batch(at) for at in range(opened.num_record_batches))
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield f"{place}[{number}]", row


def _pyarrow(file: Path, name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(f"{file}: needs pyarrow: {extra('eval')}") from None


_READERS: Mapping[str, Callable[[Any, str], Iterator[Record]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _array,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".txt": _plain,
    ".parquet": _parquet,
    ".arrow": _arrow,
}


def _named(place: str, template: str) -> dict[str, str]:
    """What a template reads in a file's path without its ending: "{age}_{gender}_{rest}" in "25_1_x"."""
    rest, found = place.rpartition(".")[0], {}
    parts = template.split("{")[1:]
    for at, part in enumerate(parts):
        name, _, separator = part.partition("}")
        if at == len(parts) - 1 or not separator:
            found[name] = rest
            break
        found[name], _, rest = rest.partition(separator)
    return found
