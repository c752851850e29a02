"""The ImageNet classifier that a backbone was trained with, where its weights are here: nothing is downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from bench.backbones.families.torch_reader import read_tensors
from bench.backbones.keras_files import watching
from bench.backbones.spec import BackboneSpec
from bench.backbones.weights import LITE0_SHA256, Weights, present

Classifier = Callable[[np.ndarray], np.ndarray]
"""From features, the averages over the last feature map (N, D), to ImageNet probabilities (N, 1000)."""

BATCH = 256


class NoClassifier(Exception):
    """Why there is no classifier, as the end of "not available: ..."."""


def imagenet_classifier(
    spec: BackboneSpec, image_size: int, weights: Weights, backbone: keras.Model
) -> Classifier:
    """The classifier of a backbone.

    Args:
        spec: the backbone.
        image_size: side of the square input in pixels.
        weights: its weights.
        backbone: built with them.

    Raises:
        NoClassifier: it has none, or it is not on this machine.
    """
    if weights.kind != "imagenet":
        raise NoClassifier("these are no ImageNet weights")
    if spec.info.module == "efficientnet_lite":
        assert weights.path is not None
        tensors = read_tensors(Path(weights.path), LITE0_SHA256)
        kernel, bias = tensors["_fc.weight"].T, tensors["_fc.bias"]
        return lambda features: _softmax(features @ kernel + bias)
    if spec not in present(classifier=True):
        raise NoClassifier("the file of its weights with the classifier is not on this machine")
    whole = _whole(spec, image_size)
    top = _above_the_average(whole)
    # Some applications have a file for each image size: a classifier suits the weights that it was trained with.
    own = backbone.get_weights()
    if not all(map(np.array_equal, own, whole.get_weights()[: len(own)])):
        raise NoClassifier("the classifier on this machine belongs to other weights of this network")
    shape = top.input_shape[1:]
    return lambda features: np.concatenate(
        [
            keras.ops.convert_to_numpy(
                top(features[first : first + BATCH].reshape(-1, *shape), training=False)
            )
            for first in range(0, len(features), BATCH)
        ]
    )


def _whole(spec: BackboneSpec, image_size: int) -> keras.Model:
    """The application with its classifier, from a file that is here."""
    keras.config.set_image_data_format("channels_last")
    error: Exception | None = None
    with watching(download=False), warnings.catch_warnings(action="ignore"):
        # With its classifier an application takes but few sizes; without, it has the weights of the default size
        # for all others.
        for shape in ((image_size, image_size, 3), None):
            try:
                return getattr(keras.applications, spec.name)(
                    include_top=True, weights="imagenet", input_shape=shape, **dict(spec.options)
                )
            except Exception as failed:
                error = failed
    raise NoClassifier(f"Keras cannot load it ({' '.join(str(error).split())[:200]})")


def _above_the_average(whole: keras.Model) -> keras.Model:
    pools = [layer for layer in whole.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    if not pools:
        raise NoClassifier("it does not take the average of the last feature map")
    return keras.Model(pools[-1].output, whole.output)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
