"""How records look on a terminal: a list, and one record explained to somebody who was not there.

A record is what somebody wrote: whatever it lacks is left out, whatever it says is printed without control
characters, and a shape that is not expected is shown as it is, never a crash.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from guardrail.audit import Record
from guardrail.policy.model import ACTIONS
from guardrail.policy.unjudged import NONE, OURS

UNSEALED = Text("DOES NOT HOLD: changed since it was written, or signed with another key", "bold red")
MOST_SAID = 8
"""Items of a list that are shown; a change may be about thousands."""
# What has a place of its own in the explanation; the rest of a decision's body is shown as it is.
_SHOWN = {"receipt", "signals", "reasons", "stage", "would", "policy", "policy_sha256", "route", "status", "took_ms"}
_USUAL = {"answered", "judged", "refused", "partly_refused", "begun"}
_COLOUR = {"allow": "green", "flag": "cyan", "hold": "yellow", "block": "red", NONE: "magenta"}


def listed(records: Sequence[Record]) -> RenderableType:
    """A table of records, one a line."""
    if not records:
        return Text("no records")
    table = _table("number", "time (UTC)", "kind", "action", "tenant", "id", "rules")
    for record in records:
        entry = record.entry
        reasons = _maps(entry.body.get("reasons"))
        rules = dict.fromkeys(str(reason.get("rule", "?")) for reason in reasons if _acted(reason))
        table.add_row(
            str(record.seq),
            _when(entry.at),
            entry.kind,
            _action(entry.action),
            _text(entry.tenant),
            _text(entry.id),
            _text(", ".join((*rules, *_came_of(entry.body, rules)))),
        )
    return table


def named(record: Record) -> str:
    """One record in one line: its time, kind, action and id."""
    entry = record.entry
    return f"{_when(entry.at)} UTC  {_clean(entry.kind)}  {_clean(entry.action)}  {_clean(entry.id)}"


def _came_of(body: Mapping[str, Any], rules: Collection[str]) -> Sequence[str]:
    """What stands behind rules, or in their place: how a request ended that got no judged answer, which policies began
    to hold, or what a change failed in. Nothing where a reason of the guard's own says it."""
    if "failed" in body:
        return [f"failed: {body['failed']}"]
    if _items(body.get("after")):
        return [_in_words(body["after"])]
    status = body.get("status")
    if not isinstance(status, str) or status in _USUAL or OURS + status in rules:
        return ()
    return [status]


def explained(record: Record, rulings: Sequence[Record], broken: Collection[int]) -> RenderableType:
    """One record on one screen: who decided and why, what each check saw, what was looked at and what was not.

    `broken` are the numbers of those, rulings among them, whose seal does not hold.
    """
    entry = record.entry
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row("Record", _text(f"{entry.kind} {entry.id}, number {record.seq}, {_when(entry.at)} UTC"))
    parts: list[RenderableType] = [facts]
    if entry.kind == "decision":
        _decision(record, facts)
        parts += _details(entry.body)
    else:
        facts.add_row("Action", _action(entry.action))
        for name, value in entry.body.items():
            facts.add_row(_text(name), _text(_in_words(value)))
    _rulings(rulings, facts, broken)
    too = ", and what was ruled on it" if rulings and not broken else ""
    facts.add_row("Seal", UNSEALED if record.seq in broken else Text(f"holds: this is what was written{too}", "green"))
    facts.add_row("", Text(f"{record.digest[:16]}, after {record.prev[:16]}", "dim"))
    return Group(*parts)


def _decision(record: Record, facts: Table) -> None:
    entry, body = record.entry, record.entry.body
    decided = _action("nothing" if entry.action == NONE else entry.action)
    decided.append(f" by policy {_clean(body.get('policy', '?'))}, judged up to the {_clean(body.get('stage', '?'))}")
    took = body.get("took_ms")
    if isinstance(took, int | float):
        decided.append(f", in {took:.0f} ms")
    facts.add_row("Decided", decided)
    if "policy_sha256" in body:
        facts.add_row("Policy", _text(f"SHA-256 {body['policy_sha256']}"))
    would = body.get("would")
    if would not in (None, entry.action):
        # Stricter than what was done: in shadow. Milder: the guard itself let nothing through.
        said, done = ACTIONS.get(str(would)), ACTIONS.get(entry.action)
        if said is not None and done is not None and said > done:
            facts.add_row("Shadow", _text(f"the policy said {would}, and is only watching"))
        else:
            facts.add_row("Policy said", _text(f"{would} to what was looked at; nothing was let through by it"))
    asked = f"{body.get('route', '?')} by tenant {entry.tenant}"
    facts.add_row("Asked", _text(asked))
    if body.get("status") is not None:
        facts.add_row("Outcome", _text(body["status"]))
    for name in sorted(body.keys() - _SHOWN):
        facts.add_row(_text(name.capitalize()), _text(body[name]))


