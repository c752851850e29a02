"""What did strategies make of examples of the source? The pictures that some of them leave."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from bench.records import Record
from reports import words
from reports.results import Results, noun_of
from reports.sections import Picture, Section
from reports.tables import dataset_names

LARGEST = 4 * 2**20
"""Bytes of a file of pictures that is shown; ours are far smaller."""
MOST_PICTURES = 4


def section(run: Results) -> Section | None:
    """The pictures, where examples may be shown."""
    found = [] if run.previews is None else pictures(run.records, run.directory)
    return Section("pictures", "", found) if found else None


def pictures(records: Sequence[Record], directory: Path) -> list[Picture]:
    """The pictures that strategies have left, of the first seed of each; at most four. Each has two rows: before
    and after."""
    names = dataset_names(records)
    found: dict[tuple[str, str], Picture] = {}
    for record in sorted(records, key=lambda r: (r.cell["fraction"], r.cell["seed"], r.cell_id)):
        path = directory / "predictions" / f"{record.cell_id}.png"
        key = (names[record.cell["fingerprint"]], record.cell["strategy"])
        if record.status != "ok" or key in found or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        source = words.clean(record.cell["companions"].get("source", {}).get("name", ""), 40)
        title = (
            f"{words.strategy_name(key[1])}: {noun_of(records).many} of {source} (above) and what was made of them "
            f"for {words.clean(key[0], 40)} (below), with {words.count(record.n or 0)} labels and "
            f"seed {record.cell['seed']}"
        )
        uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        found[key] = Picture(title, uri)
    return list(found.values())[:MOST_PICTURES]
