"""Hash lists: the files in which platforms and hotlines hand each other hashes, read whole or not at all.

A line is `pdq <hex>`, `sha256 <hex>` or a bare PDQ hash, with a note after it if any; or the file is CSV with a
header. What a list says was withdrawn is withdrawn: it is the status that counts, and a list that marks a hash
"Withdrawn" never adds it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from guardrail.checks.bank import MAX_ENTRIES, MAX_TEXT, Entry, is_hash
from guardrail.errors import ConfigError
from guardrail.inference.pdq import MIN_QUALITY

MAX_BYTES = 256 << 20
MAX_LINE = 4096
SHOWN = 10

_KINDS = {"pdq": "pdq", "hash_pdq": "pdq", "imagepdq": "pdq", "sha256": "sha256", "hash_sha256": "sha256"}
_OTHER_KINDS = frozenset(
    (
        *(
            "md5",
            "sha1",
            "videomd5",
            "video_md5",
            "video_sha256",
            "hash_md5",
            "hash_sha1",
            "hash_video_md5",
            "videotmk",
        ),
        *("tmk_pdqf", "pdna", "text", "raw_text", "text_string", "trend_query", "url", "uri", "raw_uri", "url_md5"),
    )
)
_IN_FORCE = frozenset({"", "active", "received"})
_ENDED = frozenset({"withdrawn", "deleted"})
_COLUMNS = {
    "kind": ("signaltype", "signal_type", "type", "kind", "hash_type"),
    "hash": ("hashvalue", "hash_value", "hash", "value", "indicator", "signal_value"),
    "status": ("hashstatus", "hash_status", "status"),
    "quality": ("quality",),
    "note": ("note", "description"),
    "pdq": ("pdq",),
    "sha256": ("sha256",),
}


@dataclass
class HashList:
    """What a file holds: entries to add, hashes to withdraw, and how many lines were left out and why."""

    entries: list[Entry] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    other_kinds: int = 0
    low_quality: int = 0


class _BadLine(Exception):
    """What is wrong with a line, without quoting it."""


def read_list(path: Path, *, source: str) -> HashList:
    """Read a hash list; `source` is kept with each entry.

    Raises ConfigError that names the lines that cannot be read, the first SHOWN of them; then nothing of the file
    may be used. Limits: MAX_BYTES a file, MAX_LINE characters a line, MAX_ENTRIES lines.
    """
    found = HashList()
    bad: list[str] = []
    header: list[str] | None = None
    for at, (number, line) in enumerate(_lines(path)):
        try:
            if at == 0 and (header := _header(line)):
                continue
            _take(found, dict(zip(header, _cells(line), strict=False)) if header else _plain(line), source)
        except (_BadLine, ConfigError) as error:
            bad.append(f"line {number}: {str(error).removeprefix('bank: ')}")
    if bad:
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ConfigError(f"{path}: {'; '.join(bad[:SHOWN])}{more}. Nothing was imported")
    if not (found.entries or found.withdrawn or found.other_kinds or found.low_quality):
        raise ConfigError(
            f"{path}: there is no hash in this file; a line is `pdq <64 hex digits>`, or CSV with a header"
        )
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers in the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: over {MAX_BYTES >> 20} MB; split the list")
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for number in range(1, MAX_ENTRIES + 2):
                line = file.readline(MAX_LINE + 1)
                if not line:
                    return
                if len(line) > MAX_LINE:
                    raise ConfigError(f"{path}: line {number} has over {MAX_LINE} characters. Nothing was imported")
                if line.strip() and not line.lstrip().startswith("#"):
                    yield number, line.strip()
            raise ConfigError(f"{path}: over {MAX_ENTRIES} lines; split the list")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text. Nothing was imported") from None


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True))]
    except csv.Error:
        raise _BadLine("a quote is not closed") from None


def _header(line: str) -> list[str] | None:
    """Our names for the columns of a CSV header, or None when this is no header."""
    names = [
        next((ours for ours, theirs in _COLUMNS.items() if cell.strip(' "').lower() in theirs), f"other {at}")
        for at, cell in enumerate(line.split(","))
    ]
    return names if {"hash", "pdq", "sha256"} & set(names) else None


def _plain(line: str) -> dict[str, str]:
    first, _, rest = line.replace(",", " ").partition(" ")
    if is_hash(first.lower()):
        return {"hash": first, "note": rest.strip()}
    digits, _, note = rest.strip().partition(" ")
    return {"kind": first, "hash": digits, "note": note.strip()}


def _take(found: HashList, row: dict[str, str], source: str) -> None:
    kind = row.get("kind", "").lower()
    if kind in _OTHER_KINDS:
        found.other_kinds += 1
        return
    if kind and kind not in _KINDS:
        raise _BadLine("neither a hash of 64 hex digits nor a known kind of hash")
    hashes = {name: row[name].lower() for name in ("pdq", "sha256") if row.get(name)}
    if row.get("hash"):
        hashes[_KINDS.get(kind, "pdq")] = row["hash"].lower()
    if not hashes or not all(map(is_hash, hashes.values())):
        raise _BadLine("a hash of 64 hex digits is expected")
    status = row.get("status", "").lower()
    if status in _ENDED:
        found.withdrawn += hashes.values()
    elif status not in _IN_FORCE:
        raise _BadLine("the status is none of active, received, withdrawn, deleted")
    elif _quality(row) < MIN_QUALITY:
        found.low_quality += 1
    else:
        # A stranger's words: what could steer a terminal that shows them stays out.
        note = "".join(one for one in row.get("note", "")[:MAX_TEXT] if one.isprintable())
        found.entries.append(Entry(**hashes, source=source, note=note))


def _quality(row: dict[str, str]) -> float:
    try:
        return float(row.get("quality") or 100)
    except ValueError:
        raise _BadLine("the quality is no number") from None
