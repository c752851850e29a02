"""Files of the cache that are not as they were written: what is read from them is the truth, or computed again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.backbones.spec import parse_backbone
from bench.backbones.weights import resolve_weights
from bench.datasets import open_dataset
from bench.datasets.entry import full_findings
from bench.datasets.leakage import example_hashes
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan
from bench.ranking import rank as ranking
from bench.ranking.ranking import SCORES
from bench.records import Record
from bench.runs.experience import Experience
from bench.runs.forecast import Forecast
from bench.runs.latency import latencies
from bench.runs.prepare import prepare
from bench.runs.timing import kept_timing, time_batches, timing_key
from bench.system import sealed
from bench.system.files import cache_dir
from bench.training.examples import PartExamples
from bench.training.prefixes import BATCH, PrefixStore

SIZE = 32
ROWS = np.random.default_rng(0).integers(0, 256, (BATCH + 7, 4, 4, 3), dtype=np.uint8)

Read = Callable[[], Any]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def _dataset(root: Path) -> Any:
    dataset = open_dataset(str(root), ImageInput(SIZE))
    parts = [
        (part.ids, part.labels, part.groups, np.array(part.data), part.group_names)
        for part in (dataset.pool, dataset.test)
    ]
    names = dataset.name, dataset.modality, dataset.fingerprint, dataset.class_names, dataset.traits
    findings = [repr(finding) for finding in dataset.findings], repr(full_findings(dataset))
    return names, parts, findings, dataset.left_out, example_hashes(dataset)


def _prefix(layers: str) -> list[np.ndarray]:
    def compute(images: np.ndarray) -> list[np.ndarray]:
        time.sleep(0.0005)  # slow enough to be worth storing
        flat = images.reshape(BATCH, -1) + len(layers)
        return [np.sqrt(flat[:, :5]), np.cbrt(flat[:, :5])]

    store = PrefixStore({"layers": layers}, [(5,), (5,)], compute)
    examples = PartExamples(ROWS, [str(i) for i in range(len(ROWS))], "key", np.arange(len(ROWS)), None)
    return store.get(examples, None, 1).views[0].read(examples.index)


TIMES = {"building": 1.0, "forward_tracing": 2.0, "tracing": 9.0, "forward": 0.01, "steps": [[16, 0.3]]}
TIMES |= {"resetting": 0.1, "batch_norm": True, "width": 9, "shares": [0.0, 0.4, 1.0], "row_bytes": [8, 9, 9]}


def _scores(name: str) -> Any:
    """Kept scores; computed again where there are none."""
    path = cache_dir() / "ranking" / f"{name}.json"
    truth = {"scores": dict.fromkeys(SCORES, len(name) / 10), "missing": {}, "params": 5, "width": 4}
    truth |= {"feature_map": [2, 2], "ms_per_image": 1.5}
    kept = ranking._read(path)
    if kept is None:
        sealed.write(path, json.dumps(truth))
    return kept or truth


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Read]:
    """What reads each kind of cached thing, two of a kind, with the cache filled."""
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    roots, rng = [], np.random.default_rng(0)
    for name in ("one", "two"):
        for i in range(12):
            path = tmp_path / name / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
        roots.append(tmp_path / name)
    plan = {
        "datasets": [str(roots[0])],
        "backbones": ["MobileNet:weights=none"],
        "image_size": SIZE,
        "fractions": [1.0],
    }
    prepared = prepare(load_plan(plan))
    cell = next(cell for cell in prepared.cells if cell.backbone)
    weights = tmp_path / "some.h5"
    weights.write_bytes(b"abc")
    (tmp_path / "other.h5").write_bytes(b"abcd")
    other = {"MobileNet": weights, "MobileNet:alpha=0.5": tmp_path / "other.h5"}

    def measured(backbone: str, milliseconds: float) -> dict[str, float | None]:
        executor: Any = SimpleNamespace(measure_latency=lambda job: milliseconds)
        info = {"hardware": {"cpu": backbone}, "versions": {}}
        return latencies(prepared, [cell], executor, info)

    def forecast() -> tuple[float, bool]:
        known = Forecast(prepared.sizes)
        if not known.is_measured([cell]):  # as after a run
            known.add(cell, 7.0)
            known.save()
        return known.seconds([cell])

    def timings() -> list[Any]:
        executor: Any = SimpleNamespace(time_batches=lambda jobs: [TIMES for _ in jobs])
        here = [dataclasses.replace(cell, threads=threads) for threads in (2, 3)]
        forecast = Forecast(prepared.sizes)
        time_batches(forecast.untimed(here), executor, lambda text: None)
        return [kept_timing(timing_key(one)) for one in here]

    def gains() -> float | None:
        if (found := Experience().gain(cell)) is not None:
            return found
        two = [dataclasses.replace(cell, fraction=share) for share in (0.5, 1.0)]
        values = [{"accuracy": 0.5 * one.fraction} for one in two]
        Experience().learn(
            Record(one.id, dataclasses.asdict(one), "ok", metrics=v)
            for one, v in zip(two, values, strict=True)
        )
        return Experience().gain(cell)

    found: dict[str, Read] = {
        "gains": gains,
        "timings": timings,
        "dataset": lambda: [_dataset(root) for root in roots],
        "prefix": lambda: [_prefix("a"), _prefix("bb")],
        "latency": lambda: [measured("cpu", 1.5), measured("other", 2.5)],
        "forecast": forecast,
        "ranking": lambda: [_scores("one"), _scores("three")],
        "weights": lambda: [
            resolve_weights(parse_backbone(name), 96, lambda *_, path=path: {"path": str(path)})
            for name, path in other.items()
        ],
    }
    for read in found.values():
        read()
    return found


def flip_a_bit(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)


def flip_a_bit_unseen(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    """In place, with the old time of modification."""
    status, data = path.stat(), path.read_bytes()
    if data:
        place = int(rng.integers(len(data)))
        with path.open("r+b") as file:
            file.seek(place)
            file.write(bytes([data[place] ^ 1 << int(rng.integers(8))]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_a_digit(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
    if digits:
        data[rng.choice(digits)] = ord(str(rng.integers(10)))
        path.write_bytes(data)


def zero_a_block(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    start = int(rng.integers(len(data) + 1))
    data[start : start + 64] = bytes(len(data[start : start + 64]))
    path.write_bytes(data)


def truncate(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size + 1)])


def lengthen(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.write_bytes(path.read_bytes() + rng.bytes(int(rng.integers(1, 200))))


def delete(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.unlink()


def replace(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.write_bytes(others[rng.integers(len(others))].read_bytes())


def exchange(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    other, aside = others[rng.integers(len(others))], path.with_name("aside")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def link(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.unlink()
    path.symlink_to(others[rng.integers(len(others))])


def link_to_nothing(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.unlink()
    path.symlink_to("nothing")


def folder(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    path.unlink()
    os.mkfifo(path)


def exchange_folders(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    """Of two datasets, or of two prefixes."""
    if len(path.relative_to(cache_dir()).parts) == 3:
        here = path.parent
        there = next(p for p in here.parent.iterdir() if p.is_dir() and p != here)
        exchange(here, rng, [there])


def link_folders(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    if len(path.relative_to(cache_dir()).parts) == 3:
        here = path.parent
        there = next(p for p in here.parent.iterdir() if p.is_dir() and p != here)
        shutil.rmtree(here)
        here.symlink_to(there)


MUTATIONS = (
    flip_a_bit, flip_a_bit_unseen, change_a_digit, zero_a_block, truncate, lengthen, delete, replace, exchange,
    link, link_to_nothing, folder, pipe, exchange_folders, link_folders,
)  # fmt: skip


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Ends what waits for ever. Not by an ``OSError``, which is taken for a cache that cannot be used."""

    def end(*_: object) -> None:
        raise RuntimeError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def files_of(root: Path) -> dict[str, list[Path]]:
    """All files by kind that hold something, in a fixed order; not the locks."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
    found: dict[str, list[Path]] = {}
    for path in files:
        kind = {"datasets": "dataset", "prefixes": "prefix", "speeds.json": "forecast", "gains.json": "gains"}
        first = path.relative_to(root).parts[0]
        found.setdefault(kind.get(first, first), []).append(path)
    return found


def faults(readers: dict[str, Read], aside: Path, count: int) -> list[str]:
    """What went wrong with ``count`` mutations of files of the cache, each on its own."""
    truth = {kind: read() for kind, read in readers.items()}
    root, rng, found = cache_dir(), np.random.default_rng(0), []
    shutil.copytree(root, aside, symlinks=True)
    files = files_of(root)
    assert set(files) == set(readers)
    every = [path for paths in files.values() for path in paths]
    for number in range(count):
        mutate = MUTATIONS[number % len(MUTATIONS)]
        kind = [*files][number // len(MUTATIONS) % len(files)]
        path = files[kind][rng.integers(len(files[kind]))]
        same_name = [p for p in files[kind] if p.name == path.name and p != path]
        others = same_name if same_name and rng.random() < 0.8 else [p for p in every if p != path]
        mutate(path, rng, others)
        for name, read in readers.items():
            what = f"{number}: {mutate.__name__} of {path.relative_to(root)}, {name}"
            try:
                with within(10):
                    if not same(read(), truth[name]):
                        found.append(f"{what}: a wrong number")
            except Exception as error:
                found.append(f"{what}: {type(error).__name__}: {error}")
        shutil.rmtree(root)
        shutil.copytree(aside, root, symlinks=True)
    return found


def test_every_file_of_the_cache_has_a_checksum(readers: dict[str, Read]) -> None:
    for path in (path for paths in files_of(cache_dir()).values() for path in paths):
        sealed_folder = json.loads(sealed.read(path.parent / sealed.SEAL) or "{}")
        by_row = path.parent.parent.name == "prefixes" and path.suffix == ".npy"
        assert path.name in sealed_folder or by_row or path.name == "claims" or sealed.read(path) is not None


def test_no_mutation_gives_a_wrong_number(readers: dict[str, Read], tmp_path: Path) -> None:
    assert faults(readers, tmp_path / "aside", 180) == []


@pytest.mark.slow
def test_no_mutation_of_many_gives_a_wrong_number(readers: dict[str, Read], tmp_path: Path) -> None:
    assert faults(readers, tmp_path / "aside", 3600) == []


@pytest.mark.parametrize("mutate", [m for m in MUTATIONS if m is not delete])
def test_the_person_is_told(
    readers: dict[str, Read],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    mutate: Callable[[Path, np.random.Generator, list[Path]], None],
) -> None:
    root, rng = cache_dir(), np.random.default_rng(1)
    for kind, paths in files_of(root).items():
        path = next(p for p in paths if p.name not in ("claims", "speed.json"))
        others = [p for p in paths if p != path] or files_of(root)["latency"]
        before = path.read_bytes()
        mutate(path, rng, others)
        if path.is_file() and not path.is_symlink() and path.read_bytes() == before:
            continue  # nothing to be changed there
        monkeypatch.setattr(sealed, "_told", set())
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            readers[kind]()
        assert "Computed again" in caplog.text or "computed again" in caplog.text, (kind, path)
