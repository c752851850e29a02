"""Backbones: pretrained networks without their classifier, by name.

This module knows names, options and sizes only. It imports neither Keras nor TensorFlow, so that a plan can
be checked and listed in milliseconds; :mod:`bench.backbones.build` builds the networks.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from bench.backbones.sources import PREFIX, read_source
from bench.errors import RequestError, did_you_mean

WEIGHTS_SUFFIX = ".weights.h5"
OPTION = re.compile(r",(?=\s*\w+\s*=)")
"""A comma separates options only where another ``key=`` follows: paths of weights may contain commas."""


@dataclass(frozen=True)
class BackboneInfo:
    """What is known about a backbone before it is built.

    Attributes:
        name: the name in plans, which is the name in ``keras.applications``.
        module: the submodule of ``keras.applications``; ``"efficientnet_lite"`` is our own.
        params_millions: published size in millions of parameters, classifier included.
        imagenet_top1: published single-crop ImageNet accuracy in percent at the network's own input size.
        minimum_size: side in pixels of the smallest square input that the architecture accepts.
        options: name and type of each option (``MobileNet:alpha=0.25``).
        summary: one line for ``ls backbones``.
        defaults: value of each option that is not given.
        own_weights: what it starts from unless ``weights=`` says otherwise: ``"imagenet"``, of another package's
            plug-in ``"pretrained"``, or ``"none"`` if it has none.
    """

    name: str
    module: str
    params_millions: float | None
    imagenet_top1: float | None
    minimum_size: int
    options: dict[str, type] = field(hash=False)
    summary: str
    defaults: dict[str, object] = field(
        default_factory=lambda: {"alpha": 1.0, "depth_multiplier": 1, "minimalistic": False}, hash=False
    )
    own_weights: str = "imagenet"


# Size and accuracy: the table of https://keras.io/api/applications, for MobileNetV3 the docstring of
# keras.applications.mobilenet_v3, for EfficientNetLite0 its authors' table
# (github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
_MODULES: dict[str, tuple[int, dict[str, type], str, dict[str, tuple[float, float]]]] = {
    "convnext": (
        32,
        {},
        "convolutions in the style of transformers; accurate and slow on a CPU",
        {
            "ConvNeXtTiny": (28.6, 81.3),
            "ConvNeXtSmall": (50.2, 82.3),
            "ConvNeXtBase": (88.5, 85.3),
            "ConvNeXtLarge": (197.7, 86.3),
            "ConvNeXtXLarge": (350.1, 86.7),
        },
    ),
    "densenet": (
        32,
        {},
        "every layer sees all earlier ones of its block; few parameters, much memory",
        {"DenseNet121": (8.1, 75.0), "DenseNet169": (14.3, 76.2), "DenseNet201": (20.2, 77.3)},
    ),
    "efficientnet": (
        32,
        {},
        "inverted residuals scaled in depth, width and resolution together",
        {
            "EfficientNetB0": (5.3, 77.1),
            "EfficientNetB1": (7.9, 79.1),
            "EfficientNetB2": (9.2, 80.1),
            "EfficientNetB3": (12.3, 81.6),
            "EfficientNetB4": (19.5, 82.9),
            "EfficientNetB5": (30.6, 83.6),
            "EfficientNetB6": (43.3, 84.0),
            "EfficientNetB7": (66.7, 84.3),
        },
    ),
    "efficientnet_lite": (
        32,
        {},
        "EfficientNetB0 without squeeze-and-excitation, with ReLU6; its weights need no download",
        {"EfficientNetLite0": (4.7, 75.1)},
    ),
    "efficientnet_v2": (
        32,
        {},
        "EfficientNet with fused convolutions in the early blocks; trains faster",
        {
            "EfficientNetV2B0": (7.2, 78.7),
            "EfficientNetV2B1": (8.2, 79.8),
            "EfficientNetV2B2": (10.2, 80.5),
            "EfficientNetV2B3": (14.5, 82.0),
            "EfficientNetV2S": (21.6, 83.9),
            "EfficientNetV2M": (54.4, 85.3),
            "EfficientNetV2L": (119.0, 85.7),
        },
    ),
    "inception_resnet_v2": (
        75,
        {},
        "inception branches with residual connections; large",
        {"InceptionResNetV2": (55.9, 80.3)},
    ),
    "inception_v3": (
        75,
        {},
        "parallel branches of factorised convolutions",
        {"InceptionV3": (23.9, 77.9)},
    ),
    "mobilenet": (
        32,
        {"alpha": float, "depth_multiplier": int},
        "depthwise separable convolutions; the smallest and fastest at a small alpha",
        {"MobileNet": (4.3, 70.4)},
    ),
    "mobilenet_v2": (
        32,
        {"alpha": float},
        "inverted residuals with linear bottlenecks; small",
        {"MobileNetV2": (3.5, 71.3)},
    ),
    "mobilenet_v3": (
        32,
        {"alpha": float, "minimalistic": bool},
        "MobileNetV2 with squeeze-and-excitation and hard swish, found by search",
        {"MobileNetV3Large": (5.4, 75.6), "MobileNetV3Small": (2.9, 68.1)},
    ),
    "nasnet": (
        32,
        {},
        "cells found by architecture search; slow for their size",
        {"NASNetMobile": (5.3, 74.4), "NASNetLarge": (88.9, 82.5)},
    ),
    "resnet": (
        32,
        {},
        "residual bottleneck blocks; the reference in most papers",
        {"ResNet50": (25.6, 74.9), "ResNet101": (44.7, 76.4), "ResNet152": (60.4, 76.6)},
    ),
    "resnet_v2": (
        32,
        {},
        "residual blocks that normalise before they convolve",
        {"ResNet50V2": (25.6, 76.0), "ResNet101V2": (44.7, 77.2), "ResNet152V2": (60.4, 78.0)},
    ),
    "vgg16": (32, {}, "plain 3x3 convolutions, no normalisation; slow", {"VGG16": (138.4, 71.3)}),
    "vgg19": (32, {}, "plain 3x3 convolutions, no normalisation; slow", {"VGG19": (143.7, 71.3)}),
    "xception": (
        71,
        {},
        "depthwise separable convolutions with residual connections",
        {"Xception": (22.9, 79.0)},
    ),
}

BACKBONES: dict[str, BackboneInfo] = {
    name: BackboneInfo(name, module, params, top1, size, options, summary)
    for module, (size, options, summary, members) in _MODULES.items()
    for name, (params, top1) in members.items()
}
"""All networks of Keras Applications, EfficientNetLite0 and Conv4, by name."""

BACKBONES["Conv4"] = BackboneInfo(
    "Conv4",
    "conv4",
    0.11,
    None,
    16,
    {"filters": int},
    "four small convolutions, without weights; few-shot learning of small images trains it in minutes",
    {"filters": 64},
    "none",
)

# The widths for which Keras Applications has ImageNet weights.
_IMAGENET_ALPHAS: dict[str, tuple[float, ...]] = {
    "mobilenet": (0.25, 0.5, 0.75, 1.0),
    "mobilenet_v2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "mobilenet_v3": (0.75, 1.0),
}

# Published accuracy of the other widths: Howard et al. 2017 (arXiv:1704.04861, table 6), the table beside the
# weights of MobileNetV2 (github.com/tensorflow/models, slim), and for MobileNetV3 as above.
_NARROW_TOP1 = {
    "MobileNet:alpha=0.25": 50.6,
    "MobileNet:alpha=0.5": 63.7,
    "MobileNet:alpha=0.75": 68.4,
    "MobileNetV2:alpha=0.35": 60.3,
    "MobileNetV2:alpha=0.5": 65.4,
    "MobileNetV2:alpha=0.75": 69.8,
    "MobileNetV2:alpha=1.3": 74.4,
    "MobileNetV2:alpha=1.4": 75.0,
    "MobileNetV3Large:alpha=0.75": 73.3,
    "MobileNetV3Large:minimalistic=true": 72.3,
    "MobileNetV3Small:alpha=0.75": 65.4,
    "MobileNetV3Small:minimalistic=true": 61.9,
}


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
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    weights: str = "imagenet"

    @property
    def info(self) -> BackboneInfo:
        """What is known about the architecture."""
        info = backbone_info(self.name)
        assert info is not None, self.name
        return info

    @property
    def imagenet_top1(self) -> float | None:
        """Published ImageNet accuracy in percent of these very weights; None where there is none."""
        if self.weights != "imagenet":
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
        pairs = ",".join(f"{key}={_show(value)}" for key, value in [*self.options, *more])
        return f"{self.name}:{pairs}" if pairs else self.name


def backbone_info(name: str) -> BackboneInfo | None:
    """What is known about a backbone, built in or another package's; None if there is none of this name.

    Raises:
        RequestError: of field ``backbone``, if it is another package's and cannot be used.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    from bench.backbones.plugin import plugin_info

    return plugin_info(name)


