"""Every error that a user can meet.

BenchError                  exit code 1
├── RequestError            exit code 2: what was asked for is wrong; nothing was run
├── RunLocked               exit code 2: another run works in the same directory
├── Unlockable              exit code 2: the file system has no locks
└── RecordError             exit code 2: a stored record cannot be used
    └── NewerRecord         exit code 2: it was written by a newer version of this program
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class BenchError(Exception):
    """Base of all errors that are shown to the user as one message, without a traceback."""

    exit_code = 1


class RequestError(BenchError):
    """A request that cannot be carried out as written: "--seeds must be 1 or more (got 0)."

    Args:
        field: the plan key, flag or argument that is wrong, for instance ``"fractions"``.
        received: the value as the user gave it; None: nothing was given.
        expected: what would have been right, as the end of the sentence "... must be ...".
        remedy: why, and what to type, in sentences; optional.

    Attributes:
        name: what the user calls the field. The command line sets it to the flag.
    """

    exit_code = 2

    def __init__(self, field: str, received: object, expected: str, remedy: str = "") -> None:
        super().__init__(field, received, expected, remedy)
        self.field, self.received, self.expected, self.remedy = field, received, expected, remedy
        self.name = field

    def __str__(self) -> str:
        got = "nothing" if self.received is None else _shown(self.received)
        verb = "" if self.expected.startswith(VERBS) else "be "
        return f"{self.name} must {verb}{self.expected} (got {got}). {self.remedy}".rstrip()


VERBS = ("hold ", "have ", "name ", "give ")
"""What an ``expected`` may begin with instead of standing behind "must be"."""


def _shown(received: object) -> str:
    return repr(received) if isinstance(received, str) else str(received)


@contextmanager
def told_of(field: str) -> Iterator[None]:
    """Lets an error of a dataset name the field that the dataset was given in."""
    try:
        yield
    except RequestError as error:
        if error.field != "dataset":
            raise
        raise RequestError(field, error.received, error.expected, error.remedy) from error


class StoreError(BenchError):
    """A result cannot be written: the disk is full, or the directory is gone. All that was written is kept."""


class RunLocked(BenchError):
    """Another process is running in this run directory."""

    exit_code = 2


class Unlockable(BenchError):
    """A folder lies on a file system without locks, where two runs would write over each other."""

    exit_code = 2

    def __init__(self, path: object, reason: str | None) -> None:
        super().__init__(
            f"{path}: this file system cannot lock files ({reason}), so two runs could write over each other. Put "
            "the run directory (--out) and the cache (TRANSFER_BENCH_CACHE) on a local disk."
        )


class RecordError(BenchError):
    """A stored record cannot be used: it is damaged, or no record."""

    exit_code = 2


class NewerRecord(RecordError):
    """A stored record was written by a newer version of this program."""


def did_you_mean(name: str, valid: Iterable[str], listed_by: str = "") -> str:
    """Returns sentences that help to find the name that was meant: "Did you mean 'lora' or 'l2_sp'?"

    Args:
        name: what was given.
        valid: what would have been right; the three nearest are shown, those that are near.
        listed_by: the list that ``ls`` has of them, such as ``strategies``; empty: none.
    """
    by_lower = {v.lower(): v for v in valid}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    alike = {n: difflib.SequenceMatcher(None, n, name.lower()).ratio() for n in near}
    near = [repr(by_lower[n]) for n in near if alike[n] > max(alike.values()) - MUCH_LESS]
    question = (
        f"Did you mean {' or '.join(filter(None, [', '.join(near[:-1]), *near[-1:]]))}?" if near else ""
    )
    return f"{question} {f'See `python -m bench ls {listed_by}`.' if listed_by else ''}".strip()


MUCH_LESS = 0.09
"""A name that is less alike than the nearest by this is not meant."""
