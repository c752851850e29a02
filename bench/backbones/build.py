"""Building a backbone: the network without its classifier, with its own preprocessing in front.

Keras Applications differ in what they want to be fed (see :data:`FRONTS`). Here every backbone takes the
same: RGB pixels from 0 to 255. The preprocessing is made of standard layers, so that a saved model contains
it and can be read anywhere.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras

from bench.backbones import log_mel
from bench.backbones.keras_files import giving
from bench.backbones.plugin import MODULE, BackbonePlugin, load_backbone
from bench.backbones.spec import BackboneSpec, check_size
from bench.backbones.weight_files import expected_of
from bench.backbones.weights import Weights, held
from bench.errors import RequestError
from bench.modalities.base import Tensor
from bench.modalities.registry import modality

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def _symmetric(x: keras.KerasTensor) -> keras.KerasTensor:
    """Keras's mode "tf": to [-1, 1]."""
    return _rescale(x, 1 / 127.5, -1.0)


def _standardised(x: keras.KerasTensor) -> keras.KerasTensor:
    """Keras's mode "torch": mean 0 and deviation 1 in each channel, on ImageNet."""
    scale = [1 / (255 * std) for std in IMAGENET_STD]
    offset = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    return _rescale(x, scale, offset)


def _caffe(x: keras.KerasTensor) -> keras.KerasTensor:
    """Keras's mode "caffe": BGR minus the ImageNet means, not scaled."""
    return _rescale(keras.ops.flip(x, axis=-1), 1.0, [-mean for mean in CAFFE_MEAN_BGR])


def _inside(x: keras.KerasTensor) -> keras.KerasTensor:
    """The application has its own rescaling inside and takes pixels as they are."""
    return x


FRONTS: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    "conv4": _symmetric,
    "convnext": _inside,
    "densenet": _standardised,
    "efficientnet": _inside,
    "efficientnet_lite": _symmetric,
    "efficientnet_v2": _inside,
    "inception_resnet_v2": _symmetric,
    "inception_v3": _symmetric,
    "mobilenet": _symmetric,
    "mobilenet_v2": _symmetric,
    "mobilenet_v3": _inside,
    "nasnet": _symmetric,
    "resnet": _caffe,
    "resnet_v2": _symmetric,
    "vgg16": _caffe,
    "vgg19": _caffe,
    "xception": _symmetric,
}
"""The preprocessing of each submodule of ``keras.applications``."""


def build_backbone(spec: BackboneSpec, size: int, weights: Weights) -> keras.Model:
    """Builds a backbone from pixels to feature map.

    The layers of the application lie directly in the graph of the returned model, where
    :func:`bench.backbones.cuts.find_cuts` can see them. Random weights follow
    ``keras.utils.set_random_seed``, which is the caller's to call.

    Args:
        spec: which network.
        size: of its inputs, see ``Input.size``; of images the side S of the square, in pixels.
        weights: what :func:`bench.backbones.weights.resolve_weights` found for ``spec``.

    Returns:
        A functional model. Input ``image``: float32 (batch, S, S, 3), RGB, 0..255. Output: the last feature
        map, (batch, h, w, c), not pooled. Of texts and clips see ``BackbonePlugin.build``.

    Raises:
        RequestError: the input is too small, or the weights file is not one of this network.
    """
    check_size(spec, size)
    # All that we feed is (height, width, channel), whatever the user's keras.json says.
    keras.config.set_image_data_format("channels_last")
    takes = modality(spec.modality).inputs(size)
    (image,) = (_input(name, tensor) for name, tensor in takes.items())
    build = _BUILDERS.get(spec.info.module, _application)
    pixels = log_mel.picture(image, spec.side(size)) if spec.hears else image
    front = FRONTS.get(spec.info.module, _inside)(pixels)
    with held(weights) as copy:
        model = build(spec, image, front, copy if weights.kind == "imagenet" else None)
        if copy is not None and weights.kind == "file":
            _load_file(model, spec, copy, str(weights.path))
        if copy is not None and weights.kind == "own":
            found = load_backbone(spec.name)
            assert found is not None
            _load_own(found, model, spec, copy, str(weights.path))
    return model


def _input(name: str, tensor: Tensor) -> keras.KerasTensor:
    axes = (None, *tensor.shape[1:]) if tensor.is_ragged else tensor.shape
    return keras.Input(axes, dtype=tensor.dtype, name=name)


