"""What all that prints has in common: quoting, durations, JSON, tables."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.system.names import shown


def tell(text: str) -> None:
    """Says what is being done, beside the results on standard output."""
    print(shown(text), file=sys.stderr, flush=True)


def quoted(path: Path | str) -> str:
    """Returns the path as one word for a shell."""
    return shlex.quote(str(path))


def duration(seconds: float) -> str:
    """``34 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def json_text(content: Any) -> str:
    """Returns what ``--json`` asks for."""
    import json

    return json.dumps(content, indent=1, allow_nan=False)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> None:
    """Prints a table that does not wrap; ``left`` are the columns that are not aligned right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(table)