def parse_backbone(text: str) -> BackboneSpec:
    """Reads a backbone as users write it: ``NAME[:option=value,...][,weights=...]``.

    Args:
        text: for instance ``"MobileNet:alpha=0.25"`` or ``"ResNet50:weights=none"``.

    Raises:
        RequestError: of field ``backbone``, if a name, an option or a value is not known, if there are no
            ImageNet weights for such options, if a weights file is not there, or if a source is not there,
            damaged, or of another backbone.
    """
    name, _, rest = text.strip().partition(":")
    info = backbone_info(name)
    if info is None:
        from bench.plugins import plugins

        names = [*BACKBONES, *(plugin.name for plugin in plugins("backbones"))]
        remedy = did_you_mean(name, names) or "`ls backbones` shows them."
        raise RequestError(
            "backbone", text, "the name of a Keras Applications model or EfficientNetLite0", remedy
        )
    options: dict[str, object] = {}
    weights = info.own_weights
    for part in OPTION.split(rest) if rest.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        valid = [*info.options, "weights"]
        if not equals or key not in valid:
            raise RequestError(
                "backbone",
                text,
                f"options of {name} as key=value: {', '.join(valid)}",
                did_you_mean(key, valid),
            )
        if key == "weights":
            weights = _weights(text, value, info.own_weights)
        else:
            options[key] = _option(text, key, value, info.options[key])
    kept = tuple(sorted((key, value) for key, value in options.items() if value != info.defaults[key]))
    spec = BackboneSpec(name, kept, weights)
    if weights == "imagenet":
        _check_imagenet(text, spec)
    elif weights.startswith(PREFIX):
        _check_source(text, spec)
    return spec


