"""From a source to a cache entry (decode once) and from a cache entry to a dataset (every other time).

An entry is a folder with ``pool.npy`` and ``test.npy`` (images; in files of their own, so that nothing that holds
the one can reach the other), ``check.json`` (all that was found out about the images; long where they are bad)
and ``index.json`` (everything else). It is built beside its place and renamed into it, so it is there as a whole
or not at all.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bench.datasets import findings, splits
from bench.datasets.dataset import Dataset, Part
from bench.datasets.source import Contents, Picture, Source
from bench.datasets.specs import canonical_spec, open_source
from bench.errors import BenchError, RequestError
from bench.modalities.findings import EXAMPLES, Finding, by_importance
from bench.modalities.image import looks as duplicates
from bench.modalities.image.audit import Evidence, summary
from bench.modalities.image.pictures import FilePicture, keeps_label_mirrored
from bench.system.files import TEMPORARY_PREFIX, cache_dir, canonical_json, digest, locked
from bench.system.names import printable, shown

if TYPE_CHECKING:
    from bench.modalities.image.facts import Facts

FORMAT = 4
"""Version of the cache entries and of the splits in them: raise it when either changes."""

Progress = Callable[[str], None]


def open_dataset(
    spec: str, image_size: int, resizing: str = "crop", progress: Progress | None = None
) -> Dataset:
    """Opens a dataset; decodes and caches it on first use.

    Args:
        spec: as the user wrote it, or canonical.
        image_size: side of the square images in pixels.
        resizing: ``"crop"``, ``"stretch"`` or ``"pad"`` (see ``decode.resize``).
        progress: called with a line of text about once a second while images are decoded.

    Returns:
        The dataset; its images are read-only memory maps of the cache.

    Raises:
        RequestError: the dataset does not exist, or no benchmark can be made of it.
        BenchError: a download failed, or the cache cannot be written.
    """
    from bench.modalities.image.decode import RESIZINGS

    if resizing not in RESIZINGS:
        raise RequestError("resizing", resizing, "one of " + ", ".join(RESIZINGS))
    spec = canonical_spec(spec)
    source = open_source(spec)
    caches = cache_dir() / "datasets"
    prefix, entry = _entry(spec, source, image_size, resizing)
    dataset = _load(entry)
    if dataset is not None:
        return dataset
    try:
        with locked(caches / f"{prefix}.lock"):
            dataset = _load(entry)  # another process may have made it while this one waited
            if dataset is not None:
                return dataset
            # All else of this prefix is of a former state of the data, damaged, or a killed process's.
            for stale in (*caches.glob(f"{prefix}-*"), *caches.glob(f"{TEMPORARY_PREFIX}{prefix}-*")):
                shutil.rmtree(stale, ignore_errors=True)
            temporary = caches / (TEMPORARY_PREFIX + entry.name)
            temporary.mkdir()
            try:
                _build(temporary, spec, source, image_size, resizing, progress or (lambda line: None))
                os.replace(temporary, entry)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except BrokenPipeError:
        raise  # of whoever is told the progress
    except OSError as error:
        raise BenchError(
            f"The dataset cache {str(caches)!r} cannot be used: {error.strerror or error}. Set "
            "TRANSFER_BENCH_CACHE to a folder that can be written and has room for the decoded images."
        ) from error
    dataset = _load(entry)
    if dataset is None:
        raise BenchError(f"The dataset cache {str(entry)!r} was damaged as soon as it was written.")
    return dataset


def cached_dataset(spec: str, image_size: int, resizing: str = "crop") -> Dataset | None:
    """The dataset if it has been decoded before and is in the cache, else None; see ``open_dataset``.

    Raises:
        RequestError: the dataset does not exist.
    """
    spec = canonical_spec(spec)
    return _load(_entry(spec, open_source(spec), image_size, resizing)[1])


def _entry(spec: str, source: Source, image_size: int, resizing: str) -> tuple[str, Path]:
    """What the names of the dataset's cache entries begin with, and the entry of its present state."""
    from bench.modalities.image.decode import max_pixels

    prefix = digest([spec, image_size, resizing])
    name = f"{prefix}-{digest([source.stamp(), decoding_versions(), max_pixels()])}"
    return prefix, cache_dir() / "datasets" / name


def decoding_versions() -> list[int]:
    """What the same spec and files may give other pixels or splits under."""
    from bench.modalities.image.decode import VERSION

    return [FORMAT, VERSION]


