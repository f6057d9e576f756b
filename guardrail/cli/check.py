"""`guardrail check`: judge prompts and pictures without a server, one at a time or by the thousand."""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from guardrail.cli.common import console, print_table, progress, settings
from guardrail.errors import BadRequest, GuardrailError

if TYPE_CHECKING:
    from guardrail.pipeline import Examined, Guard, Question
    from guardrail.types import Decision, Evidence

WINDOW = 256
"""Lines judged at once: enough to fill the batches of a text model."""
PICTURES = 16
"""Pictures judged at once: they are held in memory until their window is done."""
PATIENCE_S = 600.0
"""Deadline of a window of lines: nobody waits for one, and a busy machine must not turn into lines not looked at."""
LINGER_S = 0.1
"""Longest wait for a next line before what has come is judged: who asks and waits is answered."""
READ_BYTES = 1 << 16
SAY_EVERY_S = 5.0
"""How often progress is said where standard error is no terminal."""
FIELDS = frozenset({"id", "prompt", "inputs", "mask", "outputs", "tenant"})

app = typer.Typer(add_completion=False, subcommand_metavar="")


@app.callback(invoke_without_command=True)
def check(
    ctx: typer.Context,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="The text to judge.")] = None,
    inputs: Annotated[list[Path] | None, typer.Option("--input", metavar="FILE", help="An input picture.")] = None,
    outputs: Annotated[
        list[Path] | None, typer.Option("--output", metavar="FILE", help="A picture that came back.")
    ] = None,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="The mask of an edit.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy.")] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Read questions as JSON lines, write answers so.")] = False,
    signals_only: Annotated[bool, typer.Option("--signals-only", help="Say what was seen, decide nothing.")] = False,
) -> None:
    """Judge a prompt and pictures, or many of them as JSON lines from standard input.

    Exit status: 0 allowed (or, with --jsonl, every line was judged); 1 refused (or a line could not be read);
    2 the guard itself could not work.
    """
    from guardrail.cli.build import open_guard
    from guardrail.pipeline import Question

    configuration = settings(ctx, policy__default=policy)
    patience = PATIENCE_S if jsonl else 0.0
    guard = open_guard(configuration, record=False, decide=not signals_only, patience_s=patience)
    if jsonl:
        raise SystemExit(judge_lines(guard, sys.stdin.buffer, signals_only))
    question = Question(prompt, inputs or (), outputs or (), mask)
    if signals_only:
        _show_evidence(guard.examine_many([question])[0].evidence)
        return
    decision = guard.check_many([question])[0]
    _show(decision)
    raise SystemExit(1 if decision.action.refuses else 0)


@dataclass
class _Line:
    """A line on its way: what was asked, or why it cannot be."""

    identity: Any
    number: int
    question: Question | None = None
    error: str = ""


