"""Stored prefixes: what everything below a cut makes of an example, computed once and kept on disk.

One folder a (part of a dataset, backbone, weights, cut, augmented view), with one float16 file a crossing tensor
and a checksum for each row. Rows are computed when they are first asked for, in batches of one fixed size, so that
a row's numbers do not depend on who asked for it, nor on which other rows are stored. Several processes fill one
folder together. A prefix that is not worth its place is not stored but computed, in the same batches and rounded to
the same type, whenever it is asked for: its numbers are the same.

Texts are as long as they are. Those of one length are computed together and lie in a folder of their own, so that
short ones cost little, and so that a row's numbers do not depend on how long the others are.

A checksum is over a row's numbers and over which row of which folder it is. Rows that do not match are computed
again, and a file of the wrong size is made anew; deleting the folder at any time harms nothing.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import xxhash

from bench.system import cache, machine, sealed
from bench.system.files import digest, locked, removed, rows_of
from bench.training.examples import Augmentation, PartExamples

BATCH = 64
SHORT = 8
"""The length of no examples at all."""
SHORT_ROW = 16
"""The longest rows of which BATCH are computed together."""
BLOCK = 4 * BATCH
"""Rows that one process claims, computes and writes at a time."""
STORED_TYPE = np.dtype(np.float16)
SUMS, SUM_TYPE = "sums.npy", np.dtype(np.uint64)
LARGEST = float(np.finfo(STORED_TYPE).max)
VIEWS = 2
"""The example itself and one augmented view of it, where augmentation is on.

On clothing, feature extraction and partial fine-tuning were as accurate with 2 views as with 4 (0.713 and 0.784 on
average over three label counts, against 0.708 and 0.774), at half the cost; with 1, 1.5 points less.
"""
MEMORY_SPEED, DISK_SPEED = 1e9, 1.5e8
"""Bytes a second at which stored rows are reckoned to be read: from the kernel's page cache, and from a disk."""

Compute = Callable[..., list[np.ndarray]]
"""From a network's input tensors to the tensors that cross the cut, each (BATCH, ...)."""


