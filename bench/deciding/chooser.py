"""Cells of a run that ends when it is decided, or when its time is up: each is chosen when a worker is free."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.deciding.race import Arm, Race, Step, next_step
from bench.execution.queue import Queue
from bench.records import Cell, Record
from reports.statistics.best import Family
from reports.statistics.decisions import succeeded
from reports.statistics.looks import Looks
from reports.statistics.pairs import Measured
from reports.tables import results_frame

FLOOR = "majority"
"""The strategy that is no candidate."""

Name = tuple[str, str, str, str]
"""Fingerprint of the dataset, strategy, backbone, weights."""


@dataclass(frozen=True)
class Rules:
    """How a run is cut short.

    Attributes:
        looks: when claims are made.
        region: differences within plus or minus this count as none.
        seconds: after so many no cell is begun that would take longer; ``inf``: as long as it takes.
        gain: what all labels probably add to the fewest for a strategy, from earlier runs; None: not known.
    """

    looks: Looks
    region: float
    seconds: float = math.inf
    gain: Callable[[Cell], float | None] = lambda cell: None


@dataclass
class Course:
    """What became of the race for one dataset.

    Attributes:
        ended: ``decided``, ``unsettled`` (no more seeds can settle it), ``budget``, or empty while it goes on.
        out: arms that are surely not the best.
        left: cells that were not run, by why.
    """

    ended: str = ""
    out: list[Name] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


class Chooser(Queue):
    """A queue that knows what came of its cells.

    Args:
        cells: all that might run, of one plan: with as many seeds as the last look has.
        stored: records that are there.
        seconds: what a cell will take; NaN where that is not known.
        rules: when it ends.
        directory: of the run, for predictions.
        clock: seconds since the run began.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        stored: Iterable[Record],
        seconds: Callable[[Cell], float],
        rules: Rules,
        directory: Path,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__()
        began = time.monotonic()
        self.cells, self.seconds, self.rules, self.directory = list(cells), seconds, rules, directory
        self.clock = clock or (lambda: time.monotonic() - began)
        self.records = {record.cell_id: record for record in stored}
        self.running: dict[str, Cell] = {}
        self.fields = {print_: _Field(print_, self) for print_ in dict.fromkeys(c.fingerprint for c in cells)}
        self._next: Cell | None = None
        self._asked = False

    def __bool__(self) -> bool:
        return bool(self.rounds) or self.peek() is not None

    def __len__(self) -> int:
        first = min(self.rules.looks.seeds, default=1)
        waiting = sum(cell.seed < first for cell in self.cells if cell.id not in self.records)
        # Beyond the first look it depends on results: up to one of each arm at a time.
        return max(waiting, sum(len(some.names) for some in self.fields.values()) if self else 0)

    def batch_size(self, slots: int) -> int:
        """See ``Queue``: one, for what comes of it decides about the next."""
        return 1

    def take(self, worker: int) -> Cell | None:
        """The cell that is worth most for its price; None while that depends on cells that run."""
        cell = super().take(worker) if self.rounds else self.peek()
        self._asked = False
        if cell is not None:
            self.running[cell.id] = cell
        return cell

    def put_back(self, cell: Cell) -> None:
        """Takes back a cell that has to run once more."""
        self.running.pop(cell.id, None)
        self._asked = False
        super().put_back(cell)

    def add(self, record: Record) -> None:
        """Learns what became of a cell."""
        self.running.pop(record.cell_id, None)
        self.records[record.cell_id] = record
        self._asked = False

    def fits(self, cell: Cell) -> bool:
        """Whether there is time for a cell."""
        needed = self.seconds(cell)
        return self.clock() + (0.0 if math.isnan(needed) else needed) <= self.rules.seconds

    def peek(self) -> Cell | None:
        """The next cell; chosen anew only when something has happened."""
        if self.rounds:
            return super().peek()
        if not self._asked:
            self._asked = True
            # Datasets in turn: the one with the fewest cells so far.
            turns = sorted(self.fields.values(), key=lambda some: some.begun)
            self._next = next((cell for some in turns if (cell := some.next_cell()) is not None), None)
        return self._next

    def upcoming(self) -> Cell | None:
        """The cell that was chosen last and has not begun. Chooses none: only the thread that takes cells may."""
        return super().upcoming() or (self._next if self._asked else None)

    def chosen(self) -> list[str]:
        """Ids of the cells that have run."""
        return [cell.id for cell in self.cells if cell.id in self.records]

    def course(self) -> dict[str, Any]:
        """For ``run.json``: by fingerprint how it ended, who is out, and how many cells were not run, by why."""
        return {
            print_: {
                "ended": course.ended,
                "out": [list(name[1:]) for name in course.out],
                "left": dict(course.left),
            }
            for print_, course in self.courses().items()
        }

    def courses(self) -> dict[str, Course]:
        """By fingerprint, what became of each dataset."""
        return {print_: some.course() for print_, some in self.fields.items()}


