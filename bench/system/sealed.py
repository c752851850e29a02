"""Cached files that cannot lie: a checksum stands for their content and for their place in the cache.

The place is made of the key of what is cached. So a file that was damaged, cut short, exchanged with another or
replaced by a link does not match. It is as if it were not there: it is computed again, and the person is told.

The checksum is XXH3, at 20 GB a second on one core: it is verified whenever a file is opened, once a process. It is
for accidents and mix-ups. Against other people the cache is private, see ``files.cache_dir``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
from pathlib import Path
from typing import IO, Literal

import xxhash

from bench.system.files import cache_dir, canonical_json, removed, write_atomic

SEAL = "seal.json"
"""In a folder that is sealed as a whole: the checksum of each of its files."""

CHUNK = 1 << 20

log = logging.getLogger(__name__)

_checksums: dict[Path, tuple[tuple[int, ...], str]] = {}
"""Of the files that this process has read, with the stamp that they had."""
_told: set[Path] = set()


def write(path: Path, content: bytes | str) -> None:
    """Writes a file of the cache, its checksum first. A cache that cannot be written costs time alone."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            removed(path)
        _write(path, content, path)


def _write(path: Path, content: bytes | str, place: Path) -> None:
    data = content.encode() if isinstance(content, str) else content
    write_atomic(path, _sealed(place, data) + b"\n" + data)


def read(path: Path) -> bytes | None:
    """The content of a file that ``write`` wrote; None if it is not there or does not match."""
    try:
        with opened(path) as file:
            seal, _, content = file.read().partition(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        seal, content = b"", b""
    if seal == _sealed(path, content):
        return content
    tell(path)
    return None


def seal(folder: Path, place: Path) -> None:
    """Seals a folder that is complete, before it is renamed to ``place``.

    Raises:
        OSError: a file cannot be read or written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): checksum(path) for path in files}
    _write(folder / SEAL, canonical_json(sums), place / SEAL)


def is_whole(folder: Path) -> bool:
    """Whether a sealed folder has all files that it was sealed with, unchanged."""
    content = read(folder / SEAL)
    if content is not None:
        try:
            if all(checksum(folder / name) == expected for name, expected in json.loads(content).items()):
                return True
        except OSError:
            pass
    if folder.exists():
        tell(folder)
    return False


def checksum(path: Path) -> str:
    """Of a file's content; worked out again when the file has changed since this process last did.

    Raises:
        OSError: it cannot be read, or is a link.
    """
    with opened(path) as file:
        now = stamp(file)
        before, known = _checksums.get(path, ((), ""))
        if before != now:
            found, buffer = xxhash.xxh3_128(), memoryview(bytearray(CHUNK))
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                found.update(buffer[:count])
            known = found.hexdigest()
            _checksums[path] = now, known
    return known


def stamp(file: IO[bytes]) -> tuple[int, ...]:
    """What changes with the content of an open file: nobody can set its ctime, as they can its mtime."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def opened(path: Path, mode: Literal["rb", "r+b"] = "rb") -> IO[bytes]:
    """Opens a file of the cache, unbuffered. Nothing but a file: no link is followed, and no pipe is waited for.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    access = os.O_RDONLY if mode == "rb" else os.O_RDWR
    descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, mode, buffering=0)


def tell(path: Path) -> None:
    """Tells the person, once, that something of the cache is not used: see ``execution.worker`` for workers."""
    if path not in _told:
        _told.add(path)
        log.warning("The cache entry %s is damaged or has been replaced. It is computed again.", path)


def _sealed(path: Path, content: bytes) -> bytes:
    found = xxhash.xxh3_128(os.fsencode(path.relative_to(cache_dir())) + b"\0")
    found.update(content)
    return found.hexdigest().encode()
