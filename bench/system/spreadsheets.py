"""CSV that a person may open: no text in it is a formula to a spreadsheet, and numbers stay numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def defused(value: Any) -> Any:
    """A text with an apostrophe before what a spreadsheet would take for a formula; anything else as it is.

    Apostrophes of its own before that get one more: taking one away always gives the text again.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as UTF-8 CSV; names of files that are no UTF-8 keep their bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([map(defused, row) for row in rows])
    return text.getvalue().encode("utf-8", "surrogateescape")
