"""Tables of a report, neither HTML nor Markdown yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guardrail.evaluate import runs as folders
from guardrail.evaluate.compare import Comparison
from guardrail.evaluate.figures import AtThreshold, Decisions, FactorFigures, SliceFigures
from guardrail.evaluate.intervals import Interval, Rate
from guardrail.evaluate.report.content import RunReport


@dataclass(frozen=True)
class Table:
    """`left` says how many columns are words; the others are figures and stand to the right. `note` stands below."""

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    left: int = 1
    note: str = ""


def share(value: float | None) -> str:
    """0.953 as 95.3 %."""
    return "-" if value is None else f"{100 * value:.1f} %"


def rate(told: Rate) -> str:
    """A rate with its interval and what it is of: 95.3 % [93.1, 96.9] of 512."""
    return f"{told.words} of {told.n}" if told.n else "-"


def figure(told: Interval | Rate, digits: int = 3) -> str:
    """A figure with its interval: 0.953 [0.931, 0.969]."""
    if isinstance(told, Rate):
        return rate(told)
    if told.value is None:
        return "-"
    ends = [None if end is None else f"{end:.{digits}f}" for end in (told.low, told.high)]
    return f"{told.value:.{digits}f}" + (f" [{ends[0] or '?'}, {ends[1] or '?'}]" if any(ends) else "")


def probability(p: float | None) -> str:
    """A p-value in words."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def overview(runs: Sequence[RunReport]) -> Table:
    """One line for each run and factor: what somebody wants to know first."""
    head = ("run", "factor", "rows", "ROC AUC", "threshold", "recall", "false positives", "over-refusal", "not told")
    table = Table("Overview", head, left=2, note=NOTE)
    for run in runs:
        for one in run.factors:
            at = main_of(one)
            table.rows.append(
                (
                    run.name,
                    one.factor,
                    str(one.positives + one.negatives),
                    figure(one.roc_auc),
                    f"{at.threshold:g}",
                    at.recall.words,
                    at.fpr.words,
                    at.over_refusal.words,
                    str(one.unscored_positives + one.unscored_negatives),
                )
            )
    return table


NOTE = (
    "95 % intervals in brackets; rows of one group (a twin pair, a person) are counted together. Over-refusal is the "
    "share of rows without any harmful label that score at least the threshold. Rows that could not be told are in no "
    "rate."
)


def main_of(one: FactorFigures) -> AtThreshold:
    """What the factor's main threshold does."""
    return next(at for at in one.at_thresholds if at.threshold == one.main)


def whole(one: FactorFigures) -> Table:
    """Figures of a factor that need no threshold."""
    table = Table(f"{one.factor}: over all thresholds", ("figure", "value"), left=2)
    table.rows.extend(
        (
            ("signal", one.signal),
            ("rows labelled 1 and 0", f"{one.positives} and {one.negatives}, in {one.groups} groups"),
            ("could not be told, labelled 1 and 0", f"{one.unscored_positives} and {one.unscored_negatives}"),
            ("ROC AUC (DeLong)", figure(one.roc_auc)),
            ("average precision (bootstrap)", figure(one.average_precision)),
            ("calibration error, ECE of 10 bins", figure(one.ece)),
            ("ECE up to which probabilities come by chance", figure(Interval(one.ece_by_chance))),
            ("Brier score", figure(one.brier)),
        )
    )
    for at in one.at_rates:
        limit = "" if at.threshold is None else f" at {at.threshold:.3f}"
        few = "" if at.enough else "; too few negatives to show such a rate"
        value = _percent(at.recall)
        table.rows.append((f"recall at {100 * at.fpr:g} % false positives", f"{value}{limit}{few}"))
    return table


def _percent(told: Interval) -> str:
    if told.value is None or told.low is None or told.high is None:
        return share(told.value)
    return f"{share(told.value)} [{100 * told.low:.1f}, {100 * told.high:.1f}]"


def thresholds(one: FactorFigures) -> Table:
    """What each threshold of the policy does; with both bounds where something could not be told."""
    blind = one.unscored_positives + one.unscored_negatives
    bounds = ("recall, worst to best", "FPR, best to worst") if blind else ()
    note = "Precision and F1 are of the sample's share of harm, not of traffic's."
    if blind:
        note += f" Worst and best: the {blind} rows that could not be told taken as let through, or as refused."
    head = ("threshold", "recall", "FNR", "FPR", "over-refusal", "precision", "F1", *bounds)
    table = Table(f"{one.factor}: at thresholds", head, left=0, note=note)
    for at in one.at_thresholds:
        rates = (at.recall, at.fnr, at.fpr, at.over_refusal, at.precision)
        ends = (_bounds(at.recall_bounds), _bounds(at.fpr_bounds)) if blind else ()
        table.rows.append((f"{at.threshold:g}", *(rate.words for rate in rates), figure(at.f1), *ends))
    return table


def _bounds(told: tuple[float, float] | None) -> str:
    return "-" if told is None else share(told[0]) if told[0] == told[1] else f"{share(told[0])} to {share(told[1])}"


