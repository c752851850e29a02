"""What all that prints has in common: quoting, durations, JSON, tables."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.records import FRACTIONS, Cell
from bench.system.names import shown, titled


def tell(text: str) -> None:
    """Says what is being done, beside the results on standard output."""
    print(shown(text), file=sys.stderr, flush=True)


class Steps:
    """Says what is being done. Steps in passing, such as files being decoded, are said when they take long.

    Args:
        level: 0: nothing; 1: sentences, and a passing step now and then; 2: everything.
        write: default: to standard error.
    """

    def __init__(self, level: int, write: Callable[[str], None] = tell) -> None:
        self.level, self._write, self._last = level, write, time.monotonic()

    def __call__(self, text: str) -> None:
        passing = not text.endswith((".", "!", "?")) and not text.startswith(LASTING)
        if passing or text.endswith("..."):
            if self.level == 1 and time.monotonic() - self._last < PATIENCE:
                return
            self._last = time.monotonic()
        if self.level:
            self._write(text)


PATIENCE = 10
"""Seconds without a word, before a passing step is said."""
LASTING = "Run directory: "
"""What is said in any case, though it is no sentence."""


def cell_name(cell: Cell) -> str:
    """A cell as the report calls it: ``partial fine-tuning, MobileNet:alpha=0.25, 10% of clothing, seed 0``.

    In a log, which scripts read, the strategy has the name that is typed: ``partial_finetune``.
    """
    from reports.words import strategy_name

    strategy = strategy_name(cell.strategy) if sys.stdout.isatty() else cell.strategy
    share = f"{cell.fraction * 100:g}% of" if cell.protocol == FRACTIONS else f"{cell.protocol} on"
    parts = strategy, titled(cell.backbone, cell.weights), f"{share} {cell.dataset_name}"
    return shown(", ".join([*filter(None, parts), f"seed {cell.seed}"]))


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
