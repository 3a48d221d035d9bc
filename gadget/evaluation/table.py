"""The table of an evaluation, for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from gadget.evaluation.summary import Summary


def table(summary: Summary) -> Table:
    """Draw a summary; the best number of every column of a section is bold."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("mean ± spread over slices")
    for heading in summary.headings:
        drawn.add_column(escape(heading), justify="right", no_wrap=True)
    for section in summary.sections:
        drawn.add_row(f"[bold]{escape(section.title)}[/bold]")
        for number, row in enumerate(section.rows):
            cells = (f"[bold]{one.text}[/bold]" if one.best else one.text for one in row.cells)
            last = number == len(section.rows) - 1
            drawn.add_row(f"  {escape(row.label)}", *cells, end_section=last)
    return drawn
