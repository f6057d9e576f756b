"""The card of a fitted concept or a probe: what it was taught with, how good it is, and for whom it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardrail.inference.clip.figures import wilson
from guardrail.inference.clip.folder import ClipFolder


def card(name: str, what: str, told: Mapping[str, Any], folder: ClipFolder) -> str:
    """Markdown. `what` says what kind of thing it is; `told` are the figures of `guardrail.inference.clip.fit`."""
    low, high = told["auc_95"]
    source = folder.told["pretrained"]
    lines = [
        f"# {name}",
        "",
        "| | |",
        "|---|---|",
        f"| what | {what} |",
        f"| model | {folder.model}, {source.get('name', source['kind'])}; licence as its operator noted it: "
        f"{folder.told['licence']} |",
        f"| examples | {told['yes']} yes, {told['no']} no, from {told['sources']} sources; "
        f"{told['left_out']} could not be read |",
        f"| calibrated for | {told['base_rate']:.1%} of the pictures showing it |",
        f"| AUC | {told['auc']:.3f} [{low:.3f}, {high:.3f}] |",
        f"| calibration error (ECE) | {told['ece']:.3f} |",
        f"| at 0.5: missed | {_share(*told['missed_at_half'])} |",
        f"| at 0.5: false alarms | {_share(*told['alarms_at_half'])} |",
        "",
        f"Every figure is about pictures that were held out, by source, in {told['folds']} parts; intervals are 95 %, "
        "that of the AUC is drawn over sources. They hold for pictures like these examples and say nothing of others.",
        "",
        "## What it says, and what was so",
        "",
        "| said | pictures | on average | was so |",
        "|---|--:|--:|--:|",
        *(f"| {low:.1f}-{high:.1f} | {count} | {on:.2f} | {so:.2f} |" for low, high, count, on, so in told["bands"]),
        "",
        "## By group",
        "",
        *_groups(told["groups"]),
    ]
    return "\n".join(lines) + "\n"


def _groups(groups: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not groups:
        return [
            '**Not measured**: there was no groups.csv. CLIP\'s idea of "child" and of many other things differs by '
            "ethnicity and sex. Do not use this on people before it was measured."
        ]
    rows = [
        "| group | yes | no | missed at 0.5 | false alarms at 0.5 | said less so | honest |",
        "|---|--:|--:|---|---|---|---|",
    ]
    for name, told in groups.items():
        if told["honest"] is None:
            gap, honest = "", "too few to tell"
        else:
            low, high = told["gap_95"]
            gap, honest = f"{told['gap']:+.3f} [{low:+.3f}, {high:+.3f}]", "yes" if told["honest"] else "**no**"
        clean = "".join(letter if letter.isalnum() or letter in " -_.," else " " for letter in name)
        rows.append(
            f"| {clean} | {told['yes']} | {told['no']} | {_share(*told['missed_at_half'])} | "
            f"{_share(*told['alarms_at_half'])} | {gap} | {honest} |"
        )
    return [
        *rows,
        "",
        '"Said less so" is what it says on average, less the share that was so; below 0 it overlooks that group.',
    ]


def _share(hits: int, count: int) -> str:
    low, high = wilson(hits, count)
    return f"{hits} of {count}" + (f" ({hits / count:.1%}) [{low:.1%}, {high:.1%}]" if count else "")
