"""Objects that Python gave: a sealed folder of the cache for each content, named by it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.system import sealed
from bench.system.cache import objects_dir
from bench.system.files import TEMPORARY_PREFIX, locked, removed


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder beside the objects, gone afterwards.

    Raises:
        BenchError: the cache cannot be written.
    """
    with _told():
        objects_dir().mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=objects_dir()))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def keep(name: str, key: str, write: Callable[[Path], None]) -> str:
    """The path of a file in the folder of a content, written unless it is there, whole.

    Args:
        name: of the file.
        key: of the content.
        write: writes the file, and what belongs to it beside it.

    Raises:
        BenchError: the cache cannot be written.
    """
    place = objects_dir() / key
    with _told(), locked(place.with_suffix(".lock")):
        if not sealed.is_whole(place):
            removed(place)
            with temporary_folder() as folder:
                write(folder / name)
                sealed.seal(folder, place)
                os.rename(folder, place)
    return str(place / name)


@contextmanager
def _told() -> Iterator[None]:
    """Says what a full disk or a folder that cannot be written means."""
    try:
        yield
    except OSError as error:
        raise BenchError(
            f"The data cannot be kept in {str(objects_dir())!r}: {error.strerror or error}. Set "
            "TRANSFER_BENCH_CACHE to a folder that can be written and has room for them."
        ) from error
