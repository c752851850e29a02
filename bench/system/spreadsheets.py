"""CSV that a person may open: no text in it is a formula to a spreadsheet, and numbers stay numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with; the last four are the wide ones of a Japanese keyboard."""


def defused(value: Any) -> Any:
    """A text with an apostrophe before what a spreadsheet would take for a formula; anything else as it is.

    Apostrophes of its own before that get one more: taking one away always gives the text again.
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value.lstrip("'")) else value


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet may take a text for one: some look behind spaces."""
    return text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_SIGNS)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as UTF-8 CSV; names of files that are no UTF-8 keep their bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([map(defused, row) for row in rows])
    return text.getvalue().encode("utf-8", "surrogateescape")