def slices(one: FactorFigures) -> Iterator[Table]:
    """A table for each slice."""
    named: dict[str, list[SliceFigures]] = {}
    for each in one.slices:
        named.setdefault(each.slice, []).append(each)
    for name, found in named.items():
        head = (name, "recall", "false positives", "not told", "p (Holm)", "q (BH)", "")
        note = (
            "p: Fisher's exact test of a value against the others of its slice, the lower of recall and false "
            "positives, adjusted for all tests of the factor; where a side has fewer than 30 rows nothing is tested."
        )
        table = Table(f"{one.factor} by {name}, at {one.main:g}", head, note=note)
        for each in found:
            table.rows.append(
                (
                    each.value,
                    rate(each.recall),
                    rate(each.fpr),
                    str(each.unscored),
                    probability(each.held),
                    probability(each.shared),
                    each.says,
                )
            )
        yield table


def decided(told: Decisions) -> Iterator[Table]:
    """What the policy did."""
    words = ("allow", "flag", "hold", "block")
    head = ("rows", *words, "refused")
    note = f"{told.unscored} rows could not be judged at all and are in no line." if told.unscored else ""
    table = Table("Decisions of the policy", head, note=note)
    for what, counts, refused in (
        ("with a harmful label", told.harmful, told.recall.words),
        ("without one (over-refusal)", told.harmless, told.over_refusal.words),
    ):
        table.rows.append((what, *(str(counts[word]) for word in words), refused))
    for factor, counts in told.factors.items():
        n = sum(counts.values())
        refused = share((counts["hold"] + counts["block"]) / n) if n else "-"
        table.rows.append((f"labelled {factor}", *(str(counts[word]) for word in words), refused))
    yield table
    if told.rules:
        yield Table(
            "Rules that decided", ("rule", "rows that it decided"), [(rule, str(n)) for rule, n in told.rules.items()]
        )


def about(run: RunReport) -> Table:
    """What was run, with what."""
    told, suite = run.run, run.run["suite"]
    policy, attack = told.get("policy"), told.get("attack")
    table = Table(f"{run.name}: what was run", ("", ""), left=2)
    table.rows.extend(
        (
            ("suite", f"{suite['id']} {suite['version']}, task {suite['task']}, licence {suite['licence']}"),
            ("digest of the rows", str(suite["digest"])),
            ("part of the suite", folders.part_of(suite) or "all of it"),
            ("rows; not told on some factor", f"{told['rows']}; {told['unscored']}"),
            ("models", ", ".join(told["models"])),
            ("policy", f"{policy['name']}, sha256 {policy['digest']}" if policy else "none"),
            ("attack", f"{attack['name']}, seed {attack['seed']}" if attack else "none"),
            ("Guardrail", str(told["guardrail"])),
        )
    )
    if taken := folders.given(told):
        table.rows.append(("taken as given for decisions", taken))
    if run.took_ms:
        table.rows.append(("milliseconds a row", ", ".join(f"{name} {ms:g}" for name, ms in run.took_ms.items())))
    if suite.get("misses"):
        table.rows.append(("what the suite misses", "; ".join(map(str, suite["misses"]))))
    return table


def compared(told: Comparison) -> Table:
    """Two runs side by side."""
    head = (
        "factor",
        "figure",
        told.first,
        told.second,
        "change",
        "only first",
        "only second",
        "test",
        "p",
        "p (Holm)",
        "",
    )
    note = (
        "Change is the second minus the first. Only first, only second: rows that one of the two alone scores above "
        "its threshold. McNemar's test is exact; DeLong's and the sign flips know that rows of a group go together. "
        "The last p is adjusted for all tests of this table."
    )
    table = Table(f"{told.second} against {told.first}, {told.rows} rows", head, left=2, note=note)
    for one in told.differences:
        table.rows.append(
            (
                one.factor,
                one.what,
                _short(one.first),
                _short(one.second),
                _change(one.change, isinstance(one.first, Rate)),
                "" if one.test == "DeLong" else str(one.only_first),
                "" if one.test == "DeLong" else str(one.only_second),
                one.test,
                probability(one.p),
                probability(one.held),
                "differs" if one.held is not None and one.held < 0.05 else "",
            )
        )
    return table


def _short(told: Rate | Interval) -> str:
    return told.words if isinstance(told, Rate) else figure(told)


def _change(told: Interval, percent: bool) -> str:
    if told.value is None:
        return "-"
    scale, digits, unit = (100.0, 1, " points") if percent else (1.0, 3, "")
    ends = ""
    if told.low is not None and told.high is not None:
        ends = f" [{scale * told.low:+.{digits}f}, {scale * told.high:+.{digits}f}]"
    return f"{scale * told.value:+.{digits}f}{unit}{ends}"


def moved(told: Mapping[str, Mapping[str, int]], first: str, second: str) -> Table:
    """How many rows went from which action to which."""
    words = [word for word in ("allow", "flag", "hold", "block", "none") if any(word in row for row in told.values())]
    table = Table(f"Actions: {first} down, {second} across", ("", *words))
    for was in ("allow", "flag", "hold", "block", "none"):
        if was in told:
            table.rows.append((was, *(str(told[was].get(word, 0)) for word in words)))
    return table
