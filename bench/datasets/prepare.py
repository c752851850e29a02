"""From a source to a cache entry (read once) and from a cache entry to a dataset (every other time)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from bench.datasets.dataset import Dataset
from bench.datasets.division import Division, divided, provisional
from bench.datasets.entry import FORMAT, PARTS, load, write, write_rows
from bench.datasets.examples import Examples, read, refusals, refuse
from bench.datasets.file_groups import patterns, pointed_out, with_groups
from bench.datasets.findings import findings
from bench.datasets.labels import noted
from bench.datasets.source import Contents, Source
from bench.datasets.specs import canonical_spec, open_source
from bench.errors import BenchError, RequestError
from bench.modalities.base import Input, Modality, Unfit
from bench.modalities.evidence import Evidence, Many
from bench.modalities.findings import Finding, by_importance
from bench.modalities.registry import DEFAULT, modality
from bench.records import SINGLE_LABEL
from bench.system import sealed
from bench.system.files import TEMPORARY_PREFIX, cache_dir, digest, locked, removed
from bench.system.names import printable
from bench.tasks.multi_label import label_sets

Progress = Callable[[str], None]


def open_dataset(
    spec: str | PurePath,
    input: Input | Mapping[str, Any],
    progress: Progress = lambda line: None,
    audit: bool = False,
    groups: str = "none",
    task: str = SINGLE_LABEL,
) -> Dataset:
    """Opens a dataset; reads and caches it on first use.

    Args:
        spec: as the user wrote it, or canonical.
        input: how its examples become rows, or the keys of a plan that say so for its modality.
        progress: called with a line of text about once a second while examples are read.
        audit: opens what no run can use, too, as far as it can be read; why is among its findings (``refused``).
        groups: ``auto``: where it has no groups of its own, those that file names give away, see ``file_groups``.
        task: what its labels are, a key of ``bench.tasks.registry.TASKS``.

    Returns:
        The dataset; its rows are read-only memory maps of the cache.

    Raises:
        RequestError: the dataset does not exist, or no benchmark can be made of it.
        BenchError: a download failed, or the cache cannot be written.
    """
    spec = canonical_spec(spec)
    source = open_source(spec, task)
    if not isinstance(input, Input):
        input = modality(source.modality).input(input)
    noun = modality(input.modality).noun
    if source.modality != input.modality:
        raise RequestError("dataset", spec, f"a dataset of {noun.many}", "Its examples are of another kind.")
    prefix, entry = _entry(spec, source, input, groups, task)
    dataset = load(entry, input)
    if dataset is not None:
        return _usable(dataset, audit)
    caches = entry.parent
    try:
        with locked(caches / f"{prefix}.lock"):
            if load(entry, input) is None:  # another process may have made it while this one waited
                # All else of this prefix is of a former state of the data, damaged, or a killed process's.
                for stale in (*caches.glob(f"{prefix}-*"), *caches.glob(f"{TEMPORARY_PREFIX}{prefix}-*")):
                    removed(stale)
                _make(entry, _Making(spec, source, input, groups, audit), progress)
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
    return _usable(dataset, audit)


def _usable(dataset: Dataset, audit: bool) -> Dataset:
    """A dataset, unless no run can use it and it is not for an audit."""
    if not audit:
        refuse(dataset.spec, dataset.findings, dataset.left_out)
    return dataset


def cached_dataset(
    spec: str | PurePath, input: Input | Mapping[str, Any], groups: str = "none", task: str = SINGLE_LABEL
) -> Dataset | None:
    """The dataset if it has been read before and is in the cache, else None; see ``open_dataset``.

    Raises:
        RequestError: the dataset does not exist.
    """
    spec = canonical_spec(spec)
    source = open_source(spec, task)
    if not isinstance(input, Input):
        input = modality(source.modality).input(input)
    return load(_entry(spec, source, input, groups, task)[1], input)


def _entry(spec: str, source: Source, input: Input, groups: str, task: str) -> tuple[str, Path]:
    """What the names of the dataset's cache entries begin with, and the entry of its present state."""
    unusual = [*([groups] if groups != "none" else []), *([task] if task != SINGLE_LABEL else [])]
    prefix = digest([spec, *input.key, *unusual])
    limits = modality(input.modality).stamp()
    name = f"{prefix}-{digest([source.stamp(), decoding_versions(input.modality), *limits])}"
    return prefix, cache_dir() / "datasets" / name


def decoding_versions(name: str = DEFAULT) -> list[int]:
    """What the same spec and files may give other rows or splits under, for a modality."""
    return [FORMAT, modality(name).version]


