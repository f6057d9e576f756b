"""A report as Markdown, for a repository: tables only."""

from __future__ import annotations

from collections.abc import Iterator

from guardrail.evaluate.report import tables
from guardrail.evaluate.report.content import Report
from guardrail.evaluate.report.tables import Table


def as_markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report)).rstrip() + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {_cell(report.title)}"
    yield ""
    if report.comparison is not None:
        yield from table(tables.compared(report.comparison))
        yield from (f"- {_cell(note)}" for note in report.comparison.notes)
        if report.comparison.left_out:
            yield f"- {report.comparison.left_out} rows stand in one of the two runs only and are not compared"
        yield ""
        if report.comparison.moved:
            yield from table(tables.moved(report.comparison.moved, report.comparison.first, report.comparison.second))
    yield from table(tables.overview(report.runs))
    for run in report.runs:
        yield f"## {_cell(run.name)}"
        yield ""
        yield from table(tables.about(run))
        for one in tables.decided(run.decisions) if run.decisions else ():
            yield from table(one)
        for figures in run.factors:
            yield f"### {_cell(figures.factor)}"
            yield ""
            for warning in figures.warnings:
                yield f"> {_cell(warning)}"
                yield ""
            yield from table(tables.whole(figures))
            yield from table(tables.thresholds(figures))
            for one in tables.slices(figures):
                yield from table(one)


def table(told: Table) -> Iterator[str]:
    """One table with its caption and note."""
    yield f"**{_cell(told.caption)}**"
    yield ""
    yield f"| {' | '.join(map(_cell, told.head))} |"
    yield f"|{'|'.join('---' if at < told.left else '--:' for at in range(len(told.head)))}|"
    for row in told.rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""
    if told.note:
        yield f"{_cell(told.note)}"
        yield ""


def _cell(text: str) -> str:
    """Text that opens no table, tag, link or emphasis: names of slices are a stranger's."""
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "|<>[]*_`\\#" else letter for letter in plain)
