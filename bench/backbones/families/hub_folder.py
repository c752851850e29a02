"""Models of the Hugging Face hub: a folder with ``config.json`` and ``model.safetensors``, here or in its cache.

Safetensors only: no pickle is opened and no code of a model runs. Imports no Keras.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.backbones.families.pieces import Shape, misfit, plain
from bench.backbones.plugin import BackbonePlugin
from bench.errors import RequestError
from bench.system.files import digest, is_lfs_pointer, sha256_file
from bench.system.names import HUB, at_home

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TOKENIZER, PREPROCESSOR = "tokenizer.json", "preprocessor_config.json"
OF_KERAS_HUB = ["model.weights.h5", "image_converter.json"]
WANTED = [CONFIG, WEIGHTS, INDEX, "model-*-of-*.safetensors", TOKENIZER, PREPROCESSOR, *OF_KERAS_HUB]
"""What is downloaded of a model."""
INSTALL = "Install it with: pip install 'transfer-bench[text]'"


class HubModel(BackbonePlugin):
    """A network that a folder describes.

    Args:
        name: of the backbone, for messages.
        folder: where its files lie.
    """

    described_by: ClassVar[tuple[str, ...]] = (CONFIG,)
    """The files that are part of the network beside its weights."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    def weights_needed(self) -> Mapping[str, Shape]:
        """Plain names and shapes of the weights that the file has to hold."""
        raise NotImplementedError

    @cached_property
    def stamp(self) -> str:  # type: ignore[override]
        """What names its shape and all else of it that is not in the file of ``weights()``."""
        files = [self.file(name) for name in self.described_by]
        return digest([sha256_file(path) for path in [*files, *self._shards]])

    @cached_property
    def described(self) -> dict[str, Any]:
        """Its ``config.json``."""
        return self.json(CONFIG)

    def json(self, name: str) -> dict[str, Any]:
        """The content of one of its files."""
        path = self.file(name)
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise self.error(f"a folder with a sound {name}", f"{path} is not JSON: {error}.") from None
        if not isinstance(found, dict):
            raise self.error(f"a folder with a sound {name}", f"{path} holds no object.")
        return found

    @contextmanager
    def reading(self, kinds: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """Its ``config.json``, whose errors are told.

        Args:
            kinds: of models that are built here.
        """
        path = self.folder / CONFIG
        try:
            yield self.described
        except KeyError as error:
            raise self.error("a whole configuration", f"{path} lacks {error}.") from None
        except (ValueError, TypeError) as error:
            raise self.error(f"one of {', '.join(kinds)}", f"{path} describes {error}.") from None

    def weights(self, **options: Any) -> Path:
        """The file with the weights, or of several files their index. It fits."""
        path = self.folder / INDEX if self._shards else self.file(WEIGHTS)
        found: dict[str, Shape] = {}
        for file in self._shards or [path]:
            with self._opened(file) as tensors:
                for name in list(tensors.keys()):
                    found[plain(name)] = tuple(tensors.get_slice(name).get_shape())
        if reason := misfit(self.weights_needed(), found):
            raise self.error("weights that fit their configuration", f"{path}: {reason}")
        return path

    def tensors(self, path: Path) -> dict[str, np.ndarray]:
        """The weights by their plain names, float32.

        Args:
            path: of a copy of what ``weights()`` names.
        """
        import ml_dtypes  # noqa: F401  # so that numpy knows bfloat16; Keras brings it

        found: dict[str, np.ndarray] = {}
        for file in self._shards or [path]:
            with self._opened(file) as tensors:
                for name in list(tensors.keys()):
                    found[plain(name)] = tensors.get_tensor(name).astype(np.float32, copy=False)
        return found

    @cached_property
    def _shards(self) -> list[Path]:
        """The files that weights are divided into; empty if there is one."""
        if (self.folder / WEIGHTS).is_file() or not (self.folder / INDEX).is_file():
            return []
        names = sorted(set(self.json(INDEX).get("weight_map", {}).values()))
        # Names lead nowhere else, whatever the index says.
        return [self.file(Path(str(name)).name) for name in names]

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        if is_lfs_pointer(path):
            remedy = f"{path} is a git-lfs pointer. Run: git lfs pull"
            raise self.error("a folder with weights", remedy)
        if find_spec("safetensors") is None:
            raise self.error("with the package safetensors", INSTALL)
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as tensors:
                yield tensors
        except SafetensorError as error:
            remedy = f"{path} is damaged or was not copied whole ({error}). Download it again."
            raise self.error("a folder with sound weights", remedy) from None

    def file(self, name: str) -> Path:
        """One of its files."""
        path = self.folder / name
        if path.is_file():
            return path
        there = ", ".join(sorted(os.listdir(self.folder))[:8]) if self.folder.is_dir() else ""
        remedy = f"The folder {self.folder} has {there or 'nothing'}."
        if name == WEIGHTS and list(self.folder.glob("*.bin")):
            remedy += " Files that end in .bin are pickles, which run code when opened: they are not read."
        raise self.error(f"a folder with {name}", remedy)

    def error(self, expected: str, remedy: str) -> RequestError:
        """What is wrong with it, see ``RequestError``."""
        return RequestError("backbone", self.name, expected, remedy)


def folder_of(name: str) -> Path:
    """The folder of ``hf:FOLDER`` or ``hf:ORG/NAME[@REVISION]``, which is downloaded if it is not here.

    What is here is taken as it is: a run does not change because a model did, and does not wait for a network.

    Raises:
        RequestError: it is not there and cannot be had.
    """
    where = name.removeprefix(HUB)
    path = at_home(where)
    if path.is_dir():
        return path
    if find_spec("huggingface_hub") is None:
        raise RequestError("backbone", name, "with the package huggingface_hub", INSTALL)
    repository, _, revision = where.partition("@")
    return _cached(repository, revision or None) or _downloaded(name, repository, revision or None)


def _cached(repository: str, revision: str | None) -> Path | None:
    """The folder of a model in the hub's cache, if it has weights."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return path if any((path / name).is_file() for name in (WEIGHTS, INDEX, OF_KERAS_HUB[0])) else None


def _downloaded(name: str, repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=WANTED))
    except HFValidationError:
        expected = "hf:ORGANISATION/NAME, hf:ORGANISATION/NAME@REVISION or hf:FOLDER"
        raise RequestError("backbone", name, expected, f"There is no folder {repository!r}.") from None
    except (HfHubHTTPError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = (
            f"It is not in the hub's cache and could not be downloaded ({reason}). Download {CONFIG}, {WEIGHTS} "
            f"and {TOKENIZER} (of images {PREPROCESSOR}) into a folder on another machine, and give hf:FOLDER."
        )
        raise RequestError("backbone", name, "on this machine, or within reach", remedy) from None
