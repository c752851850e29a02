"""Stored prefixes: what everything below a cut makes of an image, computed once and kept on disk.

One folder a (images, backbone, weights, cut, augmentation), one memory-mapped float16 file a crossing tensor
and augmented view, and one byte a row that says whether the row is there. Rows are computed when they are
first asked for, in batches of one fixed size, so that a row's numbers do not depend on who asked for it, nor
on which other rows are stored. A file of the wrong size is made anew; deleting the folder harms nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.files import cache_dir, digest, locked, write_atomic
from bench.training.augmentation import Augmentation
from bench.training.examples import PartExamples
from bench.training.seeds import generator

BATCH = 64
STORED_TYPE = np.dtype(np.float16)
VIEWS = 4
"""The image itself and three augmented views of it, where augmentation is on."""

Compute = Callable[[np.ndarray], list[np.ndarray]]
"""From float32 images (BATCH, S, S, 3) to the tensors that cross the cut, each (BATCH, ...)."""


@dataclass(frozen=True)
class Prefix:
    """The stored output of a frozen part of a network for some examples.

    Args:
        views: one a view; each holds one array a crossing tensor, of all rows of the part.
        rows: which of those rows are meant, int64 (N,).
        seconds_per_image: what computing one view of one image took when it was computed.
    """

    views: list[list[np.ndarray]]
    rows: np.ndarray
    seconds_per_image: float

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        """float32 tensors of the examples ``index``; of a random view each, or unaugmented without ``rng``."""
        rows = self.rows[index]
        if rng is None or len(self.views) == 1:
            return [tensor[rows].astype(np.float32) for tensor in self.views[0]]
        chosen = rng.integers(len(self.views), size=len(rows))
        result = [np.empty((len(rows), *tensor.shape[1:]), np.float32) for tensor in self.views[0]]
        for view, tensors in enumerate(self.views):
            here = np.flatnonzero(chosen == view)
            for target, tensor in zip(result, tensors, strict=True):
                target[here] = tensor[rows[here]]
        return result


class PrefixStore:
    """The prefixes below one cut of one network.

    Args:
        identity: everything that the output depends on but the images: backbone, weights by hash, cut,
            image size, backend, threads, precision and library versions.
        shapes: of the crossing tensors, without the batch.
        compute: see ``Compute``.
    """

    def __init__(
        self, identity: dict[str, object], shapes: Sequence[tuple[int, ...]], compute: Compute
    ) -> None:
        self.identity = identity
        self.shapes = [tuple(shape) for shape in shapes]
        self.compute = compute
        self._warm = False

    def get(self, examples: PartExamples, augmentation: Augmentation, views: int) -> Prefix:
        """The prefix of ``examples`` in ``views`` views, computing and storing what is not there yet."""
        stored, spent = [], []
        for view in range(views):
            tensors, seconds = self._view(examples, augmentation if view else Augmentation(), view)
            stored.append(tensors)
            spent.append(seconds)
        return Prefix(stored, examples.rows, float(np.mean(spent)))

    def _view(
        self, examples: PartExamples, augmentation: Augmentation, view: int
    ) -> tuple[list[np.ndarray], float]:
        policy = [augmentation.kind, augmentation.flip, view] if view else []
        key = digest({**self.identity, "images": examples.key, "view": policy, "type": STORED_TYPE.str}, 32)
        folder = cache_dir() / "prefixes" / key
        total = len(examples.pixels)
        with locked(cache_dir() / "prefixes" / f"{key}.lock"):
            tensors = [
                self._open(folder / f"tensor-{i}.npy", STORED_TYPE, (total, *shape))
                for i, shape in enumerate(self.shapes)
            ]
            done = self._open(folder / "done.npy", np.dtype(np.uint8), (total,))
            speed = _read_speed(folder / "speed.json")
            missing = examples.rows[done[examples.rows] == 0]
            if len(missing):
                seconds = self._fill(examples, missing, tensors, augmentation, view)
                for tensor in tensors:
                    tensor.flush()
                done[missing] = 1  # only now: a row is marked once its numbers are on disk
                done.flush()
                speed = {"images": speed["images"] + len(missing), "seconds": speed["seconds"] + seconds}
                write_atomic(folder / "speed.json", json.dumps(speed))
        for tensor in tensors:
            tensor.flags.writeable = False
        return list(tensors), speed["seconds"] / max(speed["images"], 1)

    def _fill(
        self,
        examples: PartExamples,
        rows: np.ndarray,
        tensors: list[np.memmap],
        augmentation: Augmentation,
        view: int,
    ) -> float:
        size = examples.pixels.shape[1]
        if not self._warm:
            self.compute(np.zeros((BATCH, size, size, 3), np.float32))  # tracing is nobody's cost
            self._warm = True
        start = time.perf_counter()
        for first in range(0, len(rows), BATCH):
            chunk = rows[first : first + BATCH]
            images = examples.pixels[chunk]
            if view:
                # Each image's view depends on the image alone, not on the rows computed along with it.
                images = np.concatenate(
                    [
                        augmentation(images[i : i + 1], generator("view", view, row))
                        for i, row in enumerate(chunk)
                    ]
                )
            batch = np.zeros((BATCH, *images.shape[1:]), np.float32)
            batch[: len(chunk)] = images
            for tensor, values in zip(tensors, self.compute(batch), strict=True):
                tensor[chunk] = values[: len(chunk)]
        return time.perf_counter() - start

    @staticmethod
    def _open(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
        """A writable memory map of exactly this type and shape; made anew, zeroed, if it is not one."""
        try:
            array = np.load(path, mmap_mode="r+", allow_pickle=False)
            if isinstance(array, np.memmap) and array.dtype == dtype and array.shape == shape:
                return array
        except (OSError, ValueError):
            pass
        # The marks go first: with a tensor file gone, no row is there, whatever they said.
        (path.parent / "done.npy").unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp.npy")
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        array.flush()
        os.replace(temporary, path)
        return array


def _read_speed(path: Path) -> dict[str, float]:
    try:
        speed = json.loads(path.read_text())
        return {"images": float(speed["images"]), "seconds": float(speed["seconds"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"images": 0.0, "seconds": 0.0}
