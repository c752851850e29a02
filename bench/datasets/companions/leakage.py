"""Whether a source was trained on images of the very dataset that it is transferred to."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.backbones.own import WeightSource
from bench.datasets import Dataset, Part, open_dataset
from bench.modalities.findings import NEGLIGIBLE, Finding, by_importance
from bench.modalities.image.input import ImageInput
from bench.modalities.image.looks import square_hashes
from bench.system.files import write_atomic


def with_leakage(
    dataset: Dataset,
    sources: Sequence[WeightSource],
    image_size: int,
    resizing: str,
    say: Callable[[str], None] = lambda text: None,
) -> Dataset:
    """A dataset with what speaks against transferring from these sources to it among its findings.

    Images are compared decoded, at the size at which each source has seen its own: the same file is found under any
    name, a re-encoded or resized copy is not.

    Args:
        dataset: opened at ``image_size`` and ``resizing``.
        sources: those that are transferred from.
        say: called with what is being done, where the dataset has to be decoded once more.

    Raises:
        RequestError: the hashes of a source's images are missing or damaged.
    """
    found: list[Finding] = []
    for source in sources:
        shared = {
            "test": np.zeros(len(dataset.test.ids), bool),
            "pool": np.zeros(len(dataset.pool.ids), bool),
        }
        for key, seen in source.image_hashes().items():
            size, _, way = key.partition("-")
            same = (int(size), way) == (image_size, resizing)
            decoded = dataset if same else open_dataset(dataset.spec, ImageInput(int(size), way), say)
            of_source = set(map(bytes, seen))
            for part, hashes in image_hashes(decoded).items():
                shared[part] |= np.array([bytes(row) in of_source for row in hashes], bool)
        found += _findings(dataset, source, shared)
    return replace(dataset, findings=tuple(by_importance([*found, *dataset.findings])))


def _findings(dataset: Dataset, source: WeightSource, shared: dict[str, np.ndarray]) -> list[Finding]:
    texts = {
        "test": "test images",
        "pool": "images to learn from",
    }
    consequences = {
        "test": "what begins with it looks better than it is on new images.",
        "pool": "it knows labels that are not counted as used.",
    }
    found = []
    for name, part in (("test", dataset.test), ("pool", dataset.pool)):
        mask = shared[name]
        if mask.any():
            share = float(mask.mean())
            text = (
                f"{mask.sum():,} of {len(mask):,} {texts[name]} ({share:.1%}) with the very pixels of an image "
                f"that the source {source.name} was trained on: {consequences[name]}"
            )
            grave = name == "test" or share >= NEGLIGIBLE
            level = "validity" if grave else "note"
            items = [_item(dataset, part, row) for row in np.flatnonzero(mask)[:20].tolist()]
            found.append(Finding(f"{name}_in_source", level, text, items))  # type: ignore[arg-type]
    return found


def _item(dataset: Dataset, part: Part, row: int) -> dict[str, list[str]]:
    return {"ids": [part.ids[row]], "labels": [dataset.class_names[part.labels[row]]]}


def image_hashes(dataset: Dataset) -> dict[str, np.ndarray]:
    """``square_hashes`` of ``pool`` and ``test``; worked out once and kept beside the decoded images."""
    path = dataset.entry / "hashes.npz"
    with (
        contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile),
        np.load(path, allow_pickle=False) as file,
    ):
        return {name: file[name] for name in ("pool", "test")}
    found = {name: square_hashes(getattr(dataset, name).data) for name in ("pool", "test")}
    buffer = io.BytesIO()
    np.savez(buffer, **found)  # type: ignore[arg-type]
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the run
        write_atomic(path, buffer.getvalue())
    return found