def _of_plugin(
    spec: BackboneSpec, image: keras.KerasTensor, front: keras.KerasTensor, imagenet: Path | None
) -> keras.Model:
    found = load_backbone(spec.name)
    assert found is not None
    outputs = found.build(front, **spec.values)
    features = outputs[0] if isinstance(outputs, list) and outputs else outputs
    shape = getattr(features, "shape", None)
    axes = modality(spec.modality).features
    if shape is None or len(shape) != len(axes) or shape[-1] is None:
        received = type(features).__name__ if shape is None else f"a tensor of shape {tuple(shape)}"
        expected = f"give a feature map of shape ({', '.join(axes)}) by build()"
        raise RequestError("backbone", spec.text, expected, f"It gives {received}.")
    return keras.Model(image, outputs, name=_LETTERS.sub("_", spec.name.lower()))


_LETTERS = re.compile(r"[^a-z0-9_.]+")
"""What the name of a model cannot have."""


def _lite(
    spec: BackboneSpec, image: keras.KerasTensor, front: keras.KerasTensor, imagenet: Path | None
) -> keras.Model:
    from bench.backbones.families import efficientnet_lite

    model = keras.Model(image, efficientnet_lite.efficientnet_lite0(front), name=spec.name.lower())
    if imagenet is not None:
        efficientnet_lite.load_imagenet(model, imagenet)
    return model


def _conv4(
    spec: BackboneSpec, image: keras.KerasTensor, front: keras.KerasTensor, imagenet: Path | None
) -> keras.Model:
    from bench.backbones.families.conv4 import conv4

    options: dict[str, Any] = dict(spec.options)
    return keras.Model(image, conv4(front, **options), name=spec.name.lower())


def _rescale(x: keras.KerasTensor, scale: Any, offset: Any) -> keras.KerasTensor:
    # float32 also under a mixed-precision policy: pixels are not to be rounded before they are centred.
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(x)


def _application(
    spec: BackboneSpec, image: keras.KerasTensor, front: keras.KerasTensor, imagenet: Path | None
) -> keras.Model:
    """The network of Keras Applications on top of ``front``."""
    with warnings.catch_warnings(), giving(imagenet):
        # MobileNets say that they load the weights of 224 px for other sizes, which is what we want.
        warnings.filterwarnings("ignore", message=".*Weights for input shape", category=UserWarning)
        application = getattr(keras.applications, spec.name)(
            include_top=False,
            weights=None if imagenet is None else "imagenet",
            input_tensor=front,
            input_shape=tuple(front.shape[1:]),
            **dict(spec.options),
        )
    if spec.info.module == "efficientnet" and imagenet is None:
        application = _with_imagenet_normalization(application)
    # The applications keep their input in a list; rebuilt so that the model takes a bare tensor.
    return keras.Model(image, application.outputs[0], name=application.name)


_BUILDERS = {MODULE: _of_plugin, "efficientnet_lite": _lite, "conv4": _conv4}
"""What builds the networks that are not of Keras Applications."""


def _with_imagenet_normalization(application: keras.Model) -> keras.Model:
    """Gives an EfficientNet without ImageNet weights the preprocessing of one with them.

    Keras builds two different graphs: only ``weights="imagenet"`` has a second rescaling after the
    normalisation, whose statistics come with the weights file (where the deviation stands in the variance's
    place; https://github.com/tensorflow/tensorflow/issues/49930). Left alone, a network trained from random
    weights would see other pixels, and a file saved from an ImageNet network would give other features.
    """

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt_mean.assign(IMAGENET_MEAN)
            layer.adapt_variance.assign(IMAGENET_STD)
            layer.finalize_state()
            return keras.layers.Rescaling([std**-0.5 for std in IMAGENET_STD])(output)
        return output

    return keras.models.clone_model(application, input_tensors=application.input, call_function=call)


def _load_own(found: BackbonePlugin, model: keras.Model, spec: BackboneSpec, path: Path, named: str) -> None:
    """Loads a file that the backbone reads itself; one of the user's, which is ``named``, may be another's."""
    try:
        found.load(model, path)
    except (ValueError, KeyError, OSError) as error:
        if not spec.is_published:
            raise
        reason = str(error).strip().splitlines()[0]
        raise RequestError("weights", named, expected_of(spec), f"It does not fit: {reason}.") from error


def _load_file(model: keras.Model, spec: BackboneSpec, path: Path, named: str) -> None:
    """Loads a ``.weights.h5`` of exactly this network, a copy of the one that is ``named``."""
    try:
        stored = 0

        def count(name: str, item: Any) -> None:
            nonlocal stored
            if isinstance(item, h5py.Dataset) and "seed_generator" not in name:  # dropout's state
                stored += item.size

        with h5py.File(path, "r") as file:
            file.visititems(count)
        # Keras ignores layers that only the file has: a ResNet101's file fits a ResNet50 without a word.
        if stored != model.count_params():
            raise ValueError(f"it holds {stored:,} numbers, the network {model.count_params():,}")
        model.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RequestError("weights", named, expected_of(spec), f"It does not fit: {reason}.") from error
