"""Hash lists: the files in which platforms and hotlines hand each other hashes, read whole or not at all.

A line is `pdq <hex>`, `sha256 <hex>` or a bare PDQ hash, with a note after it if any; or the file is CSV with a
header, or JSON: records as StopNCII and ThreatExchange answer with. What a list says was withdrawn is withdrawn: it is
the status that counts, and a list that marks a hash "Withdrawn" never adds it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guardrail.checks.bank import ACTIVE, MAX_TEXT, RETRACTED, WITHDRAWN, Entry, Retraction, is_hash
from guardrail.errors import ConfigError
from guardrail.inference.image.pdq import MIN_QUALITY

MAX_BYTES = 256 << 20
MAX_JSON_BYTES = 64 << 20
MAX_LINE = 4096
SHOWN = 10
MAX_LINES = 1_000_000

_KINDS = {"pdq": "pdq", "hash_pdq": "pdq", "imagepdq": "pdq", "sha256": "sha256", "hash_sha256": "sha256"}
_OTHER_KINDS = frozenset(
    [
        "md5",
        "sha1",
        "videomd5",
        "video_md5",
        "video_sha256",
        "hash_md5",
        "hash_sha1",
        "hash_video_md5",
        "videotmk",
        "tmk_pdqf",
        "pdna",
        "ssvh_pdna",
        "ssvh_safer_hash",
        "netclean",
        "videntifier",
        "text",
        "raw_text",
        "text_string",
        "trend_query",
        "url",
        "uri",
        "raw_uri",
        "url_md5",
        "hash_url_md5",
        "unknown",
    ]
)
_IN_FORCE = frozenset({"", "active", "received", "malicious", "suspicious"})
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
    withdrawn: list[Retraction] = field(default_factory=list)
    other_kinds: int = 0
    low_quality: int = 0
    more: bool = False
    """The list says that it is one page of several."""


class _BadLine(Exception):
    """What is wrong with a line, without quoting it."""


def read_list(path: Path, *, source: str) -> HashList:
    """Read a hash list; `source` is kept with each entry.

    Raises ConfigError that names the lines that cannot be read, the first SHOWN of them; then nothing of the file
    may be used. Limits: MAX_BYTES a file, MAX_LINE characters a line, MAX_LINES lines.
    """
    found = HashList()
    bad: list[str] = []
    rows = _records(path, found) if _is_json(path) else _rows(path)
    for place, row in rows:
        try:
            if isinstance(row, _BadLine):
                raise row
            _take(found, row, source)
        except (_BadLine, ConfigError) as error:
            bad.append(f"{place}: {str(error).removeprefix('bank: ')}")
    if bad:
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ConfigError(f"{path}: {'; '.join(bad[:SHOWN])}{more}. Nothing was imported")
    if not (found.entries or found.withdrawn or found.other_kinds or found.low_quality):
        raise ConfigError(
            f"{path}: there is no hash in this file; a line is `pdq <64 hex digits>`, or CSV with a header"
        )
    return found


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str] | _BadLine]]:
    """The lines of a list as our columns, each with its place in the file."""
    header: list[str] | None = None
    for at, (number, line) in enumerate(_lines(path)):
        if at == 0 and (header := _header(line)):
            continue
        try:
            yield f"line {number}", dict(zip(header, _cells(line), strict=False)) if header else _plain(line)
        except _BadLine as error:
            yield f"line {number}", error


def _is_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _records(path: Path, found: HashList) -> Iterator[tuple[str, dict[str, str] | _BadLine]]:
    """The records of a JSON list: at the top, or below `hashRecords`, `data` or `records` as an exchange answers."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ConfigError(f"{path}: over {MAX_JSON_BYTES >> 20} MB of JSON; ask for smaller pages")
        page: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: broken or truncated JSON. Nothing was imported") from None
    if isinstance(page, dict):
        paging = page.get("paging")
        found.more = page.get("hasMoreRecords") is True or (isinstance(paging, dict) and bool(paging.get("next")))
        page = next((page[name] for name in ("hashRecords", "data", "records") if name in page), None)
    if not isinstance(page, list) or len(page) > MAX_LINES:
        raise ConfigError(f"{path}: a list of at most {MAX_LINES} records is expected below `hashRecords` or `data`")
    for number, record in enumerate(page, 1):
        yield f"record {number}", _columns(record)


def _columns(record: object) -> dict[str, str] | _BadLine:
    """A record as our columns; numbers and texts are taken, what is nested is not looked at."""
    if not isinstance(record, dict):
        return _BadLine("a record with a hash and its kind is expected")
    lower = {str(name).lower(): value for name, value in record.items()}
    row: dict[str, str] = {}
    for ours, theirs in _COLUMNS.items():
        value = next((lower[name] for name in theirs if name in lower), None)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            row[ours] = str(value).strip()
        elif value is not None:
            return _BadLine(f"its {ours} is no text")
    if lower.get("should_delete") is True:
        row["status"] = "deleted"
    return row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers in the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: over {MAX_BYTES >> 20} MB; split the list")
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for number in range(1, MAX_LINES + 2):
                line = file.readline(MAX_LINE + 1)
                if not line:
                    return
                if len(line) > MAX_LINE:
                    raise ConfigError(f"{path}: line {number} has over {MAX_LINE} characters. Nothing was imported")
                if line.strip() and not line.lstrip().startswith("#"):
                    yield number, line.strip()
            raise ConfigError(f"{path}: over {MAX_LINES} lines; split the list")
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
        found.withdrawn += (Retraction(digits, source) for digits in hashes.values())
    elif status not in _IN_FORCE:
        raise _BadLine("the status is none of active, received, withdrawn, deleted")
    elif not _quality(row) >= MIN_QUALITY:  # NaN is no quality either
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


def plain_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Entries as ThreatExchange's own tools read a local file: one `pdq <hex>` or `sha256 <hex>` a line.

    It has no place for a withdrawal, so entries that are not active are left out.
    """
    for entry in entries:
        if entry.status == ACTIVE:
            yield from (f"{kind} {digits}\n" for kind, digits in _hashes(entry))


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Entries as CSV with a header, withdrawn ones with their status: who imports it withdraws them too.

    What one source took back and another of these entries holds is active. As `Bank.each_entry` gives them, what was
    taken back comes before all else; here it comes last, where nobody holds it.
    """
    yield "signalType,hashValue,hashStatus,note\n"
    retracted: dict[tuple[str, str], None] = {}
    for entry in entries:
        if entry.status == RETRACTED:
            retracted |= dict.fromkeys(_hashes(entry))
            continue
        for kind, digits in _hashes(entry):
            retracted.pop((kind, digits), None)
            yield _csv_line(kind, digits, entry.status.capitalize(), entry.note)
    for kind, digits in retracted:
        yield _csv_line(kind, digits, WITHDRAWN.capitalize(), "")


def _csv_line(*cells: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _hashes(entry: Entry) -> list[tuple[str, str]]:
    return [(kind, digits) for kind, digits in (("pdq", entry.pdq), ("sha256", entry.sha256)) if digits]
