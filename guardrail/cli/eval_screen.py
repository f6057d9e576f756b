"""Tables of a report on the screen: nothing of them is cut off, however narrow it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console

from guardrail.evaluate.report.tables import Table

BETWEEN = "  "


def show(console: Console, told: Table) -> None:
    """Print a table; on a terminal that is too narrow for it, one line for each figure instead."""
    console.print(told.caption, style="bold", markup=False, soft_wrap=True)
    wide = [max(map(cell_len, column)) for column in zip(told.head, *told.rows, strict=True)]
    fits = not console.is_terminal or sum(wide) + len(BETWEEN) * (len(wide) - 1) <= console.width
    for line in _lines(told, wide) if fits else _blocks(told):
        console.print(line, markup=False, soft_wrap=fits)
    if told.note:
        console.print(told.note, style="dim", markup=False, soft_wrap=not console.is_terminal)


def _lines(told: Table, wide: Sequence[int]) -> Iterator[str]:
    for row in (told.head, *told.rows):
        cells = []
        for at, (cell, width) in enumerate(zip(row, wide, strict=True)):
            space = " " * (width - cell_len(cell))
            cells.append(cell + space if at < told.left else space + cell)
        yield BETWEEN.join(cells).rstrip()


def _blocks(told: Table) -> Iterator[str]:
    for row in told.rows:
        yield BETWEEN.join(row[: told.left])
        for name, cell in zip(told.head[told.left :], row[told.left :], strict=True):
            if cell:
                yield f"  {name}: {cell}" if name else f"  {cell}"
