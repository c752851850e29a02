"""A backbone as a plan asks for it: its name, its options and its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bench.backbones.own import read_source
from bench.backbones.plugin import BUILT_IN, MODULE, backbone_info, load_backbone, modality_of
from bench.backbones.registry import _IMAGENET_ALPHAS, _NARROW_TOP1, BACKBONES, BackboneInfo
from bench.errors import RequestError, did_you_mean
from bench.modalities.registry import modality
from bench.system.names import (
    HUB,
    KERAS,
    KERAS_SUFFIX,
    OPTION,
    PREFIX,
    PRESET,
    at_home,
    divided,
    of_others,
    with_weights,
)
from bench.system.plugins import plugins

WEIGHTS_SUFFIX = ".weights.h5"
INPUT, LOG_MEL, CLIPS = "input", "log-mel", "audio"
"""The option of networks of images that gives them pictures of clips, its value, and the modality of these."""
SIDE = 128
"""Of the pictures, in pixels, unless a network takes no such images."""
SHORTEST = 512
"""Samples of a clip that has a picture."""


@dataclass(frozen=True)
class BackboneSpec:
    """One backbone as a plan asks for it. Equal specifications are the same network and weights.

    Attributes:
        name: a key of :data:`BACKBONES`, or of another package's plug-in.
        options: sorted pairs of the options that are not at their default, without the weights: what is the same
            network has the same text.
        weights: ``"imagenet"``, of a plug-in ``"pretrained"``, ``"none"``, the absolute path of a
            ``.weights.h5`` file, or ``"source:"`` and the absolute path of a folder that ``bench pretrain`` has
            written.
        hears: whether it takes images and is given log-mel pictures of clips.
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    weights: str = "imagenet"
    hears: bool = False

    @property
    def info(self) -> BackboneInfo:
        """What is known about the architecture."""
        info = backbone_info(self.name)
        assert info is not None, self.name
        return info

    @property
    def modality(self) -> str:
        """Of its examples."""
        return CLIPS if self.hears else modality_of(self.name)

    @property
    def limits(self) -> tuple[int, int | None]:
        """The least and the largest size of its inputs, see ``Input.size``; None: any."""
        return (SHORTEST, None) if self.hears else (self.info.minimum_size, self.info.maximum_size)

    @property
    def is_published(self) -> bool:
        """Whether the weights are a file of the user's as the network's authors write it."""
        return self.weights.endswith(self.info.reads) and not self.weights.endswith(WEIGHTS_SUFFIX)

    def side(self, size: int) -> int:
        """The size of what the network itself is given: where it hears, the side of the pictures."""
        if not self.hears:
            return size
        return min(max(SIDE, self.info.minimum_size), self.info.maximum_size or SIDE)

    @property
    def values(self) -> dict[str, object]:
        """All options, with the defaults of those that were not given."""
        return self.info.defaults | dict(self.options)

    @property
    def imagenet_top1(self) -> float | None:
        """Published ImageNet accuracy in percent of these very weights; None where there is none."""
        if self.weights != "imagenet" or self.hears:
            return None
        return _NARROW_TOP1.get(self.architecture) if self.options else self.info.imagenet_top1

    @property
    def text(self) -> str:
        """The canonical text: ``parse_backbone(spec.text) == spec``."""
        return self._text([] if self.weights == self.info.own_weights else [("weights", self.weights)])

    @property
    def architecture(self) -> str:
        """The text without the weights: equal for networks of the same shape."""
        return self._text([])

    def _text(self, more: list[tuple[str, object]]) -> str:
        heard: list[tuple[str, object]] = [(INPUT, LOG_MEL)] if self.hears else []
        pairs = ",".join(f"{key}={_show(value)}" for key, value in [*self.options, *heard, *more])
        return f"{self.name}{',' if ':' in self.name else ':'}{pairs}" if pairs else self.name


def parse_backbone(text: str) -> BackboneSpec:
    """Reads a backbone as users write it: ``NAME[:option=value,...][,weights=...]``.

    Args:
        text: for instance ``"MobileNet:alpha=0.25"``, ``"ResNet50:weights=none"`` or
            ``"ResNet50:input=log-mel"``, which takes clips.

    Raises:
        RequestError: of field ``backbone``, if a name, an option or a value is not known, if there are no
            ImageNet weights for such options, if a weights file is not there, or if a source is not there,
            damaged, or of another backbone.
    """
    name, rest = divided(text.strip())
    for prefix in (HUB, PRESET):
        if name.startswith(prefix) and at_home(folder := name.removeprefix(prefix)).is_dir():
            name = f"{prefix}{at_home(folder).resolve()}"
    if name.endswith(KERAS_SUFFIX):
        name = f"{KERAS}{at_home(name.removeprefix(KERAS)).resolve()}"
    info = backbone_info(name)
    if info is None:
        names = [*BACKBONES, *BUILT_IN, *(plugin.name for plugin in plugins("backbones"))]
        remedy = did_you_mean(name, names, "backbones")
        raise RequestError(
            "backbone", text, "the name of a Keras Applications model or EfficientNetLite0", remedy
        )
    options, weights = _settings(text, info, rest)
    hears = options.pop(INPUT, None) == LOG_MEL
    kept = tuple(sorted((key, value) for key, value in options.items() if value != info.defaults[key]))
    spec = BackboneSpec(name, kept, weights, hears)
    if info.module == MODULE and (found := load_backbone(name)) is not None:
        found.check(**spec.values)
    if weights == "imagenet":
        _check_imagenet(text, spec)
    elif weights.startswith(PREFIX):
        _check_own(text, spec)
    return spec


