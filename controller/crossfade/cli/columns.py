"""Columns: tables on a terminal, however narrow. What has no room goes to the next line and is never cut."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Column, Table


def columns(*names: str, rows: Iterable[tuple[RenderableType | None, ...]] = (), header: bool = True) -> Table:
    """A table without lines, its columns under these names."""
    table = Table(*(Column(name, overflow="fold") for name in names), box=None, pad_edge=False, show_header=header)
    for row in rows:
        table.add_row(*row)
    return table
