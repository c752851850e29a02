"""Whether a source was trained on examples of the very dataset that it is transferred to."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.backbones.own import WeightSource
from bench.datasets import Dataset, Part, open_dataset
from bench.modalities.findings import NEGLIGIBLE, Finding, by_importance
from bench.system import sealed


def with_leakage(
    dataset: Dataset,
    sources: Sequence[WeightSource],
    say: Callable[[str], None] = lambda text: None,
) -> Dataset:
    """A dataset with what speaks against transferring from these sources to it among its findings.

    Examples are compared as rows, read as each source has read its own: the same file is found under any name, a
    re-encoded or resized copy is not.

    Args:
        dataset: which.
        sources: those that are transferred from.
        say: called with what is being done, where the dataset has to be read once more.

    Raises:
        RequestError: the hashes of a source's examples are missing or damaged.
    """
    found: list[Finding] = []
    for source in sources:
        shared = {
            "test": np.zeros(len(dataset.test.ids), bool),
            "pool": np.zeros(len(dataset.pool.ids), bool),
        }
        for name, seen in source.hashes().items():
            input = dataset.kind.input_named(name)
            read = (
                dataset
                if input == dataset.input
                else open_dataset(dataset.spec, input, say, task=dataset.task.name)
            )
            of_source = set(map(bytes, seen))
            for part, hashes in example_hashes(read).items():
                shared[part] |= np.array([bytes(row) in of_source for row in hashes], bool)
        found += _findings(dataset, source, shared)
    return replace(dataset, findings=tuple(by_importance([*found, *dataset.findings])))


def _findings(dataset: Dataset, source: WeightSource, shared: dict[str, np.ndarray]) -> list[Finding]:
    noun = dataset.kind.noun
    texts = {
        "test": f"test {noun.many}",
        "pool": f"{noun.many} to learn from",
    }
    consequences = {
        "test": f"what begins with it looks better than it is on new {noun.many}.",
        "pool": "it knows labels that are not counted as used.",
    }
    found = []
    for name, part in (("test", dataset.test), ("pool", dataset.pool)):
        mask = shared[name]
        if mask.any():
            share = float(mask.mean())
            text = (
                f"{mask.sum():,} of {len(mask):,} {texts[name]} ({share:.1%}) with the same {noun.content} as "
                f"{noun.any} that the source {source.name} was trained on: {consequences[name]}"
            )
            grave = name == "test" or share >= NEGLIGIBLE
            level = "validity" if grave else "note"
            items = [_item(dataset, part, row) for row in np.flatnonzero(mask)[:20].tolist()]
            found.append(Finding(f"{name}_in_source", level, text, items))  # type: ignore[arg-type]
    return found


def _item(dataset: Dataset, part: Part, row: int) -> dict[str, list[str]]:
    return {"ids": [part.ids[row]], "labels": [dataset.task.said(part.labels[row], dataset.class_names)]}


def example_hashes(dataset: Dataset) -> dict[str, np.ndarray]:
    """``Modality.hashes`` of ``pool`` and ``test``; worked out once and kept beside the rows."""
    path = dataset.entry / "hashes.npz"
    kept = sealed.read(path)
    if kept is not None:
        with np.load(io.BytesIO(kept), allow_pickle=False) as file:
            return dict(file)
    found = {name: dataset.kind.hashes(getattr(dataset, name).data) for name in ("pool", "test")}
    buffer = io.BytesIO()
    np.savez(buffer, **found)  # type: ignore[arg-type]
    sealed.write(path, buffer.getvalue())
    return found
