"""The store of prefixes, with a made-up network of numpy."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import RequestError
from bench.modalities.image.augment import Augmentation
from bench.system import cache
from bench.training import prefixes
from bench.training.examples import PartExamples
from bench.training.prefixes import BATCH, BLOCK, Computed, PrefixStore, Stored

COUNT = 3 * BLOCK + 10
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
LIGHT = Augmentation("light", True)


def network(images: np.ndarray) -> list[np.ndarray]:
    """Two crossing tensors, slow enough to be worth storing."""
    assert images.shape[0] == BATCH
    time.sleep(0.002)
    flat = images.reshape(BATCH, -1)
    return [np.sqrt(flat[:, :5] + 0.1), flat.reshape(BATCH, 4, 12)[:, :2] / 7]


SHAPES = [(5,), (2, 12)]


def store(compute: Any = network, **identity: object) -> PrefixStore:
    return PrefixStore({"layers": "a", **identity}, SHAPES, compute)


def examples(rows: Any = None, pixels: np.ndarray = PIXELS) -> PartExamples:
    rows = np.arange(COUNT) if rows is None else np.array(rows)
    return PartExamples(pixels, [str(i) for i in range(COUNT)], "key", rows, None)


def read(store: PrefixStore, examples: PartExamples, views: int = 2) -> list[np.ndarray]:
    prefix = store.get(examples, LIGHT, views)
    return [tensor for view in prefix.views for tensor in view.read(examples.index)]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all((x == y).all() and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path))
    return tmp_path / "prefixes"


def entries() -> list[cache.Entry]:
    return cache.entries("prefixes")


def test_stored_and_computed_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = store().get(examples(), LIGHT, 3)
    assert [type(view) for view in stored.views] == [Stored] * 3
    assert stored.seconds_per_example >= 0.002 / BATCH
    monkeypatch.setenv("TRANSFER_BENCH_CACHE_GIB", "0")
    computed = store().get(examples(), LIGHT, 3)
    assert [type(view) for view in computed.views] == [Computed] * 3
    assert computed.seconds_per_example == 0
    index = np.random.default_rng(1).integers(COUNT, size=100)
    for rng in (None, 5):
        generators = [None if rng is None else np.random.default_rng(rng) for _ in range(2)]
        a, b = (p.batch(index, g) for p, g in zip((stored, computed), generators, strict=True))
        assert equal(a, b)
        assert [tensor.shape for tensor in a] == [(100, 5), (100, 2, 12)]
        assert a[0].dtype == np.float32


def test_what_is_computed_faster_than_read_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(store(), examples())
    shutil.rmtree(cache.prefixes_dir())
    monkeypatch.setattr(prefixes, "MEMORY_SPEED", 10.0)
    lazy = store()
    assert equal(read(lazy, examples()), expected)
    assert {type(view) for view in lazy.get(examples(), LIGHT, 2).views} == {Computed}
    assert sum(entry.bytes for entry in entries()) < 20_000


def test_numbers_too_large_for_the_stored_type_stay_finite() -> None:
    (large, _), (large_computed, _) = (
        view.read(np.arange(3))
        for view in (
            store(lambda images: [t * 1e9 for t in network(images)])
            .get(examples([0, 1, 2]), LIGHT, 1)
            .views[0],
            Computed(lambda images: [t * 1e9 for t in network(images)], lambda rows: PIXELS[rows]),
        )
    )
    assert np.isfinite(large).all()
    assert (large == large_computed).all()


def test_a_full_disk_costs_time_not_the_result(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    expected = read(store(), examples())
    shutil.rmtree(folder)
    calls = []

    def full(*arguments: Any) -> int:
        calls.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert equal(read(store(), examples()), expected)
    assert calls
    monkeypatch.undo()
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(folder.parent))
    assert equal(read(store(), examples()), expected)  # nothing half written is taken for whole


def _slow(images: np.ndarray) -> list[np.ndarray]:
    time.sleep(0.05)
    with open(os.environ["TRANSFER_BENCH_CACHE"] + f"/calls-{os.getpid()}", "a") as file:
        file.write("x")
    return network(images)


def _fill() -> list[np.ndarray]:
    folder = Path(os.environ["TRANSFER_BENCH_CACHE"])
    (folder / f"ready-{os.getpid()}").touch()
    while len(list(folder.glob("ready-*"))) < 3:  # they begin at the same time
        time.sleep(0.01)
    return read(store(_slow), examples(), 1)


def test_processes_share_the_work(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        results = [pool.apply_async(_fill) for _ in range(3)]
        tensors = [result.get(60) for result in results]
    expected = read(store(), examples(), 1)
    assert all(equal(t, expected) for t in tensors)
    calls = [path.stat().st_size for path in tmp_path.glob("calls-*")]
    assert len(calls) > 1
    warm_ups = len(calls)
    assert sum(calls) - warm_ups == -(-COUNT // BATCH)  # every batch once, whoever did it


def _die(images: np.ndarray) -> list[np.ndarray]:
    if images.any():
        os._exit(9)
    return network(images)


def _fill_and_die() -> None:
    read(store(_die), examples(), 1)


def test_a_process_that_dies_in_the_middle_leaves_its_claim() -> None:
    process = multiprocessing.get_context("spawn").Process(target=_fill_and_die)
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert equal(read(store(), examples(), 1), [t.astype(np.float16) for t in _plain()])


def _plain() -> list[np.ndarray]:
    flat = PIXELS.astype(np.float32).reshape(COUNT, -1)
    return [np.sqrt(flat[:, :5] + 0.1), flat.reshape(COUNT, 4, 12)[:, :2] / 7]


def test_the_least_recently_used_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate("abc"):
        read(store(layers=name), examples(), 1)
        for entry in entries()[-1:]:
            os.utime(entry.path / "claims", (i, i))
    sizes = [entry.bytes for entry in entries()]
    paths = [entry.path for entry in entries()]
    assert len(paths) == 3
    read(store(layers="a"), examples(), 1)  # used again: it is now the last to go
    monkeypatch.setenv("TRANSFER_BENCH_CACHE_GIB", str((sum(sizes) + sizes[0] / 2) / 2**30))
    read(store(layers="d"), examples(), 1)
    left = {entry.path for entry in entries()}
    assert paths[0] in left
    assert paths[1] not in left
    assert len(left) == 3
    assert sum(entry.bytes for entry in entries()) <= cache.limit()


def test_evicting_what_is_in_use_harms_nobody(folder: Path) -> None:
    expected = read(store(), examples(), 1)
    prefix = store().get(examples(), LIGHT, 1)
    cache.clear(["prefixes"])
    assert entries() == []
    assert equal(prefix.views[0].read(np.arange(COUNT)), expected)

    def evicts(images: np.ndarray) -> list[np.ndarray]:
        cache.clear(["prefixes"])
        return network(images)

    assert equal(read(store(evicts), examples(), 1), expected)
    assert equal(read(store(), examples(), 1), expected)


def test_memory_does_not_grow_by_what_is_read(tmp_path: Path) -> None:
    from bench.system.files import rows_of

    np.save(tmp_path / "large.npy", np.zeros((4096, 16384), np.uint8))  # 64 MiB
    array = np.load(tmp_path / "large.npy", mmap_mode="r")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    before = resident()
    for first in range(0, 4096, 64):
        rows_of(array, np.arange(first, first + 64))
    assert resident() - before < 16 * 2**20
    for first in range(0, 4096, 64):
        array[np.arange(first, first + 64)]
    assert resident() - before > 48 * 2**20  # the measurement measures


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE_GIB", text)
    with pytest.raises(RequestError, match="TRANSFER_BENCH_CACHE_GIB"):
        cache.limit()


def test_clear_knows_its_kinds() -> None:
    read(store(), examples(), 1)
    with pytest.raises(RequestError, match="datasets"):
        cache.clear(["models"])
    assert entries()
    assert cache.clear(["prefixes"]) > 0
    assert entries() == []
