"""What all tests share: a cache of their own, the command line as a child process, data beside the checkout."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import bench

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in a background job; children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time: a commit is judged by what it changed.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

ROOT = Path(bench.__file__).resolve().parents[1]
"""The code that is tested: a checkout, or wherever the packages are installed."""
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Whole runs start first, and unit tests end: folders in their order.

    By itself xdist starts the files with most tests first. Those with one or two are whole runs, and the last of
    them would keep one worker busy while the other waits.
    """
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    _keep_to_one_core()


def _keep_to_one_core() -> None:
    """Where xdist has a worker for each core, each keeps to its own, and what it runs has one worker by default."""
    number, count = (
        os.environ.get("PYTEST_XDIST_WORKER", ""),
        os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"),
    )
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if number and len(cores) == int(count):
        os.sched_setaffinity(0, {cores[int(number.removeprefix("gw"))]})


def pytest_collection_finish() -> None:
    """What is imported by now stays: Keras collects garbage often, and need not look through all of it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the whole session, away from the user's; tests share what it holds."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFER_BENCH_CACHE", str(folder))
        yield folder


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    folder = tmp_path / "fresh-cache"
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Gives the path of something in the folder ``shared`` beside the checkout; skips where it is missing."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs {path}, which is not part of the project")
        return path

    return find


def child_environment(**changes: str) -> dict[str, str]:
    """The environment of a child that is to find the packages under test, wherever it is started."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200", **changes}


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    rc: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts ``python ARGUMENTS`` and returns at once."""

    def popen(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=child_environment(**(env or {})),
            **options,
        )

    return popen


@pytest.fixture(scope="session")
def python(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Result]:
    """Runs ``python ARGUMENTS`` to its end, within ``timeout`` seconds."""

    def run(*arguments: object, timeout: float = 120, **options: Any) -> Result:
        with start(*arguments, **options) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return Result(process.returncode, stdout, stderr)

    return run


@pytest.fixture(scope="session")
def cli(python: Callable[..., Result]) -> Callable[..., Result]:
    """Runs ``python -m bench ARGUMENTS`` as a child process."""
    return lambda *arguments, **options: python("-m", "bench", *arguments, **options)


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory, python: Callable[..., Result]) -> Path:
    """A ``.weights.h5`` of Conv4:filters=8 at 32 px, see ``weights_file``: four layers are compiled in no time."""
    return _saved(python, "Conv4:filters=8", tmp_path_factory.mktemp("weights") / "conv4.weights.h5")


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory, python: Callable[..., Result]) -> Path:
    """A ``.weights.h5`` of MobileNet:alpha=0.25 at 32 px: strategies that transfer do not skip.

    Random kernels, and the statistics of the digits, without which nothing comes through 27 layers.
    """
    return _saved(python, "MobileNet:alpha=0.25", tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5")


def _saved(python: Callable[..., Result], backbone: str, path: Path) -> Path:
    code = (
        "import sys, keras\n"
        "from bench.datasets import open_dataset\n"
        "from bench.modalities.image.input import ImageInput\n"
        "from bench.backbones.spec import parse_backbone\n"
        "from bench.backbones.build import build_backbone\n"
        "from bench.backbones.weights import Weights\n"
        "keras.utils.set_random_seed(1)\n"
        "spec = parse_backbone(f'{sys.argv[1]},weights=none')\n"
        "model = build_backbone(spec, 32, Weights('none', '', None))\n"
        "for layer in model.layers:\n"
        "    layer.momentum = 0.0\n"
        "model(open_dataset('digits', ImageInput(32)).pool.data[:256].astype('float32'), training=True)\n"
        "model.save_weights(sys.argv[2])\n"
    )
    result = python("-c", code, backbone, path)
    assert result.rc == 0, result.stderr
    return path
