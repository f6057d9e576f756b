"""Tables on the screen: whatever the width, nothing of them is lost."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from guardrail.cli.eval_screen import show
from guardrail.evaluate.report.tables import Table

TABLE = Table(
    "Two runs [side by side]",
    ("factor", "figure", "first", "second", ""),
    [
        ("undress", "recall at 0.5", "95.3 % [93.1, 96.9]", "45.3 % [43.1, 46.9]", "differs"),
        ("年齢", "AUC", "1.000", "-", ""),
    ],
    left=2,
    note="Second minus first.",
)
CELLS = {"undress", "recall at 0.5", "95.3 % [93.1, 96.9]", "45.3 % [43.1, 46.9]", "differs", "年齢", "AUC", "1.000"}


def printed(width: int, terminal: bool) -> list[str]:
    out = io.StringIO()
    show(Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False), TABLE)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("width", "terminal"), [(200, True), (40, True), (80, False), (20, False)])
def test_every_cell_is_there_at_any_width(width, terminal):
    text = "\n".join(printed(width, terminal))
    assert [cell for cell in (*CELLS, TABLE.caption, TABLE.note) if cell not in text] == []
    assert "…" not in text


def test_columns_stand_under_each_other_where_they_fit_and_in_a_file():
    for lines in (printed(200, True), printed(20, False)):
        assert len(lines) == 5
        assert lines[1].index("second") + len("second") == lines[2].index("]  45") + len("]  45.3 % [43.1, 46.9]")
        assert lines[3].startswith("年齢     AUC")


def test_a_narrow_terminal_gets_a_line_for_each_figure():
    lines = printed(40, True)
    assert lines[1:3] == ["undress  recall at 0.5", "  first: 95.3 % [93.1, 96.9]"]
    assert lines[3:5] == ["  second: 45.3 % [43.1, 46.9]", "  differs"]
    assert max(map(len, lines)) <= 40
