"""From a source to a cache entry (decode once) and from a cache entry to a dataset (every other time).

An entry is a folder with ``pool.npy`` and ``test.npy`` (images; in files of their own, so that nothing that holds
the one can reach the other) and ``index.json`` (everything else). It is built beside its place and renamed into
it, so it is there as a whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.datasets import splits
from bench.datasets.dataset import Dataset, Part
from bench.datasets.source import (
    Contents,
    Picture,
    Source,
    canonical_spec,
    keeps_label_mirrored,
    open_source,
    printable,
)
from bench.errors import BenchError, RequestError
from bench.files import TEMPORARY_PREFIX, cache_dir, canonical_json, digest, locked

FORMAT = 2
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
    from bench.datasets.decode import RESIZINGS

    if resizing not in RESIZINGS:
        raise RequestError("resizing", resizing, "one of " + ", ".join(RESIZINGS))
    spec = canonical_spec(spec)
    source = open_source(spec)
    caches = cache_dir() / "datasets"
    prefix = digest([spec, image_size, resizing])
    entry = caches / f"{prefix}-{digest([source.stamp(), decoding_versions()])}"
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
    except OSError as error:
        raise BenchError(
            f"The dataset cache {str(caches)!r} cannot be used: {error.strerror or error}. Set "
            "TRANSFER_BENCH_CACHE to a folder that can be written and has room for the decoded images."
        ) from error
    dataset = _load(entry)
    if dataset is None:
        raise BenchError(f"The dataset cache {str(entry)!r} was damaged as soon as it was written.")
    return dataset


def decoding_versions() -> list[int]:
    """What the same spec and files may give other pixels or splits under."""
    from bench.datasets.decode import VERSION

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
            )
        return Dataset(
            spec=index["spec"],
            name=index["name"],
            modality=index["modality"],
            fingerprint=index["fingerprint"],
            class_names=tuple(index["class_names"]),
            flip=index["flip"],
            warnings=tuple(index["warnings"]),
            left_out=tuple((id, reason) for id, reason in index["left_out"]),
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
    name = printable(source.name)
    fetched = spec.startswith(("keras:", "tfds:"))
    progress(f"{name}: " + ("fetching, if it is not here yet" if fetched else "listing the images"))
    contents = source.contents()
    everyone = np.arange(len(contents.ids))
    _check(spec, contents, everyone)

    kept: list[int] = []
    hashes: list[str] = []
    left_out = list(contents.left_out)
    scratch = folder / "decoded"
    last = time.monotonic()
    with scratch.open("wb") as file:
        for i, result in enumerate(_decoded(contents.pictures, image_size, resizing)):
            if isinstance(result, str):
                left_out.append((contents.ids[i], result))
            else:
                pixels, sha256 = result
                file.write(pixels.tobytes())
                kept.append(i)
                hashes.append(sha256)
            if time.monotonic() - last > 1:
                last = time.monotonic()
                progress(f"{name}: {i + 1:,} of {len(contents.ids):,} images decoded")

    rows = np.array(kept, np.int64)
    _check(spec, contents, rows, left_out)
    labels = np.array(contents.labels, np.int64)[rows]
    groups = None if contents.groups is None else np.array(contents.groups, np.int64)[rows]
    given = None if contents.in_test is None else np.array(contents.in_test, bool)[rows]
    ids = [contents.ids[i] for i in kept]
    content = {
        "modality": "image",
        "class_names": list(contents.class_names),
        "ids": ids,
        "labels": labels.tolist(),
        "test": None if given is None else given.tolist(),
        "groups": None if groups is None else [contents.group_names[g] for g in groups],
        "sha256": hashes,
    }
    fingerprint = digest(content)
    in_test = (
        given if given is not None else splits.split_test(labels, groups, fingerprint, contents.class_names)
    )

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

    def part(chosen: np.ndarray) -> dict[str, Any]:
        return {
            "ids": [ids[i] for i in chosen],
            "labels": labels[chosen].tolist(),
            "groups": None if groups is None else groups[chosen].tolist(),
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
        "warnings": _warnings(contents, in_test, labels, left_out),
        "left_out": left_out,
    }
    with (folder / "index.json").open("wb") as file:
        file.write(canonical_json(index).encode())
        _sync(file)


def _sync(file: IO[bytes]) -> None:
    """To the disk before the rename: after a power cut an entry is whole or absent."""
    file.flush()
    os.fsync(file.fileno())


def _decoded(pictures: Iterable[Picture], size: int, resizing: str) -> Iterator[tuple[np.ndarray, str] | str]:
    """Decodes in several threads (Pillow and sha256 release the interpreter lock), a few images ahead.

    Yields:
        In the order of ``pictures``: pixels and sha256, or the reason why an image cannot be used.
    """
    from bench.datasets.decode import Unreadable, quiet

    def one(picture: Picture) -> tuple[np.ndarray, str] | str:
        try:
            return picture.decode(size, resizing), picture.sha256()
        except Unreadable as error:
            return str(error)
        except OSError as error:  # gone or unreadable between decoding and hashing
            return (error.strerror or "unreadable").lower()

    threads = min(
        8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with quiet(), ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[tuple[np.ndarray, str] | str]] = deque()
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


def _warnings(
    contents: Contents, in_test: np.ndarray, labels: np.ndarray, left_out: list[tuple[str, str]]
) -> list[str]:
    warnings = list(contents.warnings)
    if left_out:
        total = len(contents.ids) + len(contents.left_out)
        verb = "is" if len(left_out) == 1 else "are"
        warnings.append(
            f"{len(left_out):,} of {total:,} images could not be read and {verb} left out: "
            f"{_listed(left_out)}."
        )
    untested = sorted(set(labels[~in_test].tolist()) - set(labels[in_test].tolist()))
    if untested:
        listed = ", ".join(repr(contents.class_names[c]) for c in untested[:5])
        warnings.append(
            f"{len(untested):,} of {len(contents.class_names):,} classes have no test image, so how well "
            f"they are recognised is not measured: {listed}{', ...' if untested[5:] else ''}."
        )
    return warnings


def _listed(left_out: list[tuple[str, str]], limit: int = 5) -> str:
    return ", ".join(f"{id} ({reason})" for id, reason in left_out[:limit]) + (
        ", ..." if left_out[limit:] else ""
    )