def _load(entry: Path) -> Dataset | None:
    """Opens a cache entry; None if there is none or it is damaged."""
    try:
        index = json.loads((entry / "index.json").read_bytes())
        parts = {}
        for name in ("pool", "test"):
            images = np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            if images.dtype != np.uint8 or images.shape != (len(index[name]["ids"]), *index["shape"]):
                return None
            parts[name] = Part(
                ids=tuple(index[name]["ids"]),
                labels=_frozen(index[name]["labels"]),
                groups=None if index[name]["groups"] is None else _frozen(index[name]["groups"]),
                images=images,
                group_names=None if index[name]["group_names"] is None else tuple(index[name]["group_names"]),
            )
        return Dataset(
            spec=index["spec"],
            name=index["name"],
            modality=index["modality"],
            fingerprint=index["fingerprint"],
            class_names=tuple(index["class_names"]),
            flip=index["flip"],
            findings=tuple(Finding(**finding) for finding in index["findings"]),
            left_out=tuple((id, reason) for id, reason in index["left_out"]),
            entry=entry,
            **parts,
        )
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # missing, truncated, not ours
        return None


def full_findings(dataset: Dataset) -> tuple[list[Finding], dict[str, Any]]:
    """The findings with all their items, and a summary of the images (``summary``).

    Raises:
        BenchError: the cache entry has been deleted or damaged since the dataset was opened.
    """
    try:
        content = json.loads((dataset.entry / "check.json").read_bytes())
        return [Finding(**finding) for finding in content["findings"]], content["summary"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BenchError(
            f"The dataset cache {str(dataset.entry)!r} is damaged: delete it (bench cache clear datasets)."
        ) from None


def _frozen(values: list[int]) -> np.ndarray:
    array = np.array(values, np.int64)
    array.setflags(write=False)
    return array


def _build(
    folder: Path, spec: str, source: Source, image_size: int, resizing: str, progress: Progress
) -> None:
    """Writes a cache entry.

    Pixels go through plain writes, not through a writable memory map: on a full disk a write raises an error,
    where a map kills the process, and what was written does not count as this process's memory.
    """
    from bench.modalities.image.facts import THUMBNAIL

    name = printable(source.name)
    fetched = spec.startswith(("keras:", "tfds:"))
    progress(f"{name}: " + ("fetching, if it is not here yet" if fetched else "listing the images"))
    contents = source.contents()
    everyone = np.arange(len(contents.ids))
    _check(spec, contents, everyone)

    kept: list[int] = []
    facts: list[Facts] = []
    hashes: list[str] = []
    # In one piece: thousands of small arrays between the large ones of the decoding threads keep the allocator from
    # ever giving these back, 25 KB an image.
    thumbnails = np.empty((len(contents.ids), THUMBNAIL, THUMBNAIL, 3), np.uint8)
    left_out = list(contents.left_out)
    scratch = folder / "decoded"
    last = time.monotonic()
    with scratch.open("wb") as file:
        for i, result in enumerate(_decoded(contents.pictures, image_size, resizing)):
            if isinstance(result, str):
                left_out.append((contents.ids[i], result))
            else:
                pixels, about, sha256 = result
                file.write(pixels.tobytes())
                kept.append(i)
                thumbnails[i] = about.thumbnail
                facts.append(replace(about, thumbnail=thumbnails[i]))
                hashes.append(sha256)
            if time.monotonic() - last > 1:
                last = time.monotonic()
                progress(f"{name}: {i + 1:,} of {len(contents.ids):,} images decoded")

    rows = np.array(kept, np.int64)
    _check(spec, contents, rows, left_out)
    labels = np.array(contents.labels, np.int64)[rows]
    given = None if contents.in_test is None else np.array(contents.in_test, bool)[rows]
    ids = [contents.ids[i] for i in kept]
    content = {
        "modality": "image",
        "class_names": list(contents.class_names),
        "ids": ids,
        "labels": labels.tolist(),
        "test": None if given is None else given.tolist(),
        "groups": None
        if contents.groups is None
        else [contents.group_names[contents.groups[i]] for i in kept],
        "sha256": hashes,
    }
    progress(f"{name}: looking for duplicates")
    same = duplicates.identical(facts, hashes, lambda which: _full_digests(contents.pictures, kept, which))
    groups, in_test, fingerprint, kept_together = _divided(contents, rows, labels, given, same, content)
    evidence = Evidence(
        ids, labels, contents.class_names, in_test, same, kept_together, facts, left_out, image_size
    )
    found = by_importance([*findings.findings(evidence), *contents.findings])

    shape = (image_size, image_size, 3)
    for part_name, chosen in (("pool", ~in_test), ("test", in_test)):
        with scratch.open("rb") as decoded, (folder / f"{part_name}.npy").open("wb") as file:
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)),
                "fortran_order": False,
                "shape": (int(chosen.sum()), *shape),
            }
            np.lib.format.write_array_header_1_0(file, header)
            for row in np.flatnonzero(chosen).tolist():
                decoded.seek(row * math.prod(shape))
                file.write(decoded.read(math.prod(shape)))
            _sync(file)
    scratch.unlink()

    texts = contents.group_texts

    def part(chosen: np.ndarray) -> dict[str, Any]:
        return {
            "ids": [ids[i] for i in chosen],
            "labels": labels[chosen].tolist(),
            "groups": None if groups is None else groups[chosen].tolist(),
            "group_names": None if texts is None else [texts[kept[i]] for i in chosen],
        }

    index = {
        "spec": spec,
        "name": name,
        "modality": "image",
        "fingerprint": fingerprint,
        "class_names": list(contents.class_names),
        "flip": keeps_label_mirrored(source.name),
        "shape": list(shape),
        "pool": part(np.flatnonzero(~in_test)),
        "test": part(np.flatnonzero(in_test)),
        "findings": [asdict(replace(f, items=f.items[:EXAMPLES])) for f in found],
        "left_out": left_out,
    }
    check = {"findings": [asdict(finding) for finding in found], "summary": summary(facts)}
    for file_name, value in (("check.json", check), ("index.json", index)):
        with (folder / file_name).open("wb") as file:
            file.write(canonical_json(value).encode())
            _sync(file)


