"""Logging a run: what is there of it, or each cell as it comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, RequestError
from bench.records import Record
from bench.runs.reporter import Reporter
from bench.runs.results import Run
from bench.store import Store
from bench.trackers.base import Tracker, check, names_of, tracker
from bench.trackers.entries import entry_of, place_of

FILES = ("report.html", "results.csv")
"""Files of a run directory that trackers keep."""

MOST_SAID = 400
"""Characters of what a client library says."""

_log = logging.getLogger("bench")


@dataclass(frozen=True)
class Logged:
    """What was logged.

    Attributes:
        new: cells that were not there yet.
        known: cells that were.
        where: to look, for people.
    """

    new: int
    known: int
    where: str


def log(run: Run, name: str) -> Logged:
    """Logs a run that has ended, or what there is of it.

    Args:
        run: from ``bench.load``.
        name: of a tracker, see ``TRACKERS``.

    Raises:
        RequestError: there is no such tracker, its package is missing, or it cannot be reached.
    """
    try:
        place = place_of(run.directory)
        found = tracker(name, place)
        new = sum(found.log(entry_of(record, place)) for record in run.records)
        files = [run.directory / file for file in FILES]
        found.finish(_answer(run), [file for file in files if file.exists()])
        return Logged(new, len(run.records) - new, found.where)
    except BenchError:
        raise
    except Exception as error:  # each client library has its own
        raise RequestError("to", name, "a tracker that can be reached", _said(error)) from error


def _said(error: Exception) -> str:
    """What a client library says, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}..."


def logged(
    to: str | Sequence[str] | None,
    reporter: Reporter | None,
    run: Callable[..., Run],
    *arguments: Any,
    **more: Any,
) -> Run:
    """Runs a plan, and logs each cell as it ends, and the answer.

    Args:
        to: trackers, see ``names_of``; None: nothing is logged.
        reporter: is told what happens.
        run: ``bench.runs.run.run``.
        arguments, more: of ``run``.

    Raises:
        RequestError: there is no such tracker, or its package is missing; or what ``run`` raises.
    """
    lives: list[Live] = []
    for name in names_of(to):  # each tells the one before
        reporter = Live(name, reporter or Reporter())
        lives.append(reporter)
    result = run(*arguments, reporter=reporter, **more)
    for live in lives:
        live.finish(result)
    return result


def _answer(run: Run) -> str:
    return " ".join(headline for _, headline in run.headlines()) if run.records else ""


class Live(Reporter):
    """Logs each cell as it ends, and tells another reporter what it is told.

    A thread of its own logs, so that no cell waits for a server. What fails there ends the logging and not the run:
    records are kept, and can be logged later.

    Args:
        name: of a tracker.
        others: the reporter that is told as well.

    Raises:
        RequestError: there is no such tracker, or its package is missing.
    """

    def __init__(self, name: str, others: Reporter) -> None:
        check(name)  # before hours are spent
        self.name, self._others = name, others
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._store: Store | None = None
        self._tracker: Tracker | None = None
        self._failed = False

    def say(self, text: str) -> None:
        self._others.say(text)

    def begin(self, prepared: Any, store: Store, todo: Sequence[Any], workers: int, queue: Any) -> None:
        self._store = store
        try:
            self._tracker = tracker(self.name, place_of(store.directory))
        except Exception as error:  # an address that its library does not know
            self._stop(error)
        self._others.begin(prepared, store, todo, workers, queue)

    def event(self, event: Any) -> None:
        self._others.event(event)

    def record(self, record: Record) -> None:
        self._others.record(record)
        self._thread.submit(self._logged, record)

    def end(self) -> None:
        self._others.end()

    def finish(self, run: Run) -> None:
        """After the report: what is not logged yet, the answer and the files."""
        self._thread.submit(self._rest, run)
        self._thread.shutdown(wait=True)

    def _logged(self, record: Record) -> None:
        if self._failed or self._tracker is None:
            return
        try:
            self._tracker.log(entry_of(record, self._tracker.place))
        except Exception as error:  # of any client library
            self._stop(error)

    def _rest(self, run: Run) -> None:
        if self._failed:
            return
        try:
            log(run, self.name)
        except Exception as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        self._failed = True
        directory = self._store.directory if self._store else Path("DIR")
        _log.warning(
            "Logging to %s has stopped: %s. All cells are kept. To log them later: "
            "python -m bench log %s --to %s", self.name, _said(error).rstrip("."), directory, self.name,
        )  # fmt: skip
