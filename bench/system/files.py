"""Files: where the caches lie, and writing so that a reader never sees half a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import mmap
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from bench.errors import RequestError, Unlockable

if TYPE_CHECKING:
    import numpy as np

TEMPORARY_PREFIX = ".tmp-"


def cache_dir() -> Path:
    """The folder of everything that can be computed again, made for its owner alone.

    ``TRANSFER_BENCH_CACHE`` if set, else the platform's cache folder for ``transfer-bench``.

    Raises:
        RequestError: it belongs to somebody else, and others can write to it: what it holds may be anybody's.
    """
    folder = Path(os.environ.get("TRANSFER_BENCH_CACHE") or platformdirs.user_cache_dir("transfer-bench"))
    try:
        status = folder.stat()
    except OSError:
        with contextlib.suppress(OSError):  # told by whoever writes to it
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
    if status.st_uid != os.geteuid() and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        expected = "a cache folder of your own, or one that nobody but its owner can write to"
        remedy = f"It belongs to user {status.st_uid}, and others can change it. Set it to another folder."
        raise RequestError("TRANSFER_BENCH_CACHE", str(folder), expected, remedy)
    return folder


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


LFS_POINTER = b"version https://git-lfs"
"""What git keeps in place of a large file that was not downloaded begins with this."""


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is such a pointer."""
    with path.open("rb") as file:
        return file.read(64).startswith(LFS_POINTER)


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """A hexadecimal hash of ``length`` characters of a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


LARGEST = 256 * 2**20
"""Bytes of the largest file of a run directory that is read: one of a million test examples has a tenth of it."""


def read_file(path: Path) -> bytes:
    """The bytes of a file of a run directory.

    Raises:
        OSError: there is none, or something else in its place (a folder, a pipe, a link that leads nowhere), or it
            has more bytes than ``LARGEST``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for its writer
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        if about.st_size > LARGEST:
            raise OSError(
                errno.EFBIG, f"it has {about.st_size:,} bytes, and {LARGEST:,} are the most that are read"
            )
        return file.read()


def write_atomic(path: Path, data: bytes | str) -> None:
    """Writes a file such that it holds, at any moment and after a power cut, the old or the new content.

    A link in its place is replaced and not followed. Who may read it says the umask.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    if isinstance(data, str):
        data = data.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Renames a finished temporary file into place, durably. Both lie in the same file system."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes what was made, renamed or deleted in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def removed(path: Path) -> None:
    """Deletes a file, a link (not what it leads to) or a folder, if it is there and may be deleted."""
    with contextlib.suppress(OSError):
        path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path, ignore_errors=True)


def take_lock(path: Path, shared: bool = False, wait: bool = True) -> int:
    """Locks a file, which is made for it, for this process; returns its descriptor, whose end is that of the lock.

    The lock is the kernel's (``flock``; on NFS since Linux 2.6.12 the server's), so none can be stale. What is in
    the file stays, and a link is not followed: who shares the folder could have it lead to another's file.

    Raises:
        BlockingIOError: another process has it, and it was not to be waited for.
        Unlockable: this file system has no locks.
        OSError: the file cannot be made or opened, or is none.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                raise Unlockable(path, error.strerror) from error
            raise
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What ``flock`` says on a file system that has none, as some network file systems."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``path``, see ``take_lock``, waiting for it if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = take_lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def rows_of(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Copies rows of an array; if it is memory-mapped, lets go of the pages that this touched.

    The kernel keeps them cached as long as there is room, but this process does not grow by them.
    """
    result = array[rows]
    base: Any = array
    while getattr(base, "base", None) is not None:
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
    return result