def for_data(spec: BackboneSpec, kind: str) -> BackboneSpec:
    """The backbone for data of this modality: one that takes images hears clips as log-mel pictures."""
    return replace(spec, hears=True) if kind == CLIPS and spec.info.modality == "image" else spec


def _settings(text: str, info: BackboneInfo, rest: str) -> tuple[dict[str, object], str]:
    """The options that are given, and the weights."""
    options: dict[str, object] = {}
    weights = info.own_weights
    for part in OPTION.split(rest) if rest.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        valid = [*info.options, "weights"]
        is_front = key == INPUT and info.modality == "image"  # plans have it, people need not type it
        if not equals or not (is_front or key in valid):
            expected = f"have options of {info.name} as key=value: {', '.join(valid)}"
            raise RequestError("backbone", text, expected, did_you_mean(key, valid))
        if key == "weights":
            weights = _weights(text, value, info)
        elif key == INPUT:
            if value not in (LOG_MEL, "images"):
                raise RequestError("backbone", text, f"have {INPUT} as images or {LOG_MEL}")
            options[key] = value
        else:
            options[key] = _option(text, key, value, info.options[key])
    return options, weights


def check_size(spec: BackboneSpec, size: int) -> None:
    """Refuses an input that is too small or too large for the architecture.

    Args:
        spec: the backbone.
        size: of its inputs, see ``Input.size``.

    Raises:
        RequestError: of the plan's key for it.
    """
    kind, (least, most) = modality(spec.modality), spec.limits
    if size < least:
        raise RequestError(kind.size_key, kind.given(size), f"at least {kind.given(least):g} for {spec.name}")
    if most is not None and size > most:
        raise RequestError(kind.size_key, kind.given(size), f"at most {kind.given(most):g} for {spec.name}")


def has_small_map(spec: BackboneSpec, size: int) -> bool:
    """Whether pretrained weights end in a feature map smaller than 2 x 2, as far as is known before it is built.

    Args:
        spec: the backbone.
        size: of its inputs, see ``Input.size``.
    """
    return of_others(spec.weights) and spec.side(size) < (spec.info.two_by_two or 0)


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _option(text: str, key: str, value: str, kind: type) -> object:
    """The value of an option in its type; a multiplier must be positive and finite."""
    if kind is str:
        return value
    expected = {float: "a number above 0", int: "a whole number above 0", bool: "true or false"}[kind]
    if kind is bool:
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
    else:
        try:
            number = kind(value)
        except ValueError:
            number = 0
        if number > 0 and math.isfinite(number):
            return number
    raise RequestError("backbone", text, f"have {key} as {expected}")


def _weights(text: str, value: str, info: BackboneInfo) -> str:
    names = list(dict.fromkeys([info.own_weights, "none"]))
    suffixes = (WEIGHTS_SUFFIX, *info.reads)
    if value in names:
        return value
    if value.startswith(PREFIX):
        return PREFIX + str(at_home(value.removeprefix(PREFIX)).resolve())
    path = at_home(value)
    if not value.endswith(suffixes):
        ends = " or ".join(suffixes)
        expected = f"have weights as {', '.join(names)}, source:DIR or a path that ends in {ends}"
        remedy = did_you_mean(value, names)
        if path.is_file():
            remedy = (
                "Keras writes one: model.save_weights('x.weights.h5') of the network without its classifier."
            )
        raise RequestError("backbone", text, expected, remedy)
    if not path.is_file():
        raise RequestError(
            "backbone", text, "have a weights file that exists", f"There is no file {path.absolute()}."
        )
    return str(path.resolve())


def _check_imagenet(text: str, spec: BackboneSpec) -> None:
    """Keras has ImageNet weights for some widths only; said here, before anything is built."""
    chosen = spec.values
    alphas = _IMAGENET_ALPHAS.get(spec.info.module, (1.0,))
    if chosen["minimalistic"]:
        alphas = (1.0,)
    if chosen["alpha"] not in alphas or chosen["depth_multiplier"] != 1:
        widths = ", ".join(str(alpha) for alpha in alphas)
        expected = f"have options with ImageNet weights (alpha={widths}"
        expected += ", depth_multiplier=1)" if "depth_multiplier" in spec.info.options else ")"
        raise RequestError("backbone", text, expected, "With other options add weights=none.")


def _check_own(text: str, spec: BackboneSpec) -> None:
    """A source is one backbone's; said here, before anything is built."""
    source = read_source(spec.weights, text)
    if source.backbone != spec.architecture:
        raise RequestError(
            "backbone",
            text,
            source.backbone,
            f"The source {source.name} holds weights of it. Use "
            f"{with_weights(source.backbone, spec.weights)}, or pretrain {spec.architecture}.",
        )
