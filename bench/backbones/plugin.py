"""Backbones of other packages: what to derive one from, and how it is found by its name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from bench.backbones.registry import BACKBONES, BackboneInfo
from bench.errors import RequestError
from bench.modalities.registry import DEFAULT
from bench.system.names import HUB, KERAS, PRESET
from bench.system.plugins import Unusable, find, origin

if TYPE_CHECKING:
    import keras

MODULE = "plugin"
"""``BackboneInfo.module`` of all of them."""


class BackbonePlugin:
    """A network without its classifier. Derive from it, and declare it as ``transfer_bench.backbones``.

    Its module imports Keras inside of its methods only: plans and listings import it too.
    """

    summary: ClassVar[str] = ""
    """One line for ``ls backbones``."""
    modality: ClassVar[str] = "image"
    """What it takes: a key of ``bench.modalities.registry.MODALITIES``."""
    params_millions: ClassVar[float | None] = None
    """Size in millions of parameters."""
    imagenet_top1: ClassVar[float | None] = None
    """Published ImageNet accuracy in percent."""
    minimum_size: ClassVar[int] = 32
    """Side in pixels of the smallest square input; of texts, tokens; of clips, samples at 16 kHz."""
    maximum_size: int | None = None
    """Likewise of the largest; None: any."""
    options: ClassVar[dict[str, float | int | bool | str]] = {}
    """Name and default of each option: ``{"width": 1.0}`` allows ``NAME:width=0.5``. Numbers are above 0."""
    reads: ClassVar[tuple[str, ...]] = ()
    """How files of the user's end that ``load()`` reads: ``(".h5",)``. Those in ``.weights.h5`` are Keras's own."""
    version: ClassVar[int] = 1
    """Raised when the network would give other numbers: old cells are then not reused."""
    stamp: str = ""
    """What names files that are part of the network beside its weights; empty: there are none."""

    def build(self, image: keras.KerasTensor, **options: Any) -> keras.KerasTensor:
        """The network, of standard Keras layers in one functional graph.

        Args:
            image: float32 (batch, S, S, 3), RGB, 0..255; preprocessing is part of the network. Of texts the numbers
                of their tokens, int32 (batch, tokens). Of clips samples at 16 kHz, float32 (batch, samples), -1..1.
            options: a value for each of ``options``.

        Returns:
            The last feature map, (batch, h, w, c), not pooled. Of texts a list: hidden states (batch, tokens, c)
            and their mask (batch, tokens), 1 for what counts. Of clips a map (batch, frames, bands, c).
        """
        raise NotImplementedError(f"{type(self).__name__} defines no build()")

    def check(self, **options: Any) -> None:
        """Refuses values that do not go together, before anything is built. Without this method all do.

        Raises:
            RequestError: of field ``backbone``.
        """
        return

    def weights(self, **options: Any) -> str | Path:
        """The file with its pretrained weights; without this method it has none.

        Args:
            options: a value for each of ``options``.

        Returns:
            The path of a ``.weights.h5`` as ``save_weights`` of ``keras.Model(image, build(image))`` writes it.
        """
        raise NotImplementedError

    def load(self, model: keras.Model, path: Path) -> None:
        """Loads ``weights()`` into the network; without this method they are a ``.weights.h5``."""
        raise NotImplementedError

    def tokenizer(self, **options: Any) -> Any:
        """What divides texts into tokens, see ``bench.modalities.text.reader.Tokenizer``; None: hashed words."""
        return None

    @classmethod
    def loads(cls) -> bool:
        """Whether it loads its weights itself."""
        return cls.load is not BackbonePlugin.load

    @classmethod
    def has_weights(cls) -> bool:
        """Whether it brings pretrained weights."""
        return cls.weights is not BackbonePlugin.weights


BUILT_IN = {
    "MiniLM": "bench.backbones.families.hub:MiniLM",
    "SmallTransformer": "bench.backbones.families.small_transformer:SmallTransformer",
    "SpeechEmbedding": "bench.backbones.families.audio:SpeechEmbedding",
    "YAMNet": "bench.backbones.families.audio:YAMNet",
}
"""Those that are made as plug-ins are, and belong to this package."""
BY_NAME = {
    KERAS: "bench.backbones.families.keras_file:KerasFile",
    HUB: "bench.backbones.families.hub:hub_model",
    PRESET: "bench.backbones.families.hub_preset:hub_preset",
}
"""What makes one of a name that begins so."""


def built_in(kinds: Collection[str]) -> list[str]:
    """The names of those of this package that take data of these kinds, whether their packages are there or not."""
    return [name for name, where in BUILT_IN.items() if resolve_name(where).modality in kinds]


def _built_in(name: str) -> BackbonePlugin | None:
    where = next((where for prefix, where in BY_NAME.items() if name.startswith(prefix)), None)
    by_name, where = where is not None, where or BUILT_IN.get(name)
    if where is None:
        return None
    # Imported by name: what builds networks imports Keras, and a plan does without.
    found: BackbonePlugin = resolve_name(where)(*([name] if by_name else []))
    return found


def load_backbone(name: str) -> BackbonePlugin | None:
    """The backbone that is built in, or that another package declares, by this name; None if there is none.

    Raises:
        RequestError: it cannot be used.
    """
    if (own := _built_in(name)) is not None:
        return own
    plugin = find("backbones", name)
    if plugin is None:
        return None
    try:
        found: BackbonePlugin = plugin.load(BackbonePlugin)()
        return found
    except Unusable as error:
        raise RequestError("backbone", name, "a plug-in that works", f"{error}.") from error
    except Exception as error:
        reason = f"{plugin.package}: {type(error).__name__}: {error}."
        raise RequestError("backbone", name, "a class that is made without arguments", reason) from error


def backbone_info(name: str) -> BackboneInfo | None:
    """What is known of a backbone before it is built, built in or another package's; None if there is none of this
    name.

    Raises:
        RequestError: of field ``backbone``, if it is another package's and cannot be used.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    found = load_backbone(name)
    return None if found is None else info_of(name, found)


def modality_of(name: str) -> str:
    """What a backbone takes; of a network that no name leads to, the default modality."""
    info = backbone_info(name)
    return DEFAULT if info is None else info.modality


def info_of(name: str, found: BackbonePlugin) -> BackboneInfo:
    """What is known of a plug-in before it is built."""
    return BackboneInfo(
        name,
        MODULE,
        found.params_millions,
        found.imagenet_top1,
        found.minimum_size,
        None,
        {key: type(default) for key, default in found.options.items()},
        found.summary,
        dict(found.options),
        "pretrained" if found.has_weights() else "none",
        found.modality,
        found.maximum_size,
        tuple(found.reads),
    )


def backbone_origin(name: str) -> str:
    """What names its code (see ``bench.system.plugins.origin``); of one that is built in its files and version,
    empty if it is of the first and has none.

    Raises:
        RequestError: it cannot be used.
    """
    if not name or name in BACKBONES:
        return ""
    if (own := _built_in(name)) is not None:
        # The first versions were in no cell's id, and still are in none.
        return own.stamp if own.version == 1 else f"{own.stamp} version {own.version}".strip()
    found, plugin = load_backbone(name), find("backbones", name)
    return "" if found is None or plugin is None else origin(type(found), plugin.package)
