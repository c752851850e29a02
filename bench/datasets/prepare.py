"""From a source to a cache entry (read once) and from a cache entry to a dataset (every other time)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.dataset import Dataset
from bench.datasets.division import Division, divided
from bench.datasets.entry import FORMAT, PARTS, load, write, write_rows
from bench.datasets.examples import Examples, check, read
from bench.datasets.findings import findings
from bench.datasets.source import Source
from bench.datasets.specs import canonical_spec, open_source
from bench.errors import BenchError, RequestError
from bench.modalities.base import Input, Modality
from bench.modalities.evidence import Evidence
from bench.modalities.findings import by_importance
from bench.modalities.registry import DEFAULT, modality
from bench.system import sealed
from bench.system.files import TEMPORARY_PREFIX, cache_dir, digest, locked, removed
from bench.system.names import printable

Progress = Callable[[str], None]


def open_dataset(
    spec: str, input: Input | Mapping[str, Any], progress: Progress = lambda line: None
) -> Dataset:
    """Opens a dataset; reads and caches it on first use.

    Args:
        spec: as the user wrote it, or canonical.
        input: how its examples become rows, or the keys of a plan that say so for its modality.
        progress: called with a line of text about once a second while examples are read.

    Returns:
        The dataset; its rows are read-only memory maps of the cache.

    Raises:
        RequestError: the dataset does not exist, or no benchmark can be made of it.
        BenchError: a download failed, or the cache cannot be written.
    """
    spec = canonical_spec(spec)
    source = open_source(spec)
    if not isinstance(input, Input):
        input = modality(source.modality).input(input)
    noun = modality(input.modality).noun
    if source.modality != input.modality:
        raise RequestError("dataset", spec, f"a dataset of {noun.many}; its examples are of another kind")
    prefix, entry = _entry(spec, source, input)
    dataset = load(entry, input)
    if dataset is not None:
        return dataset
    caches = entry.parent
    try:
        with locked(caches / f"{prefix}.lock"):
            if load(entry, input) is None:  # another process may have made it while this one waited
                # All else of this prefix is of a former state of the data, damaged, or a killed process's.
                for stale in (*caches.glob(f"{prefix}-*"), *caches.glob(f"{TEMPORARY_PREFIX}{prefix}-*")):
                    removed(stale)
                _make(entry, spec, source, input, progress)
    except BrokenPipeError:
        raise  # of whoever is told the progress
    except OSError as error:
        raise BenchError(
            f"The dataset cache {str(caches)!r} cannot be used: {error.strerror or error}. Set "
            f"TRANSFER_BENCH_CACHE to a folder that can be written and has room for the decoded {noun.many}."
        ) from error
    dataset = load(entry, input)
    if dataset is None:
        raise BenchError(f"The dataset cache {str(entry)!r} was damaged as soon as it was written.")
    return dataset


def cached_dataset(spec: str, input: Input | Mapping[str, Any]) -> Dataset | None:
    """The dataset if it has been read before and is in the cache, else None; see ``open_dataset``.

    Raises:
        RequestError: the dataset does not exist.
    """
    spec = canonical_spec(spec)
    source = open_source(spec)
    if not isinstance(input, Input):
        input = modality(source.modality).input(input)
    return load(_entry(spec, source, input)[1], input)


def _entry(spec: str, source: Source, input: Input) -> tuple[str, Path]:
    """What the names of the dataset's cache entries begin with, and the entry of its present state."""
    prefix = digest([spec, *input.key])
    limits = modality(input.modality).stamp()
    name = f"{prefix}-{digest([source.stamp(), decoding_versions(input.modality), *limits])}"
    return prefix, cache_dir() / "datasets" / name


def decoding_versions(name: str = DEFAULT) -> list[int]:
    """What the same spec and files may give other rows or splits under, for a modality."""
    return [FORMAT, modality(name).version]


def _make(entry: Path, spec: str, source: Source, input: Input, progress: Progress) -> None:
    """Builds a cache entry beside its place and renames it into it."""
    temporary = entry.with_name(TEMPORARY_PREFIX + entry.name)
    temporary.mkdir()
    try:
        _build(temporary, spec, source, input, progress)
        sealed.seal(temporary, entry)
        os.replace(temporary, entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _build(folder: Path, spec: str, source: Source, input: Input, progress: Progress) -> None:
    """Writes a cache entry."""
    kind = modality(source.modality)
    many, name = kind.noun.many, printable(source.name)
    doing = "fetching, if it is not here yet" if source.downloads else f"listing the {many}"
    progress(f"{name}: {doing}")
    contents = source.contents()
    total = len(contents.ids)
    check(spec, Examples(contents, list(range(total)), []), kind.noun)

    def tell(done: int) -> None:
        progress(f"{name}: {done:,} of {total:,} {many} decoded")

    rows = folder / "decoded"
    with rows.open("wb") as file:
        examples = read(contents, kind, input, file, tell)
    check(spec, examples, kind.noun)

    progress(f"{name}: looking for duplicates")
    same = kind.identical(examples.facts, examples.sha256, examples.again)
    division = divided(
        examples.labels,
        examples.groups,
        examples.in_test,
        same,
        contents.class_names,
        kind.noun,
        examples.content(kind.name),
    )
    evidence = _evidence(kind, input, examples, same, division)
    found = by_importance([*findings(kind, evidence), *contents.findings])

    write_rows(folder, rows, kind.row(input), division.in_test)
    rows.unlink()
    index = {
        "spec": spec,
        "name": name,
        "modality": kind.name,
        "fingerprint": division.fingerprint,
        "class_names": list(contents.class_names),
        **kind.traits(source.name),
        "shape": list(kind.row(input).shape),
        **_parts(examples, division),
        "left_out": examples.left_out,
    }
    write(folder, index, found, kind.summary(examples.facts))


def _evidence(
    kind: Modality, input: Input, examples: Examples, same: np.ndarray, division: Division
) -> Evidence:
    return Evidence(
        ids=examples.ids,
        labels=examples.labels,
        class_names=examples.contents.class_names,
        in_test=division.in_test,
        same=same,
        kept_together=division.kept_together,
        facts=examples.facts,
        left_out=examples.left_out,
        input=input,
        noun=kind.noun,
    )


def _parts(examples: Examples, division: Division) -> dict[str, dict[str, Any]]:
    """What the index says of the pool and of the test part."""
    ids, labels, texts, groups = examples.ids, examples.labels, examples.group_texts, division.groups
    return {
        name: {
            "ids": [ids[i] for i in chosen],
            "labels": labels[chosen].tolist(),
            "groups": None if groups is None else groups[chosen].tolist(),
            "group_names": None if texts is None else [texts[i] for i in chosen],
        }
        for name, chosen in zip(
            PARTS, (np.flatnonzero(~division.in_test), np.flatnonzero(division.in_test)), strict=True
        )
    }