def _divided(
    contents: Contents,
    rows: np.ndarray,
    labels: np.ndarray,
    given: np.ndarray | None,
    same: np.ndarray,
    content: dict[str, Any],
) -> tuple[np.ndarray | None, np.ndarray, str, bool]:
    """Draws the test part, if none is given, with identical images on one side if that is possible.

    It is not where a class consists of too few different images, which is no reason to refuse the dataset: the
    images of such classes are then divided one by one, and if that does not do, all.

    Args:
        contents: the source's.
        rows: which of its examples are used, (N,).
        labels: of those, (N,).
        given: their given test part, if there is one, (N,).
        same: equal for identical images, (N,).
        content: what the fingerprint is made of. What else decides on splits is added: which images are together.

    Returns:
        Groups, whether an image is a test image, the fingerprint, and whether identical images are together.
    """
    own = None if contents.groups is None else np.array(contents.groups, np.int64)[rows]
    choices = []
    if len(np.unique(same)) < len(same):
        choices.append(duplicates.united(own, same))
        learned_from = np.ones(len(same), bool) if given is None else ~given
        different = np.unique(np.stack([labels, choices[0]])[:, learned_from], axis=1)[0]
        scarce = np.bincount(different, minlength=len(contents.class_names)) < (3 if given is None else 2)
        alone = np.where(scarce[labels], len(same) + np.arange(len(same)), same)
        choices.append(duplicates.united(own, np.unique(alone, return_inverse=True)[1]))
    for i, together in enumerate(choices):
        fingerprint = digest(content | {"together": together.tolist()})
        try:
            in_test = _test_part(labels, together, given, fingerprint, contents)
            pool = ~in_test
            splits.check_fraction(labels[pool], together[pool], 1.0, 3, fingerprint)
            return together, in_test, fingerprint, i == 0
        except RequestError:
            continue
    fingerprint = digest(content)
    return own, _test_part(labels, own, given, fingerprint, contents), fingerprint, not choices


def _test_part(
    labels: np.ndarray, groups: np.ndarray | None, given: np.ndarray | None, key: str, contents: Contents
) -> np.ndarray:
    return splits.split_test(labels, groups, key, contents.class_names) if given is None else given


def _sync(file: IO[bytes]) -> None:
    """To the disk before the rename: after a power cut an entry is whole or absent."""
    file.flush()
    os.fsync(file.fileno())


