"""The evidence pack: one page that an operator shows whoever asks how a policy decides and how well that works.

It says what was measured and, beside it, what was not: a signal that no run speaks of is named, not left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import guardrail
from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.figures import decisions, of_factor
from guardrail.evaluate.report import tables
from guardrail.evaluate.report.content import RunReport
from guardrail.evaluate.report.page import page, table, warning
from guardrail.evaluate.report.tables import Table
from guardrail.evaluate.sheet import read
from guardrail.inference.fetch import digest
from guardrail.inference.manifest import Manifest, packaged
from guardrail.policy import Mode, Policy
from guardrail.policy.model import described, joins_described
from guardrail.types import SIGNALS

LIMITS = (
    "A suite is a sample that somebody wrote or collected. Its share of harm is not that of traffic, so precision and "
    "F1 do not carry over; recall and false-positive rates do as far as the rows are like the traffic.",
    "Rates hold for the models named here. Other weights, another version or threshold need another measurement.",
    "Intervals say how far chance among the rows reaches. They say nothing of harm that no row shows.",
    "What could not be told (a picture that cannot be read, a face too small) is counted apart; the policy says what "
    "is done with it.",
    "Nothing that does not pass through the guard is judged.",
)

_MODES = {Mode.ENFORCE: "in force", Mode.SHADOW: "in shadow: decides and is recorded, and never acts"}


@dataclass(frozen=True)
class Source:
    """A run that the pack rests on: when its log was closed, and what its rows are, to the byte."""

    report: RunReport
    made: datetime
    digest: str


def sources(folders: Sequence[Path], policy: Policy, *, seed: int = 0) -> list[Source]:
    """Read runs and compute their figures at the thresholds of `policy`. Raises ConfigError for a run that is none."""
    if not folders:
        raise ConfigError("evidence: no runs; name at least one, as `guardrail eval run` made them")
    return [_source(folder, policy, seed) for folder in folders]


def _source(folder: Path, policy: Policy, seed: int) -> Source:
    sheet = read(folder)
    figures = [
        of_factor(sheet, factor, at=_thresholds(policy, signal), seed=seed) for factor, signal in sheet.signals.items()
    ]
    report = RunReport(sheet.name, sheet.run, figures, decisions(sheet), None)
    made = datetime.fromtimestamp((folder / runs.RUN).stat().st_mtime, UTC)
    return Source(report, made, digest(folder / runs.ROWS))


def _thresholds(policy: Policy, signal: str) -> list[float]:
    return sorted({one.at_least for rule in policy.rules for one in rule.when if signal in one.signals})


def as_html(policy: Policy, found: Sequence[Source], *, made: datetime, operator: str = "") -> str:
    """The pack as one HTML file; `made` is its date, `operator` who answers for it."""
    return page(f"Evidence pack: policy {policy.label}", _body(policy, found, made, operator, packaged()))


def _body(policy: Policy, found: Sequence[Source], made: datetime, operator: str, manifest: Manifest) -> Iterator[str]:
    yield f"<h1>Evidence pack: policy {escape(policy.label)}</h1>"
    yield table(_summary(policy, found, made, operator))
    for words in _warnings(policy, found):
        yield warning(words)
    yield "<h2>What the policy does</h2>"
    yield table(_rules(policy))
    yield "<h2>What was measured, and what was not</h2>"
    yield table(_signals(policy, found))
    yield "<h2>Results</h2>"
    yield table(tables.overview([one.report for one in found]))
    for one in found:
        yield f"<h3>{escape(one.report.name)}</h3>"
        if one.report.decisions is not None:
            yield table(next(tables.decided(one.report.decisions)))
        for figures in one.report.factors:
            yield table(tables.thresholds(figures))
            for each in tables.slices(figures):
                if each.head[0] in {"lang", "language", "gender", "age"}:
                    yield table(each)
    yield "<h2>Models</h2>"
    yield table(_models(found, manifest))
    yield "<h2>What the measurements rest on</h2>"
    yield table(_sources(found))
    yield "<h2>Known limits</h2>"
    yield f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in _limits(found))}</ul>"


def _summary(policy: Policy, found: Sequence[Source], made: datetime, operator: str) -> Table:
    rows = [
        ("policy", policy.name),
        ("SHA-256 of what it says", policy.digest),
        ("what it is for", policy.says or "not stated"),
        ("mode", _MODES[policy.mode]),
        ("what cannot be told", f"{policy.on_unknown.word}, unless a rule says otherwise"),
        ("made", f"{made:%Y-%m-%d %H:%M} UTC"),
        ("measured", f"{min(one.made for one in found):%Y-%m-%d} to {max(one.made for one in found):%Y-%m-%d}"),
        ("Guardrail", guardrail.__version__),
    ]
    return Table("This pack", ("", ""), [("operator", operator), *rows] if operator else [*rows], left=2)


def _warnings(policy: Policy, found: Sequence[Source]) -> Iterator[str]:
    for one in found:
        used = one.report.run.get("policy")
        if used is not None and used.get("digest") != policy.digest:
            yield (
                f"{one.report.name}: its decisions are those of policy {used['name']}@{str(used['digest'])[:8]}, not "
                "of this one; rates at thresholds are of this one"
            )
        if part := runs.part_of(one.report.run["suite"]):
            yield f"{one.report.name}: only a part of its suite was run: {part}"
        if given := runs.given(one.report.run):
            yield f"{one.report.name}: its decisions take scores as given: {given}"
        if not one.report.run["suite"].get("columns_verified", True):
            yield f"{one.report.name}: nobody has checked which columns of its source hold the text and the labels"
        if one.report.run.get("attack"):
            yield f"{one.report.name}: every row was attacked ({one.report.run['attack']['name']})"
    models = {tuple(one.report.run["models"]) for one in found}
    if len(models) > 1:
        yield "the runs were not all made with the same models"


def _rules(policy: Policy) -> Table:
    head = ("rule", "action", "when", "where that cannot be told", "why")
    note = "; ".join(joins_described(policy))
    told = Table("Rules, the strictest that holds decides; one in brackets does not act", head, left=5, note=note)
    for rule in policy.rules:
        name = f"{rule.id} (floor)" if rule.floor else rule.id
        action = rule.action.word if rule.acts else f"({rule.action.word})"
        told.rows.append((name, action, described(rule.when), rule.on_unknown.word, rule.says))
    return told


def _signals(policy: Policy, found: Sequence[Source]) -> Table:
    head = ("signal that the policy reads", "it says", "run", "threshold", "recall", "false positives")
    told = Table("Signals", head, left=3)
    # A wildcard stands for signals too that nothing gives (pair.minor); what a rule names itself is there.
    named = {reading.pattern for rule in policy.rules for one in rule.when for reading in one.readings}
    for signal in sorted(policy.signals):
        measured = False
        for one in found:
            for figures in one.report.factors:
                if figures.signal == signal:
                    at = tables.main_of(figures)
                    measured = True
                    told.rows.append(
                        (
                            signal,
                            SIGNALS.get(signal, ""),
                            one.report.name,
                            f"{at.threshold:g}",
                            at.recall.words,
                            at.fpr.words,
                        )
                    )
        if not measured and (signal in SIGNALS or signal in named):
            told.rows.append((signal, SIGNALS.get(signal, ""), "NOT MEASURED in these runs", "-", "-", "-"))
    return told


def _models(found: Sequence[Source], manifest: Manifest) -> Table:
    head = ("model", "what it says", "licence of code", "licence of weights", "taught on")
    note = "The eight digits tell the build. SHA-256 of every file: `guardrail models list`."
    told = Table("Models that judged", head, left=5, note=note)
    for model in sorted({model for one in found for model in one.report.run["models"]}):
        weight = manifest.weights.get(model.partition("@")[0])
        if weight is None:
            told.rows.append((model, "part of Guardrail, or an operator's own", "-", "-", "-"))
        else:
            told.rows.append((model, weight.scores, weight.licence_code, weight.licence_weights, weight.training_data))
    return told


def _sources(found: Sequence[Source]) -> Table:
    head = ("run", "suite", "part of it", "licence", "rows", "not told", "date", "SHA-256 of rows.jsonl")
    told = Table("Runs", head, left=4)
    for one in found:
        suite, run = one.report.run["suite"], one.report.run
        told.rows.append(
            (
                one.report.name,
                f"{suite['id']} {suite['version']}",
                runs.part_of(suite) or "all",
                str(suite["licence"]),
                str(run["rows"]),
                str(run["unscored"]),
                f"{one.made:%Y-%m-%d}",
                one.digest,
            )
        )
    return told


def _limits(found: Sequence[Source]) -> Iterator[str]:
    yield from LIMITS
    seen: set[str] = set()
    for one in found:
        suite = one.report.run["suite"]
        misses = [str(words) for words in suite.get("misses") or ()]
        if misses and suite["id"] not in seen:
            yield f"The suite {suite['id']} misses: {'; '.join(misses)}."
        seen.add(suite["id"])
        for figures in one.report.factors:
            yield from (f"{one.report.name}, {figures.factor}: {words}." for words in figures.warnings)