@dataclass(frozen=True)
class _Making:
    """What an entry is made of; see ``open_dataset``."""

    spec: str
    source: Source
    input: Input
    groups: str
    audit: bool


def _make(entry: Path, making: _Making, progress: Progress) -> None:
    """Builds a cache entry beside its place and renames it into it."""
    temporary = entry.with_name(TEMPORARY_PREFIX + entry.name)
    temporary.mkdir()
    try:
        _build(temporary, making, progress)
        sealed.seal(temporary, entry)
        os.replace(temporary, entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _build(folder: Path, making: _Making, progress: Progress) -> None:
    """Writes a cache entry. Unless for an audit, what is refused anyway is refused before it is decoded."""
    spec, source, input = making.spec, making.source, making.input
    kind = modality(source.modality)
    many, name = kind.noun.many, printable(source.name)
    doing = "fetching, if it is not here yet" if source.downloads else f"listing the {many}"
    progress(f"{name}: {doing}")
    contents = noted(source.contents())
    given = contents.groups is not None
    repeated = [] if given else patterns(contents.ids, *_classes(contents))
    if making.groups == "auto" and not given:
        contents = with_groups(contents, repeated)
    total = len(contents.ids)
    if not making.audit:
        refused = refusals(Examples(contents, list(range(total)), []), kind.noun)
        refuse(spec, [*refused, *contents.findings], contents.left_out)

    def tell(done: int) -> None:
        progress(f"{name}: {done:,} of {total:,} {many} decoded")

    rows = folder / "decoded"
    with rows.open("wb") as file:
        try:
            examples = read(contents, kind, input, file, tell)
        except Unfit as error:
            raise RequestError("dataset", spec, error.expected, error.remedy) from None
    refused = refusals(examples, kind.noun)
    if not examples.numbers:
        refuse(spec, [*refused, *contents.findings], examples.left_out)

    progress(f"{name}: looking for duplicates")
    same = kind.identical(examples.facts, examples.sha256, examples.again)
    division, refused = _divided(kind, examples, same, refused)
    evidence = _evidence(kind, input, examples, same, division)
    if contents.groups is None:
        refused += pointed_out(repeated, examples.numbers, evidence)
    found = by_importance([*refused, *findings(kind, evidence), *contents.findings])

    write_rows(folder, rows, kind.row(input), division.in_test)
    rows.unlink()
    index = {
        "spec": spec,
        "name": name,
        "modality": kind.name,
        "fingerprint": division.fingerprint,
        "class_names": list(contents.class_names),
        "grouping": contents.grouping,
        **kind.traits(source.name),
        "shape": list(kind.row(input).shape),
        **_parts(examples, division),
        "left_out": examples.left_out,
    }
    write(folder, index, found, kind.summary(examples.facts))


def _divided(
    kind: Modality, examples: Examples, same: np.ndarray, refused: list[Finding]
) -> tuple[Division, list[Finding]]:
    """How the examples are divided, and why no run can use them, if none can."""
    labels, groups, given = examples.labels, examples.groups, examples.in_test
    names, content = examples.contents.class_names, examples.content(kind.name)
    try:
        if not refused:
            return divided(labels, groups, given, same, names, kind.noun, content), []
    except RequestError as error:  # the groups allow no test part
        refused = [
            Finding(
                "groups_not_divisible",
                "refused",
                f"The examples are in {error.received}, and these allow no test part. {error.remedy}",
            )
        ]
    return provisional(labels, groups, given, content), refused


def _evidence(
    kind: Modality, input: Input, examples: Examples, same: np.ndarray, division: Division
) -> Evidence:
    labels, names = examples.labels, examples.contents.class_names
    numbers, called = (labels, names) if labels.ndim == 1 else label_sets(labels, names)
    return Evidence(
        ids=examples.ids,
        labels=numbers,
        class_names=called,
        in_test=division.in_test,
        same=same,
        kept_together=division.kept_together,
        facts=examples.facts,
        left_out=examples.left_out,
        input=input,
        noun=kind.noun,
        given=examples.in_test is not None,
        many=None if labels.ndim == 1 else Many(labels, names),
    )


def _classes(contents: Contents) -> tuple[Sequence[int], Sequence[str]]:
    """The class of each example and their names; of many labels, the set of labels of each."""
    labels = np.asarray(contents.labels)
    if labels.ndim == 1:
        return labels.tolist(), contents.class_names
    numbers, called = label_sets(labels, contents.class_names)
    return numbers.tolist(), called


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