class _Field:
    """The arms of one dataset and their cells."""

    def __init__(self, fingerprint: str, chooser: Chooser) -> None:
        self.chooser = chooser
        self.cells = [cell for cell in chooser.cells if cell.fingerprint == fingerprint]
        shares = sorted({cell.fraction for cell in self.cells})
        self.fewest, self.most = shares[0], shares[-1]
        self.by_place = {(_name(cell), cell.fraction, cell.seed): cell for cell in self.cells}
        candidates = (cell for cell in self.cells if cell.strategy != FLOOR and cell.fraction == self.most)
        self.names = [*dict.fromkeys(_name(cell) for cell in candidates)]
        self.seeds = 1 + max(cell.seed for cell in self.cells)
        self.ended = ""

    @property
    def begun(self) -> int:
        """How many of its cells have run or run now."""
        known = self.chooser.records.keys() | self.chooser.running.keys()
        return sum(cell.id in known for cell in self.cells)

    def next_cell(self) -> Cell | None:
        """What to run next of this dataset."""
        if (cell := self._first_of(self._floor())) is not None:
            return cell
        if (cell := self._raced()) is not None or not self.ended:
            return cell
        return self._first_of(self._curve())

    def _raced(self) -> Cell | None:
        """The next cell of the race itself; None while it has to wait, and when it has ended."""
        without: set[Name] = set()
        while True:
            names = [name for name in self.names if name not in without]
            step = self._step(names)
            if step.what in ("decided", "unsettled"):
                self.ended = self.ended or ("budget" if without else step.what)
                return None
            if step.what == "wait":
                return None
            name = names[step.arm]
            fraction = self.fewest if step.what == "probe" else self.most
            cell = self.by_place.get((name, fraction, step.seed))
            if cell is not None and self.chooser.fits(cell):
                self.ended = ""
                before = self._curve_of(names[step.ahead]) if step.ahead >= 0 else []
                return self._first_of(before) or cell
            if step.what == "raise":  # the others alone would settle nothing
                self.ended = "budget"
                return None
            without.add(name)

    def _step(self, names: list[Name]) -> Step:
        if not names:
            return Step("unsettled")
        race = self.race(names)
        return next_step(race)

    def race(self, names: Sequence[Name]) -> Race:
        """The race among these arms, as it stands."""
        frame = succeeded(results_frame(self._ok(names, self.most)))
        by_name = {
            (str(key[0]), str(key[1]), str(key[2])): rows.set_index("seed").sort_index()
            for key, rows in frame.groupby(["strategy", "backbone", "weights"], sort=False)
        }

        def family(chosen: Sequence[int]) -> Family:
            runs = [Measured(by_name[names[i][1:]], self.chooser.directory) for i in chosen]
            return Family(runs, self.chooser.rules.looks, self.chooser.rules.region)

        looks = [look for look in sorted(self.chooser.rules.looks.seeds) if look <= self.seeds] or [
            self.seeds
        ]
        arms = [self._arm(name) for name in names]
        known = [arm.seconds for arm in arms if not math.isnan(arm.seconds)]
        typical = median(known) if known else 1.0
        arms = [replace(arm, seconds=typical) if math.isnan(arm.seconds) else arm for arm in arms]
        return Race(arms, looks, self.chooser.rules.region, family, self.fewest < self.most)

    def _arm(self, name: Name) -> Arm:
        chooser = self.chooser
        probe = self.by_place.get((name, self.fewest, 0))
        place = {
            seed: cell
            for (of, share, seed), cell in self.by_place.items()
            if (of, share) == (name, self.most)
        }
        values = {seed: value for seed, cell in place.items() if (value := self._value(cell)) is not None}
        pending = {seed for seed, cell in place.items() if cell.id in chooser.running}
        if probe is not None and self.fewest < self.most and probe.id in chooser.running:
            pending.add(-1)
        some = next(iter(place.values()))
        return Arm(
            probe=None if probe is None else self._value(probe),
            probed=probe is None or probe.id in chooser.records,
            values=values,
            pending=frozenset(pending),
            seconds=chooser.seconds(some),
            probe_seconds=math.inf if probe is None else _known(chooser.seconds(probe)),
            gain=chooser.rules.gain(some),
            closed=self._has_failed(name),
        )

    def _value(self, cell: Cell) -> float | None:
        record = self.chooser.records.get(cell.id)
        return record.metrics.get(cell.metric) if record is not None and record.status == "ok" else None

    def _ok(self, names: Sequence[Name], fraction: float) -> list[Record]:
        known = set(names)
        found = (self.chooser.records.get(cell.id) for (name, share, _), cell in self.by_place.items()
                 if name in known and share == fraction)  # fmt: skip
        return [record for record in found if record is not None and record.status == "ok"]

    def _has_failed(self, name: Name) -> bool:
        """Whether some seed of an arm with all labels has run and has no result."""
        mine = (cell for (of, share, _), cell in self.by_place.items() if (of, share) == (name, self.most))
        return any(cell.id in self.chooser.records and self._value(cell) is None for cell in mine)

    def _floor(self) -> list[Cell]:
        """Cells of the floor, which cost next to nothing."""
        first = min(self.chooser.rules.looks.seeds, default=1)
        shares = (self.most, self.fewest)
        return [c for c in self.cells if c.strategy == FLOOR and c.fraction in shares and c.seed < first]

    def _curve(self) -> list[Cell]:
        """What tells whether more labels would help: the recommended arm at all label counts."""
        names = [name for name in self.names if self._ok([name], self.most)]
        if not names:
            return []
        race = self.race(names)
        first = min(race.looks)
        whole = [i for i, arm in enumerate(race.arms) if len(arm.values) >= first]
        if not whole:
            return []
        family = race.family(whole)
        return self._curve_of(names[whole[min(range(len(whole)), key=family.at_most)]])

    def _curve_of(self, name: Name) -> list[Cell]:
        """An arm at all label counts, once it has reached the first look; none before."""
        first = min(*self.chooser.rules.looks.seeds, self.seeds)
        mine = [c for c in self.cells if _name(c) == name and c.seed < first]
        whole = [c for c in mine if c.fraction == self.most and self._value(c) is not None]
        return sorted(mine, key=lambda cell: (cell.seed, cell.fraction)) if len(whole) == first else []

    def _first_of(self, cells: Sequence[Cell]) -> Cell | None:
        """The first that has not run, does not run and fits."""
        known = self.chooser.records.keys() | self.chooser.running.keys()
        return next((cell for cell in cells if cell.id not in known and self.chooser.fits(cell)), None)

    def course(self) -> Course:
        """What became of it, and why cells were not run."""
        course = Course(self.ended)
        names = self.names
        race = self.race(names) if names else None
        whole = [i for i, arm in enumerate(race.arms) if len(arm.values) >= min(race.looks)] if race else []
        if race is not None and whole:
            family = race.family(whole)
            course.out = [names[i] for place, i in enumerate(whole) if family.is_out(place)]
        for cell in self.cells:
            if cell.id not in self.chooser.records:
                course.left[self._why(cell, course)] += 1
        return course

    def _why(self, cell: Cell, course: Course) -> str:
        """Why a cell was not run."""
        if _name(cell) in course.out:
            return "out"
        if self._has_failed(_name(cell)):
            return "failed"
        if cell.fraction not in (self.most, self.fewest):
            return "curve"
        return course.ended or "waiting"


def _name(cell: Cell) -> Name:
    return cell.fingerprint, cell.strategy, cell.backbone, cell.weights


def _known(seconds: float) -> float:
    return 0.0 if math.isnan(seconds) else seconds
