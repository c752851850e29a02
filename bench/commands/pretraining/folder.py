"""The folder of a source while it is being made: whole or absent, and for one process alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.errors import RequestError, RunLocked, StoreError
from bench.system.files import TEMPORARY_PREFIX, sync_folder


@contextlib.contextmanager
def being_written(folder: Path) -> Iterator[Path]:
    """A hidden folder beside ``folder`` that takes its place if all goes well, and else is deleted.

    It is locked by the kernel for the process that fills it, so what a killed one has left is known for that, and
    is deleted by the next.

    Raises:
        RunLocked: another process is at it.
        RequestError: the folder cannot be made.
    """
    made = folder.parent / f"{TEMPORARY_PREFIX}{folder.name}"
    try:
        made.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(made, os.O_RDONLY)
    except OSError as error:
        raise RequestError("out", str(folder), f"a folder that can be written ({error.strerror})") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(
                f"{folder}: another process is writing this source. Choose another --out."
            ) from None
        late = RunLocked(f"{folder}: another process has just written this source. Choose another --out.")
        if not _is_at(descriptor, made):
            raise late
        try:
            if folder.exists():
                raise late
            for stale in made.iterdir():
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
            yield made
            with writing(folder):
                sync_folder(made)
                os.rename(made, folder)  # refused if there is something by now
                sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open folder is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says of a failure to write what became of the source.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"{folder}: the source could not be written ({reason}). Nothing of it is kept."
        ) from error
