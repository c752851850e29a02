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
    """A request that cannot be carried out as written.

    Args:
        field: the plan key, flag or argument that is wrong, for instance ``"fractions"``.
        received: the value as the user gave it.
        expected: what would have been right, as the end of the sentence "expected ...".
        remedy: what to do about it, a sentence; optional.
    """

    exit_code = 2

    def __init__(self, field: str, received: object, expected: str, remedy: str = "") -> None:
        self.field, self.received, self.expected, self.remedy = field, received, expected, remedy
        shown = repr(received) if isinstance(received, str) else str(received)
        message = f"{field}: received {shown}; expected {expected}."
        super().__init__(f"{message} {remedy}".rstrip())


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


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A sentence that names the valid name nearest to ``name``, or an empty string if none is near."""
    by_lower = {v.lower(): v for v in valid}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"Did you mean {by_lower[near[0]]!r}?" if near else ""
