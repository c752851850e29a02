"""What a finished grid would have cost, had its cells been chosen one by one: real records, no training.

Four orders spend what the cells of a run cost. That is the least that any seed of a cell took: whatever else ran on
the machine only made the others slower.

- ours: the race of ``--until decided``, with the looks that the run's seeds allow;
- rounds: the order of a run without a budget;
- arms: candidate by candidate, as runs did before;
- halving: every candidate with the fewest labels, then the better half one more seed with all labels, and so on.

For each: the share of the grid's seconds after which the recommendation is that of the whole grid, and stays; after
which it is one whose mean in the whole grid is within the region of the highest, and stays one (good); by how many
points the mean of whoever is recommended is behind the highest, after some shares; how often the recommendation
changed; and for ours how it ended and at what share.

    python tests/benchmarks/replay.py [RUN ...]

A run is a directory, or a file of ``packed.py``. Without any: the runs that are packed in ``records``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from packed import unpacked

import bench
from bench.deciding.chooser import FLOOR, Chooser, Rules
from bench.deciding.rounds import in_rounds
from bench.records import Cell, Record
from reports.statistics.decisions import decide
from reports.statistics.looks import UNTIL_DECIDED, Looks
from reports.tables import results_frame

RECORDS = Path(__file__).parent / "records"
SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)
"""Of the whole grid's seconds."""

Name = tuple[str, str, str]


def prices(records: list[Record]) -> dict[str, float]:
    """Seconds by cell id."""
    least: dict[tuple[Name, float], float] = {}
    for record in records:
        seconds = float(record.costs.get("wall_seconds") or record.costs.get("total_seconds") or 0.0)
        place = _place(record)
        least[place] = min(seconds, least.get(place, seconds))
    return {record.cell_id: least[_place(record)] for record in records}


def means(records: list[Record]) -> dict[Name, float]:
    """Of all seeds, with the most labels."""
    most = max(record.cell["fraction"] for record in records)
    values: dict[Name, list[float]] = {}
    for record in records:
        if record.cell["fraction"] == most and record.cell["strategy"] != FLOOR:
            values.setdefault(_place(record)[0], []).append(record.metrics.get(record.cell["metric"], 0.0))
    return {name: fmean(each) for name, each in values.items()}


def _place(record: Record) -> tuple[Name, float]:
    cell = record.cell
    return (cell["strategy"], cell["backbone"], cell["weights"]), cell["fraction"]


def recommended(records: list[Record], directory: Path) -> Name | None:
    """Who would be recommended by these, with the most labels that any of them has."""
    found = decide(results_frame(records), directory) if records else []
    return (c := found[-1].recommended) and (c.strategy, c.backbone, c.weights) if found else None


def arms(cells: list[Cell]) -> Iterator[Cell]:
    yield from sorted(cells, key=lambda c: (c.backbone, c.weights, c.strategy, -c.fraction, c.seed))


def halving(cells: list[Cell], records: dict[str, Record]) -> Iterator[Cell]:
    fewest, most = min(c.fraction for c in cells), max(c.fraction for c in cells)
    place = {(_name(c), c.fraction, c.seed): c for c in cells}
    left = [*dict.fromkeys(_name(c) for c in cells if c.strategy != FLOOR)]

    def value(name: Name, fraction: float, seed: int) -> float:
        cell = place.get((name, fraction, seed))
        return -1.0 if cell is None else records[cell.id].metrics.get(cell.metric, -1.0)

    yield from (place[name, fewest, 0] for name in left if (name, fewest, 0) in place)
    left.sort(key=lambda name: -value(name, fewest, 0))
    left = left[: max(2, len(left) // 2)]
    for seed in range(1 + max(c.seed for c in cells)):
        yield from (place[name, most, seed] for name in left if (name, most, seed) in place)
        left.sort(key=lambda name, seed=seed: -sum(value(name, most, s) for s in range(seed + 1)))
        left = left[: max(2, len(left) // 2)]


def ours(chooser: Chooser, records: dict[str, Record]) -> Iterator[Cell]:
    while chooser:
        cell = chooser.take(0)
        assert cell is not None
        yield cell
        chooser.add(records[cell.id])


def _name(cell: Cell) -> Name:
    return cell.strategy, cell.backbone, cell.weights


def _points(behind: dict[Name, float], name: Name | None) -> float | None:
    return None if name is None else round(100 * behind[name], 1)


def _since(before: float | None, share: float, is_so: bool) -> float | None:
    """From when on something is so, to stay."""
    return (before or round(share, 3)) if is_so else None


def measure(directory: Path) -> dict[str, Any]:
    run = bench.load(directory)
    records = {r.cell_id: r for r in run.records}
    cells = [Cell.of(r.cell) for r in run.records]
    if len({c.fingerprint for c in cells}) > 1:
        raise SystemExit(f"{directory}: replay runs of one dataset")
    price, mean = prices(run.records), means(run.records)
    behind = {name: max(mean.values()) - value for name, value in mean.items()}
    good = [name for name, points in behind.items() if points <= run.settings.region]
    whole, final = sum(price.values()), recommended(run.records, directory)
    rules = Rules(Looks(UNTIL_DECIDED), run.settings.region)
    chooser = Chooser(cells, [], lambda cell: price[cell.id], rules, directory)
    ways = {
        "ours": ours(chooser, records),
        "rounds": (cell for cells_of in in_rounds(cells) for cell in cells_of),
        "arms": arms(cells),
        "halving": halving(cells, records),
    }
    found: dict[str, Any] = {}
    for way, order in ways.items():
        spent, there, stands, is_good, changes, then = 0.0, [], None, None, 0, None
        at = {}
        for cell in order:
            there.append(records[cell.id])
            spent += price[cell.id]
            at |= {share: then for share in SHARES if spent > share * whole and share not in at}
            now = recommended(there, directory)
            changes += now != then
            stands = _since(stands, spent / whole, now == final)
            is_good = _since(is_good, spent / whole, now in good)
            then = now
        found[way] = {
            "stands at": stands, "good at": is_good, "ends at": round(spent / whole, 3), "changes": changes,
            "recommends": then,
            "points behind at": {share: _points(behind, at.get(share, then)) for share in SHARES},
        }  # fmt: skip
    (course,) = chooser.courses().values()
    return {
        "run": directory.name, "cells": len(cells), "seconds": round(whole), "whole grid": final,
        "good": sorted(name[0] for name in good), "ours ended": course.ended, **found,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    for path in parser.parse_args().runs or sorted(RECORDS.glob("*.json.gz")):
        with unpacked(path) as directory:
            print(json.dumps(measure(directory)), flush=True)


if __name__ == "__main__":
    main()