def judge_lines(guard: Guard, source: Any, signals_only: bool) -> int:
    """Judge every line of `source`; 0 when all could be read, 1 otherwise. Never stops half-way."""
    bad = 0
    columns = (TextColumn("judged"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn())
    plain = None if progress.is_terminal else PlainProgress(progress.print)
    with Progress(*columns, console=progress, disable=plain is not None) as bar:
        task = bar.add_task("judged", total=None)
        for window in _windows(_waiting(source)):
            for answer in _judged(guard, window, signals_only):
                bad += "error" in answer
                sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            bar.advance(task, len(window))
            if plain is not None:
                plain.judged(len(window))
    if plain is not None:
        plain.end()
    if bad:
        progress.print(f"guardrail check: lines that could not be read: {bad}; each has an `error` in the output")
    return 1 if bad else 0


class PlainProgress:
    """Progress where there is no terminal: a line at most every SAY_EVERY_S, and one at the end."""

    def __init__(self, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._began = self._said = clock()
        self._count = 0

    def judged(self, lines: int) -> None:
        """So many lines more."""
        self._count += lines
        if self._clock() - self._said >= SAY_EVERY_S:
            self._said = self._clock()
            self._line("so far")

    def end(self) -> None:
        self._line("in all")

    def _line(self, how: str) -> None:
        self._say(f"guardrail check: {self._count} lines judged {how}, {self._clock() - self._began:.1f} s")


def _lines(source: Any) -> Iterator[bytes]:
    """The lines of `source`, past its buffer where it has one.

    A thread that waits inside a buffered reader holds its lock, and Python aborts when it ends meanwhile.
    """
    raw = getattr(source, "raw", None)
    if raw is None:
        yield from source
        return
    begun: list[bytes] = []
    while (piece := raw.read(READ_BYTES)) != b"":
        if piece is None:  # a non-blocking input without anything there yet
            time.sleep(LINGER_S)
            continue
        *whole, rest = piece.split(b"\n")
        if whole:
            yield b"".join((*begun, whole[0]))
            yield from whole[1:]
            begun = []
        begun.append(rest)
    if any(begun):
        yield b"".join(begun)


def _waiting(source: Any) -> Iterator[bytes | None]:
    """The lines of `source` as they come, and None whenever the next one is not there within LINGER_S."""
    # Room for two windows: the next one is read while this one is judged, and no more is held.
    lines: queue.Queue[bytes | Exception | None] = queue.Queue(2 * WINDOW)

    def read() -> None:
        try:
            for raw in _lines(source):
                lines.put(raw)
        except Exception as error:
            lines.put(error)
        else:
            lines.put(None)

    threading.Thread(target=read, name="guardrail-lines", daemon=True).start()
    while True:
        try:
            raw = lines.get(timeout=LINGER_S)
        except queue.Empty:
            yield None
            raw = lines.get()
        if raw is None:
            return
        if isinstance(raw, Exception):
            yield None  # what came before it is still judged
            raise raw
        yield raw


def _windows(source: Iterator[bytes | None]) -> Iterator[list[_Line]]:
    window: list[_Line] = []
    pictures = number = 0
    for raw in source:
        if raw is not None:
            number += 1
            if not raw.strip():
                continue
            line = _line(raw, number)
            window.append(line)
            if line.question is not None:
                held = line.question
                pictures += len(held.inputs) + len(held.outputs) + (held.mask is not None)
        if window and (raw is None or len(window) >= WINDOW or pictures >= PICTURES):
            yield window
            window, pictures = [], 0
    if window:
        yield window


class _Refused(ValueError):
    """Why a line is no object that every reader of JSON reads alike."""


def _object(raw: bytes) -> dict[str, Any]:
    try:
        read = json.loads(raw, object_pairs_hook=_fields, parse_constant=_finite, parse_float=_finite)
    except UnicodeDecodeError:
        raise _Refused("not UTF-8") from None
    except _Refused:
        raise
    except (ValueError, RecursionError):
        raise _Refused("not JSON") from None
    if not isinstance(read, dict):
        raise _Refused("an object is expected")
    return read


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise _Refused(f"the field {name[:40]!r} stands twice; once is expected")
        fields[name] = value
    return fields


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise _Refused(f"{number[:40]} is no number that JSON can say")
    return value


def _line(raw: bytes, number: int) -> _Line:
    from guardrail.pipeline import Question

    try:
        read = _object(raw)
    except _Refused as refused:
        return _Line(None, number, error=str(refused))
    identity = read.get("id")
    stray = sorted(set(read) - FIELDS)
    if stray:
        why = f"no field is named {stray[0]!r}; there are {', '.join(sorted(FIELDS))}"
        return _Line(identity, number, error=why)
    fault = _fault(read)
    if fault:
        return _Line(identity, number, error=fault)
    return _Line(
        identity,
        number,
        Question(
            read.get("prompt"),
            tuple(read.get("inputs") or ()),
            tuple(read.get("outputs") or ()),
            read.get("mask"),
            read.get("tenant") or "default",
        ),
    )


def _fault(read: Mapping[str, Any]) -> str:
    for name in ("prompt", "mask", "tenant"):
        if read.get(name) is not None and not isinstance(read[name], str):
            return f"{name}: a text is expected"
    for name in ("inputs", "outputs"):
        listed = read.get(name)
        if listed is not None and not isinstance(listed, list):
            return f"{name}: a list of paths is expected"
        wrong = next((at for at, path in enumerate(listed or ()) if not isinstance(path, str)), None)
        if wrong is not None:
            return f"{name}[{wrong}]: the path of a picture is expected"
    if "id" not in read:
        return "id: is expected, so that answers can be told apart"
    return ""


def _judged(guard: Guard, window: Sequence[_Line], signals_only: bool) -> list[dict[str, Any]]:
    """One answer per line, in order. A question that fails in company is asked again alone."""
    answers: list[dict[str, Any]] = [{"id": one.identity, "error": f"line {one.number}: {one.error}"} for one in window]
    good = [at for at, line in enumerate(window) if line.question is not None]

    def ask(questions: Sequence[Question]) -> list[dict[str, Any]]:
        if signals_only:
            return [_signals(examined) for examined in guard.examine_many(questions)]
        return [_decided(decision) for decision in guard.check_many(questions)]

    asked = [line.question for line in window if line.question is not None]
    try:
        said = ask(asked)
    except GuardrailError:
        said = [_alone(ask, question, window[at].number) for at, question in zip(good, asked, strict=True)]
    for at, answer in zip(good, said, strict=True):
        answers[at] = {"id": window[at].identity, **answer}
    return answers


def _alone(
    ask: Callable[[Sequence[Question]], list[dict[str, Any]]], question: Question, number: int
) -> dict[str, Any]:
    try:
        return ask([question])[0]
    except GuardrailError as error:
        why = str(error) if isinstance(error, BadRequest) else f"{type(error).__name__}: {error}"
        return {"error": f"line {number}: {why}"}


def _signals(examined: Examined) -> dict[str, Any]:
    return {**_seen(examined.evidence), "took_ms": round(examined.took_ms, 2)}


def _decided(decision: Decision) -> dict[str, Any]:
    return {
        "action": decision.action.word,
        "stage": decision.stage.value,
        **_seen(decision.evidence),
        "reasons": [{"rule": reason.rule, "saw": _rounded(reason.saw)} for reason in decision.reasons],
        "took_ms": round(decision.took_ms, 2),
    }


def _seen(evidence: Evidence) -> dict[str, Any]:
    return {
        "signals": _rounded(dict(sorted(evidence.scores().items()))),
        "errors": evidence.errors(),
    }


def _rounded(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if score is None else round(score, 4) for name, score in scores.items()}


def _show(decision: Decision) -> None:
    colour = {"allow": "green", "flag": "yellow", "hold": "magenta", "block": "red"}[decision.action.word]
    console.print(f"[bold {colour}]{decision.action.word}[/] at {decision.stage.value} by {decision.policy}")
    for reason in decision.reasons:
        saw = ", ".join(
            f"{name} {'unknown' if score is None else f'{score:.2f}'}" for name, score in reason.saw.items()
        )
        says = escape(reason.says or "no words given")
        console.print(f"  {reason.rule} ({reason.action.word}): {says}; [dim]saw {escape(saw)}[/]")
    _show_evidence(decision.evidence)


def _show_evidence(evidence: Evidence) -> None:
    table = Table("signal", "of", "score", box=None, pad_edge=False)
    for signal in evidence.signals:
        table.add_row(
            signal.name, signal.slot, f"{signal.score:.3f}" if signal.score is not None else f"unknown: {signal.error}"
        )
    print_table(table)
