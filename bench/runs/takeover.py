"""Finished cells of the runs beside a run: the same cell has the same result, so it need not run twice.

A directory beside this one is data, which may come from anywhere. A record is taken as it would be read: by its
schema, under the id that its own cell has, with the very predictions that it speaks of. Nothing there is changed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.records import PROTOCOL_VERSION, Cell, Record
from bench.store import Store
from reports.words import plural


@dataclass(frozen=True)
class Offer:
    """What another run has of the cells that are missing here.

    Attributes:
        store: of its directory.
        records: finished.
        looks: see ``reports.statistics.looks``.
    """

    store: Store
    records: tuple[Record, ...]
    looks: tuple[int, ...]


def offers(store: Store, cells: Sequence[Cell]) -> list[Offer]:
    """The finished ones among these cells in the run directories beside this one, each once.

    Args:
        store: of the run directory.
        cells: what it lacks.
    """
    missing = {cell.id for cell in cells}
    fingerprints = {cell.fingerprint for cell in cells}
    found = []
    for directory in _beside(store.directory) if missing else ():
        other = Store(directory)
        info = other.read_run()
        same_data = not fingerprints.isdisjoint(info.get("datasets", {}))
        if info.get("protocol_version") != PROTOCOL_VERSION or not same_data:
            continue
        records = tuple(record for cell_id in sorted(missing) if (record := other.finished(cell_id)))
        if records:
            missing -= {record.cell_id for record in records}
            found.append(Offer(other, records, tuple(looks_before(info.get("looks"), records))))
    return found


def looks_before(known: Sequence[int] | None, records: Collection[Record]) -> list[int]:
    """The looks of a run; of one that was made before they were kept, the seeds that it has finished."""
    return list(known or [max(record.cell["seed"] for record in records) + 1] if known or records else [])


def take(store: Store, offered: Sequence[Offer]) -> Iterator[str]:
    """Copies what is offered; yields a sentence for every run that gave some.

    Raises:
        StoreError: the directory cannot be written.
    """
    for offer in offered:
        if count := sum(store.take_over(offer.store, record) for record in offer.records):
            yield f"Took {plural(count, 'finished cell')} from {offer.store.directory}."


def _beside(directory: Path) -> list[Path]:
    """The other run directories in the same folder that belong to this user, or to whom the folder belongs.

    In ``/tmp`` anybody might have made one.
    """
    # Of "." and ".." the parent is not what the path says.
    folder = directory.parent if directory.name not in ("", "..") else directory.resolve().parent
    found: list[Path] = []
    with contextlib.suppress(OSError):
        trusted = {os.geteuid(), folder.stat().st_uid}
        for path in sorted(folder.glob("*/run.json")):
            linked = path.is_symlink() or path.parent.is_symlink()
            if not linked and path.parent.stat().st_uid in trusted and not path.parent.samefile(directory):
                found.append(path.parent)
    return found
