"""Keras in this process, and ``train.py`` in one of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.records import Cell
from bench.system import backend, machine


def load_keras(cell: Cell) -> Any:
    """Keras with a cell's backend, on the processor alone: an accelerator is for the process that trains.

    Loaded without what TensorFlow's C++ says as it starts, which nothing else keeps from the terminal.
    """
    before = dict(os.environ)
    os.environ |= machine.environment(cell.backend, cell.threads) | backend.WITHOUT_ACCELERATOR[cell.backend]
    try:
        with quiet():
            import keras

            if cell.backend == "tensorflow":
                import tensorflow as tf

                tf.config.set_visible_devices([], "GPU")
            keras.ops.zeros(())
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before
    return keras


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps from the terminal what libraries say in C++, past all that Python could catch."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def run_script(script: Path, cell: Cell, say: Callable[[str], None]) -> None:
    """Runs ``train.py`` as its reader would, and says what it says, line by line.

    Raises:
        BenchError: it failed.
    """
    environment = machine.environment(cell.backend, cell.threads) | {"PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)  # it needs nothing of ours
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        process = subprocess.Popen(
            [sys.executable, script.name], cwd=script.parent, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=complaints,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    say("  " + line.rstrip())
            process.wait()
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            complaints.seek(0)
            kept = Path(tempfile.mkdtemp(prefix="transfer-bench-")) / "train.py"
            shutil.copy(script, kept)
            raise BenchError(
                f"The exported train.py ended with exit code {process.returncode}; it is kept as {kept}. It said: "
                + " / ".join(complaints.read().strip().splitlines()[-3:])
            )
