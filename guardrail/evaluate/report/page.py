"""A report as one HTML file: no script, no network, light and dark, readable on paper and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from guardrail.evaluate.figures import FactorFigures, SliceFigures
from guardrail.evaluate.report import plots, tables
from guardrail.evaluate.report.content import Report, RunReport
from guardrail.evaluate.report.tables import Table

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--card:#f6f7f9;--ink:#1a1d21;--muted:#5b636e;--rule:#d5dae0;
--a:#0b62c4;--b:#b8430a;--warn:#8a5a00;--warn-ground:#fff6e0}
@media (prefers-color-scheme:dark){:root{--ground:#14171a;--card:#1d2126;--ink:#e8eaed;--muted:#a0a8b2;--rule:#363c44;
--a:#74b5ff;--b:#ff9f63;--warn:#ffd27a;--warn-ground:#33290f}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:84rem;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}h2{font-size:1.3rem;margin-top:2.5rem;overflow-wrap:anywhere;
border-top:1px solid var(--rule);padding-top:1rem}h3{font-size:1.1rem;margin-top:2rem}
a{color:var(--a)}nav ul{padding-left:1.2rem}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr));gap:1rem}
figure{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.75rem}
figure.wide{max-width:32rem;margin:1rem 0}
figcaption{font-weight:600;margin-bottom:.25rem}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--muted);font-size:11px}
.grid{stroke:var(--rule);stroke-width:1}.mark{stroke:var(--muted);stroke-width:1;stroke-dasharray:2 3}
.line{fill:none;stroke-width:2}.line.b{stroke-dasharray:6 3}.line.solid{stroke-dasharray:none}
.a{stroke:var(--a)}.b{stroke:var(--b)}
.dot{stroke:var(--card);stroke-width:1}.dot.a,.bar.a{fill:var(--a)}.dot.b,.bar.b{fill:var(--b)}.bar{stroke:none}
.scroll{overflow-x:auto;margin:.25rem 0 1rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
.caption{font-weight:600;margin:1.25rem 0 0;overflow-wrap:anywhere}
th,td{padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--rule);text-align:right;vertical-align:top}
th,td{white-space:nowrap}.l{text-align:left}td.l{white-space:normal;min-width:6.5rem}
table.two{width:100%}.two td+td{overflow-wrap:anywhere}.two td:first-child{width:30%;max-width:16rem}
th{color:var(--muted);font-weight:600}
.note{color:var(--muted);font-size:.85rem;max-width:60rem;margin:.25rem 0 1rem}
.warn{background:var(--warn-ground);color:var(--warn);border-radius:6px;padding:.5rem .75rem;margin:.5rem 0}
@media print{body{max-width:none;padding:0;font-size:10pt}.scroll{overflow:visible}figure,tr{break-inside:avoid}
h2,h3,.caption{break-after:avoid}table,.note{font-size:7pt}th,td{padding:.15rem .3rem .15rem 0}
h1{font-size:16pt}h2{font-size:13pt;margin-top:1.2rem}h3{font-size:11pt}}
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole HTML file that may load nothing."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta name="referrer" content="no-referrer"><title>{escape(title)}</title><style>{STYLE}</style>'
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def as_html(report: Report) -> str:
    """The whole report."""
    return page(report.title, _body(report))


def _body(report: Report) -> Iterator[str]:
    yield f"<h1>{escape(report.title)}</h1>"
    yield from _compared(report)
    yield table(tables.overview(report.runs))
    if len(report.runs) > 1 or len(report.runs[0].factors) > 1:
        yield f"<nav><ul>{''.join(_contents(report.runs))}</ul></nav>"
    for at, run in enumerate(report.runs):
        yield from _run(run, at)


def _contents(runs: Sequence[RunReport]) -> Iterator[str]:
    for at, run in enumerate(runs):
        inner = ", ".join(f'<a href="#run{at}-{n}">{escape(one.factor)}</a>' for n, one in enumerate(run.factors))
        yield f'<li><a href="#run{at}">{escape(run.name)}</a>: {inner}</li>'


def _compared(report: Report) -> Iterator[str]:
    told = report.comparison
    if told is None:
        return
    for note in told.notes:
        yield warning(note)
    if told.left_out:
        yield warning(f"{told.left_out} rows stand in one of the two runs only and are not compared")
    yield table(tables.compared(told))
    one, other = report.runs
    theirs = {figures.factor: figures for figures in other.factors}
    drawn = [
        figure(f"ROC of {mine.factor}", plots.both_roc(mine, theirs[mine.factor], (told.first, told.second)))
        for mine in one.factors
        if mine.factor in theirs and mine.curves.roc and theirs[mine.factor].curves.roc
    ]
    yield f'<div class="plots">{"".join(drawn)}</div>'
    if told.moved:
        yield table(tables.moved(told.moved, told.first, told.second))


def _run(run: RunReport, at: int) -> Iterator[str]:
    yield f'<h2 id="run{at}">{escape(run.name)}</h2>'
    yield table(tables.about(run))
    if run.decisions is not None:
        yield from map(table, tables.decided(run.decisions))
    for n, figures in enumerate(run.factors):
        yield f'<h3 id="run{at}-{n}">{escape(figures.factor)} ({escape(figures.signal)})</h3>'
        yield from map(warning, figures.warnings)
        yield f'<div class="plots">{"".join(_plots(figures))}</div>'
        yield table(tables.whole(figures))
        yield table(tables.thresholds(figures))
        for one in tables.slices(figures):
            yield from _slice(figures, one)


def _plots(figures: FactorFigures) -> Iterator[str]:
    thresholds = [at.threshold for at in figures.at_thresholds]
    if figures.curves.roc:
        yield figure("ROC", plots.roc(figures))
        yield figure("Precision and recall", plots.precision_recall(figures))
        yield figure("Recall and false positives over the threshold", plots.sweep(figures))
    if figures.curves.reliability:
        yield figure("Calibration", plots.reliability(figures))
        yield figure("Distribution of scores", plots.distribution(figures.curves, thresholds))


def _slice(figures: FactorFigures, told: Table) -> Iterator[str]:
    name = told.head[0]
    found: list[SliceFigures] = [one for one in figures.slices if one.slice == name]
    if len(found) > 1:
        yield figure(f"{figures.factor} by {name}", plots.forest(found, f"{figures.factor} by {name}"), wide=True)
    yield table(told)


def figure(caption: str, svg: str, *, wide: bool = False) -> str:
    """A plot with its caption."""
    kind = ' class="wide"' if wide else ""
    return f"<figure{kind}><figcaption>{escape(caption)}</figcaption>{svg}</figure>"


def warning(words: str) -> str:
    """A sentence that should be seen."""
    return f'<p class="warn">{escape(words)}</p>'


def table(told: Table) -> str:
    """One table with its caption and note; a wide one scrolls by itself."""

    def cells(row: Sequence[str], tag: str) -> str:
        kinds = [' class="l"' if at < told.left else "" for at in range(len(row))]
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(f"<{tag}{scope}{kind}>{escape(one)}</{tag}>" for one, kind in zip(row, kinds, strict=True))

    head = f"<thead><tr>{cells(told.head, 'th')}</tr></thead>" if any(told.head) else ""
    rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in told.rows)
    note = f'<p class="note">{escape(told.note)}</p>' if told.note else ""
    kind = ' class="two"' if len(told.head) == told.left == 2 else ""
    return (
        f'<p class="caption">{escape(told.caption)}</p><div class="scroll" tabindex="0">'
        f'<table{kind} aria-label="{escape(told.caption)}">{head}<tbody>{rows}</tbody></table></div>{note}'
    )