def _rulings(rulings: Sequence[Record], facts: Table, broken: Collection[int]) -> None:
    for ruling in rulings:
        said = ", ".join(f"{name}: {value}" for name, value in ruling.entry.body.items() if name != "record")
        word = _action(ruling.entry.action)
        word.append(f" on {_when(ruling.entry.at)} UTC (record {ruling.seq}) {_clean(said)}")
        if ruling.seq in broken:
            word.append("\n").append(UNSEALED)
        facts.add_row("Ruled", word)


def _details(body: Mapping[str, Any]) -> list[RenderableType]:
    receipt = body.get("receipt")
    receipt = receipt if isinstance(receipt, Mapping) else {}
    parts: list[RenderableType] = []
    reasons = _maps(body.get("reasons"))
    if reasons:
        parts += [Text("\nBecause", "bold"), _reasons(reasons)]
    else:
        parts.append(Text("\nNo rule spoke."))
    signals = [signal for signal in _items(body.get("signals")) if isinstance(signal, Sequence) and len(signal) == 5]
    if signals:
        parts += [Text("\nWhat each check saw", "bold"), _signals(signals)]
    looks = _maps(receipt.get("looks"))
    if looks:
        parts += [Text("\nWhat was looked at", "bold"), _looks(looks)]
    else:
        parts.append(Text("\nNothing was looked at.", "yellow"))
    models = ", ".join(_clean(model) for model in _items(receipt.get("models")))
    parts.append(Text(f"\nWith: {models or 'no models'}"))
    absent = receipt.get("absent")
    if isinstance(absent, Mapping) and absent:
        missing = "; ".join(f"{_clean(name)} ({_clean(reason)})" for name, reason in absent.items())
        parts.append(Text(f"Not there at all: {missing}", "yellow"))
    return parts


def _acted(reason: Mapping[str, Any]) -> bool:
    """False for a reason in shadow; records of before do not say."""
    return reason.get("acts") is not False


def _reasons(reasons: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("rule", "action", "saw", "says")
    for reason in reasons:
        saw = reason.get("saw")
        seen = ", ".join(f"{name} {_score(score)}" for name, score in saw.items()) if isinstance(saw, Mapping) else ""
        says = str(reason.get("says") or "") + (" (could not be told: on_unknown)" if reason.get("unknown") else "")
        says += "" if _acted(reason) else " (in shadow: did nothing)"
        table.add_row(
            _text(reason.get("rule", "?")), _action(str(reason.get("action", "?"))), _text(seen), _text(says.strip())
        )
    return table


def _signals(signals: Sequence[Sequence[Any]]) -> Table:
    """One row a place, its signals side by side: a request with three pictures still fits on a screen."""
    places: dict[tuple[str, str], Text] = {}
    for name, slot, check, score, error in signals:
        kind, _, factor = str(name).partition(".")
        seen = places.setdefault((_clean(slot), _clean(kind)), Text())
        if seen:
            seen.append(", ")
        seen.append(f"{_clean(factor)} ")
        if error is None:
            seen.append(_score(score))
        else:
            seen.append(f"not known: {_clean(error)}", "yellow")
        seen.append(f" ({_clean(check)})", "dim")
    table = _table("where", "kind", "signals")
    for (slot, kind), seen in places.items():
        table.add_row(slot, kind, seen)
    return table


def _looks(looks: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("where", "kind", "digest", "looked at by", "not looked at by")
    for look in looks:
        unchecked = look.get("unchecked")
        blind = "; ".join(f"{n}: {why}" for n, why in unchecked.items()) if isinstance(unchecked, Mapping) else ""
        checked = ", ".join(str(name) for name in _items(look.get("checked"))) or "nothing"
        notes = ", ".join(str(note) for note in _items(look.get("notes")))
        table.add_row(
            _text(look.get("slot", "?")),
            _text(look.get("kind", "?")),
            _text(str(look.get("digest", "?"))[:16]),
            _text(checked + (f" ({notes})" if notes else "")),
            Text(_clean(blind), "yellow"),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column.startswith("time") or column == "id")
    return table


def _items(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [item for item in _items(value) if isinstance(item, Mapping)]


def _score(score: object) -> str:
    return f"{score:.2f}" if isinstance(score, int | float) else "not known"


def _action(word: str) -> Text:
    return Text(_clean(word), _COLOUR.get(word, "bold"))


def _text(value: object) -> Text:
    return Text(_clean(value))


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_within(held)}" for name, held in value.items()) or "none"
    if value is None or (isinstance(value, list | tuple) and not value):
        return "none"
    items = _items(value)
    if not items:
        return str(value)
    more = f" and {len(items) - MOST_SAID} more" if len(items) > MOST_SAID else ""
    return ", ".join(map(_within, items[:MOST_SAID])) + more


def _within(value: object) -> str:
    """What stands inside another: in brackets, where it has parts of its own."""
    return f"({_in_words(value)})" if isinstance(value, Mapping) or _items(value) else _in_words(value)


def _clean(value: object) -> str:
    """As text without control characters: a tenant's name must not move the cursor of whoever reads about it."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))


def _when(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{at} s"
