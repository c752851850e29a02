"""The cache: what it holds, how large it may grow, and clearing it. Everything in it can be computed again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError
from bench.system import sealed
from bench.system.files import cache_dir, locked, take_lock

LIMIT_GIB = 20.0
"""Default limit of stored prefixes, in GiB; ``TRANSFER_BENCH_CACHE_GIB`` overrides it."""
KEPT_FREE = 1 << 30
"""Bytes that are left free on the disk."""
KINDS = {
    "datasets": "decoded images",
    "objects": "data given from Python",
    "prefixes": "outputs of frozen layers",
    "latency": "measured latencies of networks",
    "timings": "times of a few batches, for forecasts",
    "weights": "converted weights",
    "ranking": "scores of backbones",
}


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Attributes:
        kind: one of KINDS.
        path: file or folder.
        bytes: what it takes on disk.
        used: when it was last used, in seconds since the epoch.
    """

    kind: str
    path: Path
    bytes: int
    used: float


def prefixes_dir() -> Path:
    return cache_dir() / "prefixes"


def objects_dir() -> Path:
    """Where data lie that Python gave."""
    return cache_dir() / "objects"


def limit() -> int:
    """Bytes that stored prefixes may take: the limit, or less where the disk has less left.

    Raises:
        RequestError: ``TRANSFER_BENCH_CACHE_GIB`` is not a number of at least 0.
    """
    text = os.environ.get("TRANSFER_BENCH_CACHE_GIB", str(LIMIT_GIB))
    try:
        gib = float(text)
        if not gib >= 0:
            raise ValueError
    except ValueError:
        raise RequestError("TRANSFER_BENCH_CACHE_GIB", text, "a size in GiB, for instance 20") from None
    return int(min(gib * 2**30, _free() + sum(entry.bytes for entry in entries("prefixes"))))


def entries(kind: str) -> list[Entry]:
    """What there is of a kind, the least recently used first."""
    found = []
    folder = cache_dir() / kind
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix == ".lock" or path.name.startswith("."):
            continue
        try:
            used = (path / "claims").stat().st_mtime if kind == "prefixes" else path.stat().st_mtime
        except OSError:
            used = 0.0
        found.append(Entry(kind, path, _bytes(path), used))
    return sorted(found, key=lambda entry: entry.used)


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Holds a prefix's folder against eviction while its files are made and opened, and marks it as used.

    Files that are open live on when they are deleted, so that it needs no holding afterwards.
    """
    with locked(folder.with_suffix(".lock")):
        for path in (folder, folder / "claims"):
            if path.is_symlink():  # to another one, say: neither read nor written through
                sealed.tell(folder)
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "claims").touch()
        yield


def make_room(needed: int, keep: Path) -> None:
    """Evicts the least recently used prefixes until ``needed`` bytes more are within the limit.

    Args:
        needed: bytes that are going to be written.
        keep: the folder that they are for.
    """
    stored = entries("prefixes")
    excess = sum(entry.bytes for entry in stored) + needed - limit()
    for entry in stored:
        if excess <= 0:
            return
        if entry.path != keep and _evict(entry.path):
            excess -= entry.bytes


def clear(kinds: list[str]) -> int:
    """Deletes what is not in use at this moment; returns the bytes freed.

    Raises:
        RequestError: there is no such kind.
    """
    freed = 0
    for kind in kinds:
        if kind not in KINDS:
            raise RequestError("cache", kind, f"some of {', '.join(KINDS)}, or all")
        for entry in entries(kind):
            if kind != "prefixes" or _evict(entry.path):
                freed += entry.bytes
                shutil.rmtree(entry.path, ignore_errors=True)
                entry.path.unlink(missing_ok=True) if entry.path.is_file() else None
    return freed


def _evict(folder: Path) -> bool:
    """Deletes a prefix unless it is just being opened."""
    try:
        lock = take_lock(folder.with_suffix(".lock"), wait=False)
    except BlockingIOError:
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
    return True


def _free() -> int:
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    return max(0, shutil.disk_usage(folder).free - KEPT_FREE)


def _bytes(path: Path) -> int:
    """What a file or folder takes on disk: files may be sparse."""
    total = 0
    for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
        try:
            total += file.stat().st_blocks * 512
        except OSError:
            continue
    return total


def age(used: float) -> str:
    """``3 min ago``, for a listing."""
    seconds = max(0.0, time.time() - used)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