def names_weights(text: str) -> bool:
    """Whether a backbone as users write it says which weights it is to have."""
    return re.search(r"[:,]\s*weights\s*=", text) is not None


def with_weights(backbone: str, weights: str) -> str:
    """The text of a backbone that names no weights, with these."""
    return f"{backbone}{',' if ':' in backbone else ':'}weights={weights}"


def titled(architecture: str, weights: str) -> str:
    """A backbone as people read it: with its weights where they are not ImageNet's, by name and without a path."""
    if weights in ("", "imagenet"):
        return architecture
    if weights.startswith(PREFIX):
        return f"{architecture} (source: {Path(weights.removeprefix(PREFIX)).name})"
    return f"{architecture} (weights: {Path(weights).name})"


def short_backbone(text: str) -> str:
    """The text of a specification as people read it, see ``titled``."""
    before, key, weights = text.partition("weights=")
    return titled(before.rstrip(",:"), weights) if key else text


def check_size(spec: BackboneSpec, image_size: int) -> None:
    """Refuses an input that is too small for the architecture.

    Args:
        spec: the backbone.
        image_size: side of the square input in pixels.

    Raises:
        RequestError: of field ``image_size``.
    """
    if image_size < spec.info.minimum_size:
        raise RequestError("image_size", image_size, f"at least {spec.info.minimum_size} for {spec.name}")


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _option(text: str, key: str, value: str, kind: type) -> object:
    """The value of an option in its type; a multiplier must be positive and finite."""
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
    raise RequestError("backbone", text, f"{key} to be {expected}")


def _weights(text: str, value: str, own: str) -> str:
    names = list(dict.fromkeys([own, "none"]))
    if value in names:
        return value
    if value.startswith(PREFIX):
        return PREFIX + str(Path(value.removeprefix(PREFIX)).expanduser().resolve())
    path = Path(value).expanduser()
    if not value.endswith(WEIGHTS_SUFFIX):
        expected = f"weights to be {', '.join(names)}, source:DIR or a path that ends in {WEIGHTS_SUFFIX}"
        raise RequestError("backbone", text, expected, did_you_mean(value, names))
    if not path.is_file():
        raise RequestError(
            "backbone", text, f"the weights file to exist, but there is no file {path.absolute()}"
        )
    return str(path.resolve())


def _check_imagenet(text: str, spec: BackboneSpec) -> None:
    """Keras has ImageNet weights for some widths only; said here, before anything is built."""
    chosen = spec.info.defaults | dict(spec.options)
    alphas = _IMAGENET_ALPHAS.get(spec.info.module, (1.0,))
    if chosen["minimalistic"]:
        alphas = (1.0,)
    if chosen["alpha"] not in alphas or chosen["depth_multiplier"] != 1:
        widths = ", ".join(str(alpha) for alpha in alphas)
        expected = f"options for which there are ImageNet weights (alpha={widths}"
        expected += ", depth_multiplier=1)" if "depth_multiplier" in spec.info.options else ")"
        raise RequestError("backbone", text, expected, "With other options add weights=none.")


def _check_source(text: str, spec: BackboneSpec) -> None:
    """A source is one backbone's; said here, before anything is built."""
    source = read_source(spec.weights, text)
    if source.backbone != spec.architecture:
        raise RequestError(
            "backbone",
            text,
            f"{source.backbone}, for the source {source.name} holds its weights",
            f"Use {with_weights(source.backbone, spec.weights)}, or pretrain {spec.architecture}.",
        )
