"""Columns: tables on a terminal, however narrow. What has no room goes to the next line and is never cut."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Column, Table


def columns(*names: str | Column, rows: Iterable[tuple[RenderableType | None, ...]] = (), header: bool = True) -> Table:
    """A table without lines, its columns under these names."""
    made = (Column(name, overflow="fold") if isinstance(name, str) else name for name in names)
    table = Table(*made, box=None, pad_edge=False, show_header=header)
    for row in rows:
        table.add_row(*row)
    return table


def to_the_right(*names: str, whole: bool = False) -> list[Column]:
    """Columns of numbers. `whole` ones stay on one line as long as others have room to give."""
    # Of what does not wrap "fold" would cut the end off without a sign.
    return [Column(name, overflow="ellipsis" if whole else "fold", justify="right", no_wrap=whole) for name in names]