def _full_digests(pictures: Iterable[Picture], kept: list[int], which: set[int]) -> dict[int, bytes]:
    """The digests of all pixels of some of the images that were kept; of a file that is gone by now, none."""
    from bench.modalities.image.decode import full_digest, quiet
    from bench.modalities.image.facts import Unreadable

    wanted = {kept[i]: i for i in which}
    paths = {
        wanted[row]: picture.path
        for row, picture in enumerate(pictures if wanted else ())
        if row in wanted and isinstance(picture, FilePicture)
    }
    found = {}

    def one(i: int) -> None:
        with contextlib.suppress(Unreadable):
            found[i] = full_digest(paths[i])

    with quiet(), ThreadPoolExecutor(_threads()) as pool:
        deque(pool.map(one, paths), maxlen=0)
    return found


Decoded = tuple[np.ndarray, "Facts", str]
"""Pixels, facts, sha256."""


def _decoded(pictures: Iterable[Picture], size: int, resizing: str) -> Iterator[Decoded | str]:
    """Decodes in several threads (Pillow and sha256 release the interpreter lock), a few images ahead.

    Yields:
        In the order of ``pictures``: what an image gives, or the reason why it cannot be used.
    """
    from bench.modalities.image.decode import quiet
    from bench.modalities.image.facts import Unreadable

    def one(picture: Picture) -> Decoded | str:
        try:
            return *picture.decode(size, resizing), picture.sha256()
        except Unreadable as error:
            return str(error)
        except OSError as error:  # gone or unreadable between decoding and hashing
            return (error.strerror or "unreadable").lower()

    threads = _threads()
    with quiet(), ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Decoded | str]] = deque()
        try:
            for picture in pictures:
                ahead.append(pool.submit(one, picture))
                if len(ahead) >= 4 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


def _check(
    spec: str, contents: Contents, kept: np.ndarray, left_out: list[tuple[str, str]] | None = None
) -> None:
    """Refuses what no benchmark can be made of: once before decoding, with all images, and once after.

    Args:
        spec: for messages.
        contents: the source's.
        kept: indices of the images that are there.
        left_out: images that turned out to be unreadable; None before decoding.

    Raises:
        RequestError: see the messages.
    """
    names = contents.class_names
    reasons = "" if not left_out else f" Left out: {_listed(left_out)}."
    if len(names) < 2:
        raise RequestError("dataset", spec, f"at least two classes; all images are labelled {names[0]!r}")
    labels = np.array(contents.labels, np.int64)[kept]
    counts = np.bincount(labels, minlength=len(names))
    if not counts.all():
        missing = [names[i] for i in np.flatnonzero(counts == 0).tolist()]
        listed = ", ".join(map(repr, missing[:5])) + (" and others" if missing[5:] else "")
        raise RequestError(
            "dataset",
            spec,
            "at least one image that can be read in every class",
            f"There is none in {listed}.{reasons}",
        )
    if contents.in_test is None:
        if counts.min() < 4:
            worst = int(counts.argmin())
            raise RequestError(
                "dataset",
                spec,
                "at least 4 images in every class (one to test, three to learn from), or a given test part",
                f"Class {names[worst]!r} has {counts[worst]}.{reasons}",
            )
        return
    in_test = np.array(contents.in_test, bool)[kept]
    pool_counts = np.bincount(labels[~in_test], minlength=len(names))
    if not in_test.any():
        raise RequestError("dataset", spec, f"a test part with at least one image that can be read.{reasons}")
    if pool_counts.min() < 2:
        worst = int(pool_counts.argmin())
        raise RequestError(
            "dataset",
            spec,
            "at least two images of every class outside the test part (one to train on, one to validate on)",
            f"Class {names[worst]!r} has "
            + (f"{pool_counts[worst]}." if pool_counts[worst] else "images in the test part only.")
            + reasons,
        )
    if contents.groups is not None:
        groups = np.array(contents.groups, np.int64)[kept]
        both = np.intersect1d(groups[in_test], groups[~in_test])
        if len(both):
            raise RequestError(
                "dataset",
                spec,
                "groups that lie on one side of the given split",
                f"Group {contents.group_names[both[0]]!r} has images in the test part and outside"
                + (f", and so have {len(both) - 1} more." if len(both) > 1 else "."),
            )


def _listed(left_out: list[tuple[str, str]], limit: int = 5) -> str:
    return ", ".join(f"{shown(id)} ({reason})" for id, reason in left_out[:limit]) + (
        ", ..." if left_out[limit:] else ""
    )