def batch_of(length: int | None) -> int:
    """Rows that are computed together: fewer where they are long, as a batch that is not full costs as much."""
    return BATCH if length is None else max(1, BATCH * SHORT_ROW // max(length, SHORT_ROW))


def block_of(length: int | None, row_bytes: int) -> int:
    """Rows of a part that are a block. Few are of one length: of small blocks, batches would be nearly empty."""
    return BLOCK if length is None else min(16 * BLOCK, max(BLOCK, 2**27 // row_bytes))


class _SlowerToReadError(Exception):
    """Rows of this size are computed faster than they are read."""


class View(Protocol):
    """One view of all examples of a part, behind the frozen layers."""

    def read(self, rows: np.ndarray) -> list[np.ndarray]:
        """float16 crossing tensors of ``rows``."""


@dataclass(frozen=True)
class Stored:
    """A view that lies on disk."""

    tensors: list[np.ndarray]

    def read(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows_of(tensor, rows) for tensor in self.tensors]


@dataclass(frozen=True)
class Computed:
    """A view that is computed whenever it is read."""

    compute: Callable[[np.ndarray], list[np.ndarray]]
    """From ``size`` decoded examples."""
    decoded: Callable[[np.ndarray], np.ndarray]
    size: int = BATCH

    def read(self, rows: np.ndarray) -> list[np.ndarray]:
        chunks = [self._chunk(rows[first : first + self.size]) for first in range(0, len(rows), self.size)]
        return [np.concatenate(tensors) for tensors in zip(*chunks, strict=True)]

    def _chunk(self, rows: np.ndarray) -> list[np.ndarray]:
        batch = self.decoded(rows)
        if len(rows) < self.size:
            rest = np.zeros((self.size - len(rows), *batch.shape[1:]), batch.dtype)
            batch = np.concatenate([batch, rest])
        return [
            np.clip(tensor[: len(rows)], -LARGEST, LARGEST).astype(STORED_TYPE)
            for tensor in self.compute(batch)
        ]


@dataclass(frozen=True)
class ByLength:
    """A view of examples that are not all of one length.

    Args:
        lengths: of each example of the part, int64 (M,).
        views: of those of each length.
        ragged: which of the tensors have the length as their first axis.
    """

    lengths: np.ndarray
    views: dict[int, View]
    ragged: list[bool]

    def read(self, rows: np.ndarray) -> list[np.ndarray]:
        """Filled up with zeros to the longest of these rows."""
        lengths = self.lengths[rows]
        longest = int(lengths.max(initial=SHORT))
        result: list[np.ndarray] = []
        for length in np.unique(lengths).tolist() or [*self.views][:1]:
            here = np.flatnonzero(lengths == length)
            found = zip(self.views[length].read(rows[here]), self.ragged, strict=True)
            for i, (tensor, is_ragged) in enumerate(found):
                if i == len(result):
                    axes = (longest, *tensor.shape[2:]) if is_ragged else tensor.shape[1:]
                    result.append(np.zeros((len(rows), *axes), tensor.dtype))
                if is_ragged:
                    result[i][here, :length] = tensor
                else:
                    result[i][here] = tensor
        return result


@dataclass(frozen=True)
class Prefix:
    """The output of a frozen part of a network for some examples.

    Args:
        views: the example itself, then augmented views.
        rows: which rows of the part are meant, int64 (N,).
        seconds_per_example: what computing the stored views of one example took when they were stored; views that
            are computed whenever they are read count as training.
    """

    views: list[View]
    rows: np.ndarray
    seconds_per_example: float

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        """float32 tensors of the examples ``index``; of a random view each, or unaugmented without ``rng``."""
        rows = self.rows[index]
        if rng is None or len(self.views) == 1:
            return [tensor.astype(np.float32) for tensor in self.views[0].read(rows)]
        chosen = rng.integers(len(self.views), size=len(rows))
        result: list[np.ndarray] = []
        for view in np.unique(chosen).tolist():
            here = np.flatnonzero(chosen == view)
            tensors = self.views[view].read(rows[here])
            if not result:
                result = [np.empty((len(rows), *tensor.shape[1:]), np.float32) for tensor in tensors]
            for target, tensor in zip(result, tensors, strict=True):
                target[here] = tensor
        return result


class PrefixStore:
    """The prefixes below one cut of one network.

    Args:
        identity: everything that the output depends on but the examples: the layers (of which the first are the
            preprocessing), the hash of their weights' values, input size, backend, threads, precision and
            library versions.
        shapes: of the crossing tensors, without the batch; None is the length of the examples.
        compute: see ``Compute``.
    """

    def __init__(
        self, identity: dict[str, object], shapes: Sequence[tuple[int | None, ...]], compute: Compute
    ) -> None:
        self.identity = identity
        self.shapes = [tuple(shape) for shape in shapes]
        self.compute = compute
        self._lengths: dict[str, np.ndarray] = {}
        self._warm = False
        self._is_slower_to_read = False
        self._verified: dict[str, _Verified] = {}

    def get(self, examples: PartExamples, augmentation: Augmentation | None, views: int) -> Prefix:
        """The prefix of ``examples`` in ``views`` views, computing and storing what is not there yet."""
        groups = self._by_length(examples)
        needed = sum(self._row_bytes(length) * len(part) for length, part in groups) * views
        keeps = needed <= cache.limit()
        found = {
            length: self._one_length(part, length, augmentation, views, keeps) for length, part in groups
        }
        seconds = sum(found[length][1] * len(part) for length, part in groups) / max(len(examples), 1)
        if None in found:
            return Prefix(found[None][0], examples.index, seconds)
        lengths, ragged = self._lengths[examples.key], [None in shape for shape in self.shapes]
        of_all: list[View] = [
            ByLength(lengths, {length: each[view] for length, (each, _) in found.items() if length}, ragged)
            for view in range(views)
        ]
        return Prefix(of_all, examples.index, seconds)

    def _by_length(self, examples: PartExamples) -> list[tuple[int | None, PartExamples]]:
        """The examples of each length; all of them and None where they have none."""
        known = self._lengths.setdefault(examples.key, np.full(len(examples.data), -1))
        new = replace(examples, index=examples.index[known[examples.index] < 0])
        if len(new):
            lengths = new.lengths()
            if lengths is None:
                return [(None, examples)]
            known[new.index] = lengths
        here = known[examples.index]
        return [
            (length, replace(examples, index=examples.index[here == length]))
            for length in np.unique(here).tolist() or [SHORT]
        ]

    def _shapes(self, length: int | None) -> list[tuple[int, ...]]:
        return [tuple(length or 1 if side is None else side for side in shape) for shape in self.shapes]

    def _row_bytes(self, length: int | None) -> int:
        return sum(int(np.prod(shape)) for shape in self._shapes(length)) * STORED_TYPE.itemsize

    def _one_length(
        self,
        examples: PartExamples,
        length: int | None,
        augmentation: Augmentation | None,
        views: int,
        keeps: bool,
    ) -> tuple[list[View], float]:
        """The views of examples of one length, and the seconds that one of them took."""
        store = keeps and not self._is_slower_to_read
        result: list[View] = []
        spent = []
        for view in range(views):
            computed = Computed(
                lambda rows: self.compute(*examples.tensors(rows)),
                examples.view(augmentation, view),
                batch_of(length),
            )
            if store:
                try:
                    tensors, seconds = self._stored(examples, length, augmentation, view, computed)
                    result.append(Stored(tensors))
                    spent.append(seconds)
                    continue
                except _SlowerToReadError:
                    self._is_slower_to_read, store = True, False
                except OSError:  # the disk is full, or not ours to write: slower, but the same numbers
                    store = False
            result.append(computed)
        return result, float(np.sum(spent))

    def _stored(
        self,
        examples: PartExamples,
        length: int | None,
        augmentation: Augmentation | None,
        view: int,
        computed: Computed,
    ) -> tuple[list[np.ndarray], float]:
        policy = [*(astuple(augmentation) if augmentation is not None else ()), view] if view else []
        of = {"images": examples.key, "view": policy, "type": STORED_TYPE.str}
        key = digest({**self.identity, **of, **({} if length is None else {"length": length})}, 32)
        folder = cache.prefixes_dir() / key
        total = len(examples.data)
        files: list[IO[bytes]] = []
        try:
            with cache.opening(folder):
                tensors = [
                    _opened(folder / f"tensor-{i}.npy", STORED_TYPE, (total, *shape), files)
                    for i, shape in enumerate(self._shapes(length))
                ]
                sums = _opened(folder / SUMS, SUM_TYPE, (total,), files)
                files.append(sealed.opened(folder / "claims", "r+b"))
            rows = _Rows(folder, tensors, sums)
            # Of all but the claims: these are touched whenever the view is used.
            missing = self._missing(rows, examples.index, [sealed.stamp(file) for file in files[:-1]])
            if len(missing):
                row_bytes = self._row_bytes(length)
                size = len(missing) * row_bytes
                cache.make_room(size, keep=folder)
                reading = MEMORY_SPEED if size < machine.available_memory() / 2 else DISK_SPEED
                if not self._warm:  # tracing is nobody's cost
                    computed.compute(np.zeros((computed.size, *examples.data.shape[1:]), examples.data.dtype))
                    self._warm = True
                *data, marks, claims = (file.fileno() for file in files)

                def fill(chosen: np.ndarray) -> None:
                    start = time.perf_counter()
                    values = computed.read(chosen)
                    seconds = time.perf_counter() - start
                    if seconds / len(chosen) < row_bytes / reading:
                        raise _SlowerToReadError
                    for descriptor, tensor, content in zip(data, tensors, values, strict=True):
                        _write_rows(descriptor, tensor, chosen, content)
                    for descriptor in data:
                        os.fsync(descriptor)  # not fdatasync, which macOS lacks
                    # Only now: a row is there once its numbers are on disk.
                    _write_rows(marks, sums, chosen, rows.sums_of(chosen, values))
                    _add_speed(folder, len(chosen), seconds)

                _fill_together(missing, rows.are_sound, claims, fill, block_of(length, row_bytes))
        finally:
            for file in files:
                file.close()
        return list(tensors), _speed(folder)

    def _missing(self, rows: _Rows, wanted: np.ndarray, stamps: list[tuple[int, ...]]) -> np.ndarray:
        """Which of the wanted rows are not there; what this process has verified is so until the files change."""
        known = self._verified.get(rows.key)
        if known is None or known.stamps != stamps:
            known = self._verified[rows.key] = _Verified(stamps, np.zeros(len(rows.sums), bool))
        unknown = wanted[~known.sound[wanted]]
        known.sound[unknown] = rows.are_sound(unknown)
        return wanted[~known.sound[wanted]]


@dataclass
class _Verified:
    """Which rows of a view this process has found sound, while its files had these stamps."""

    stamps: list[tuple[int, ...]]
    sound: np.ndarray


@dataclass(frozen=True)
class _Rows:
    """The stored rows of a view, and their checksums: 0 for a row that was never stored."""

    folder: Path
    tensors: list[np.memmap]
    sums: np.memmap

    @property
    def key(self) -> str:
        return self.folder.name

    def are_sound(self, rows: np.ndarray) -> np.ndarray:
        """Which of these rows are there as they were written; the person is told of those that were changed."""
        expected = rows_of(self.sums, rows)  # before the numbers: another process may be writing both
        sound = expected != 0
        stored = np.flatnonzero(sound)
        for first in range(0, len(stored), BATCH):
            here = stored[first : first + BATCH]
            values = [rows_of(tensor, rows[here]) for tensor in self.tensors]
            sound[here] = self.sums_of(rows[here], values) == expected[here]
        if not sound[stored].all():
            sealed.tell(self.folder)
        return sound

    def sums_of(self, rows: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        """The checksums of ``values`` as the numbers of ``rows``."""
        place = xxhash.xxh3_64_intdigest(self.key.encode())
        values = [np.ascontiguousarray(tensor) for tensor in values]
        found = np.empty(len(rows), SUM_TYPE)
        for i, row in enumerate(rows.tolist()):
            value = (place + row) % 2**64
            for tensor in values:
                value = xxhash.xxh3_64_intdigest(tensor[i], seed=value)
            found[i] = value or 1
        return found


def _fill_together(
    missing: np.ndarray,
    are_sound: Callable[[np.ndarray], np.ndarray],
    claims: int,
    fill: Callable[[np.ndarray], None],
    size: int = BLOCK,
) -> None:
    """Fills blocks of rows, leaving to other processes those that they are at, and waits for these at the end.

    Args:
        size: how many rows of the part a block has, the same for all processes.
    """
    blocks = np.unique(missing // size).tolist()
    for patient in (False, True):
        left = []
        for block in blocks:
            with _claim(claims, block, patient) as claimed:
                if not claimed:
                    left.append(block)
                    continue
                rows = missing[missing // size == block]
                rows = rows[~are_sound(rows)]  # another process may have been here
                if len(rows):
                    fill(rows)
        blocks = left


@contextmanager
def _claim(claims: int, block: int, patient: bool) -> Iterator[bool]:
    """Holds byte ``block`` of the file of claims; the kernel frees it if this process dies."""
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB), 1, block)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(claims, fcntl.LOCK_UN, 1, block)


def _opened(path: Path, dtype: np.dtype, shape: tuple[int, ...], files: list[IO[bytes]]) -> np.memmap:
    """A .npy file of exactly this type and shape; made anew, zeroed and sparse, if it is not one.

    Args:
        path, dtype, shape: of it.
        files: it is appended to these, open.
    """
    written = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(written, {"descr": descr, "fortran_order": False, "shape": shape})
    header = written.getvalue()
    size = len(header) + int(np.prod(shape)) * dtype.itemsize
    if not _begins(path, header, size):
        if os.path.lexists(path):
            sealed.tell(path.parent)
            removed(path)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        removed(temporary)
        with temporary.open("xb") as file:
            file.write(header)
            file.truncate(size)
        os.replace(temporary, path)
    files.append(sealed.opened(path, "r+b"))
    return np.memmap(files[-1], dtype, "r", len(header), shape)


def _begins(path: Path, header: bytes, size: int) -> bool:
    try:
        with sealed.opened(path) as file:
            return os.fstat(file.fileno()).st_size == size and file.read(len(header)) == header
    except OSError:
        return False


def _write_rows(descriptor: int, array: np.memmap, rows: np.ndarray, values: np.ndarray) -> None:
    """Writes rows of a .npy file. Not through a map: on a full disk a map kills the process, a write raises."""
    row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
    for first, last in zip(starts, [*starts[1:], len(rows)], strict=True):
        content = np.ascontiguousarray(values[first:last]).data.cast("B")
        offset = array.offset + int(rows[first]) * row_bytes
        while len(content):
            written = os.pwrite(descriptor, content, offset)
            content, offset = content[written:], offset + written


def _add_speed(folder: Path, count: int, seconds: float) -> None:
    with locked(folder.with_suffix(".lock")):
        before = _read_speed(folder)
        after = {"images": before["images"] + count, "seconds": before["seconds"] + seconds}
        sealed.write(folder / "speed.json", json.dumps(after))


def _speed(folder: Path) -> float:
    """Seconds an example."""
    speed = _read_speed(folder)
    return speed["seconds"] / max(speed["images"], 1)


def _read_speed(folder: Path) -> dict[str, float]:
    kept = sealed.read(folder / "speed.json")
    found: dict[str, float] = json.loads(kept) if kept is not None else {"images": 0.0, "seconds": 0.0}
    return found
