"""Datasets that Keras, TensorFlow Datasets or Hugging Face download, in a short-lived child process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters import fetch
from bench.datasets.adapters.arrays import ArrayFile
from bench.datasets.adapters.manifest import Manifest
from bench.datasets.adapters.texts import TextTable
from bench.datasets.source import Adapter, Contents, Source
from bench.errors import BenchError, RequestError
from bench.system import sealed
from bench.system.files import TEMPORARY_PREFIX, cache_dir, digest, locked, removed

KERAS = {
    "mnist": "70,000 handwritten digits, 28 px, gray",
    "fashion_mnist": "70,000 photographs of clothes, 28 px, gray, 10 classes",
    "cifar10": "60,000 photographs, 32 px, 10 classes",
    "cifar100": "60,000 photographs, 32 px, 100 classes",
}

KERAS_FILES = {
    "mnist": "mnist.npz",
    "fashion_mnist": "fashion-mnist/*.gz",
    "cifar10": "cifar-10-batches-py-target (cifar-10-python.tar.gz)",
    "cifar100": "cifar-100-python-target (cifar-100-python.tar.gz)",
}
"""What Keras keeps in the folder ``datasets`` of its home."""


class Fetched(Adapter):
    """``keras:NAME``, ``tfds:NAME`` or ``hf:NAME[:CONFIG]``. The package checks what it downloads.

    A plain copy is kept.
    """

    downloads = True
    prefixes = ("keras:", "tfds:", "hf:")
    names: ClassVar[dict[str, str]] = {
        f"keras:{name}": f"{text}; downloaded once" for name, text in KERAS.items()
    }
    forms: ClassVar[dict[str, str]] = {
        "tfds:NAME": "an image classification dataset of TensorFlow Datasets; needs transfer-bench[tfds]",
        "hf:NAME[:CONFIG]": "a text classification dataset of the Hugging Face hub; needs transfer-bench[hub]",
    }

    @classmethod
    def canonical(cls, spec: str) -> str | None:
        if re.fullmatch(r"(tfds|hf):[\w./:+-]+", spec):
            return spec
        kind, _, name = spec.partition(":")
        return super().canonical(f"{kind}:{name.lower().replace('-', '_')}")

    def __init__(self, spec: str) -> None:
        super().__init__(spec)
        self.name = spec.partition(":")[2]
        if spec.startswith("hf:"):
            self.modality = "text"

    def stamp(self) -> list[Any]:
        return [self.spec]  # published datasets do not change; nothing is fetched only to find that out

    def contents(self) -> Contents:
        folder = cache_dir() / "datasets" / "fetched" / digest(self.spec)
        with locked(folder.with_suffix(".lock")):
            if not sealed.is_whole(folder):
                temporary = folder.with_name(TEMPORARY_PREFIX + folder.name)
                removed(temporary)
                temporary.mkdir(parents=True)
                try:
                    self._fetch(temporary)
                    sealed.seal(temporary, folder)
                    removed(folder)
                    os.replace(temporary, folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
        kept: Source
        if (folder / fetch.TEXTS).exists():
            kept = TextTable(folder / fetch.TEXTS)
        elif (folder / fetch.MANIFEST).exists():
            kept = Manifest(folder / fetch.MANIFEST)
        else:
            kept = ArrayFile(folder / fetch.ARRAYS, self.spec)
        return kept.contents()

    def _fetch(self, folder: Path) -> None:
        """Runs the child.

        Raises:
            RequestError: a package is missing, the name is not known, or the dataset is of another kind.
            BenchError: the download failed.
        """
        child = subprocess.run(
            # -P: a file of the current folder must not stand in for a module that Keras imports
            [sys.executable, "-P", fetch.__file__, self.spec, str(folder)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            check=False,
        )
        if child.returncode == 0:
            return
        said = ([line.strip() for line in child.stderr.splitlines() if line.strip()] or ["nothing"])[-1][:500]
        if child.returncode == fetch.REFUSED:
            expected, _, remedy = said.partition("|")
            raise RequestError("dataset", self.spec, expected, remedy)
        raise BenchError(
            f"{self.spec} could not be fetched. {self._how_to_get_it()} The child process said: {said}"
        )

    def _how_to_get_it(self) -> str:
        if self.spec.startswith("tfds:"):
            return (
                "TensorFlow Datasets looks in $TFDS_DATA_DIR (by default ~/tensorflow_datasets), then tries "
                "to download it: prepare it there on a machine with network and copy the folder."
            )
        if self.spec.startswith("hf:"):
            return (
                "The package datasets looks in its cache ($HF_HOME, by default ~/.cache/huggingface), then tries "
                "to download it. On a machine with network, save it as a table with the columns text,label,split, "
                "and give that file."
            )
        home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
        return (
            f"Keras looked for {KERAS_FILES[self.name]} in {home / 'datasets'}, then tried to download it. "
            f'Check the network, or run python -c "import keras; keras.datasets.{self.name}.load_data()" on '
            "a machine with network and copy its ~/.keras/datasets there."
        )
