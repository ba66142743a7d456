"""Results as tables: drawn on a terminal, tab-separated in a pipe."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gatewright.cli.output import is_terminal, print_line


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """Print rows under headers; in a pipe one line per row, cells separated by tabs, the headers first.

    `right` names the headers of columns whose numbers are to stand under each other. What is not printable is spelt
    out, for cells may hold names that strangers chose.
    """
    if not is_terminal():
        for row in (headers, *rows):
            print_line("\t".join(map(_printable, row)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold", justify="right" if header in right else "left")
    for row in rows:
        table.add_row(*(escape(_printable(cell)) for cell in row))
    Console(highlight=False).print(table)


def _printable(cell: str) -> str:
    if cell.isprintable():
        return cell
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cell)
