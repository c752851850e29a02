"""What is known of each backbone before it is built: size, published accuracy, options."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BackboneInfo:
    """What is known about a backbone before it is built.

    Attributes:
        name: the name in plans, which is the name in ``keras.applications``.
        module: the submodule of ``keras.applications``; ``"efficientnet_lite"`` is our own.
        params_millions: published size in millions of parameters, classifier included.
        imagenet_top1: published single-crop ImageNet accuracy in percent at the network's own input size.
        minimum_size: side in pixels of the smallest square input that the architecture accepts.
        two_by_two: side in pixels of the smallest one whose last feature map is 2 x 2 or larger; None: not known.
        options: name and type of each option (``MobileNet:alpha=0.25``).
        summary: one line for ``ls backbones``.
        defaults: value of each option that is not given.
        own_weights: what it starts from unless ``weights=`` says otherwise: ``"imagenet"``, of another package's
            plug-in ``"pretrained"``, or ``"none"`` if it has none.
        modality: what it takes, a key of ``bench.modalities.registry.MODALITIES``.
        maximum_size: the largest input; None: any.
        reads: how files of the user's end whose weights the network reads by itself.
    """

    name: str
    module: str
    params_millions: float | None
    imagenet_top1: float | None
    minimum_size: int
    two_by_two: int | None
    options: dict[str, type] = field(hash=False)
    summary: str
    defaults: dict[str, object] = field(
        default_factory=lambda: {"alpha": 1.0, "depth_multiplier": 1, "minimalistic": False}, hash=False
    )
    own_weights: str = "imagenet"
    modality: str = "image"
    maximum_size: int | None = None
    reads: tuple[str, ...] = ()


# Size and accuracy: the table of https://keras.io/api/applications, for MobileNetV3 the docstring of
# keras.applications.mobilenet_v3, for EfficientNetLite0 its authors' table
# (github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
_MODULES: dict[str, tuple[int, int, dict[str, type], str, dict[str, tuple[float, float]]]] = {
    "convnext": (
        32,
        64,
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
        61,
        {},
        "every layer sees all earlier ones of its block; few parameters, much memory",
        {"DenseNet121": (8.1, 75.0), "DenseNet169": (14.3, 76.2), "DenseNet201": (20.2, 77.3)},
    ),
    "efficientnet": (
        32,
        33,
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
        33,
        {},
        "EfficientNetB0 without squeeze-and-excitation, with ReLU6; its weights need no download",
        {"EfficientNetLite0": (4.7, 75.1)},
    ),
    "efficientnet_v2": (
        32,
        33,
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
        107,
        {},
        "inception branches with residual connections; large",
        {"InceptionResNetV2": (55.9, 80.3)},
    ),
    "inception_v3": (
        75,
        107,
        {},
        "parallel branches of factorised convolutions",
        {"InceptionV3": (23.9, 77.9)},
    ),
    "mobilenet": (
        32,
        63,
        {"alpha": float, "depth_multiplier": int},
        "depthwise separable convolutions; the smallest and fastest at a small alpha",
        {"MobileNet": (4.3, 70.4)},
    ),
    "mobilenet_v2": (
        32,
        33,
        {"alpha": float},
        "inverted residuals with linear bottlenecks; small",
        {"MobileNetV2": (3.5, 71.3)},
    ),
    "mobilenet_v3": (
        32,
        33,
        {"alpha": float, "minimalistic": bool},
        "MobileNetV2 with squeeze-and-excitation and hard swish, found by search",
        {"MobileNetV3Large": (5.4, 75.6), "MobileNetV3Small": (2.9, 68.1)},
    ),
    "nasnet": (
        32,
        35,
        {},
        "cells found by architecture search; slow for their size",
        {"NASNetMobile": (5.3, 74.4), "NASNetLarge": (88.9, 82.5)},
    ),
    "resnet": (
        32,
        33,
        {},
        "residual bottleneck blocks; the reference in most papers",
        {"ResNet50": (25.6, 74.9), "ResNet101": (44.7, 76.4), "ResNet152": (60.4, 76.6)},
    ),
    "resnet_v2": (
        32,
        33,
        {},
        "residual blocks that normalise before they convolve",
        {"ResNet50V2": (25.6, 76.0), "ResNet101V2": (44.7, 77.2), "ResNet152V2": (60.4, 78.0)},
    ),
    "vgg16": (32, 64, {}, "plain 3x3 convolutions, no normalisation; slow", {"VGG16": (138.4, 71.3)}),
    "vgg19": (32, 64, {}, "plain 3x3 convolutions, no normalisation; slow", {"VGG19": (143.7, 71.3)}),
    "xception": (
        71,
        71,
        {},
        "depthwise separable convolutions with residual connections",
        {"Xception": (22.9, 79.0)},
    ),
}


BACKBONES: dict[str, BackboneInfo] = {
    name: BackboneInfo(name, module, params, top1, size, two_by_two, options, summary)
    for module, (size, two_by_two, options, summary, members) in _MODULES.items()
    for name, (params, top1) in members.items()
}
"""All networks of Keras Applications, EfficientNetLite0 and Conv4, by name."""

BACKBONES["Conv4"] = BackboneInfo(
    "Conv4",
    "conv4",
    0.11,
    None,
    16,
    32,
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
