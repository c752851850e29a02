"""The networks of a worker: built once, kept, and lent to every cell that can use them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from bench.backbones.build import build_backbone
from bench.backbones.cuts import Cut, cut_at, find_cuts, split
from bench.backbones.spec import BackboneSpec, parse_backbone
from bench.backbones.tokenizers import tokenizer_of
from bench.backbones.weights import Weights, resolve_weights
from bench.modalities.registry import modality
from bench.system.names import with_weights
from bench.training.prefixes import PrefixStore
from bench.training.programs.config import HeadConfig, State, Trained
from bench.training.programs.graph import (
    EVALUATION_BATCH,
    NORMALISATIONS,
    features_of,
    mask_of,
    one_or_list,
    parts,
    pool,
    takes_adapter,
)
from bench.training.programs.program import Program
from bench.training.similarity import linear_cka

PROGRAMS_KEPT = 8
"""Compiled networks kept at a time; the least recently used goes first."""


@dataclass(frozen=True)
class NetworkKey:
    """A backbone with its weights at one size of input and precision."""

    backbone: str
    weights: str
    size: int
    precision: str


class Network:
    """A backbone as the cells of one (backbone, weights, size) use it.

    The model held here is never trained: prefixes are computed with it. Programs get models of their own.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        size: int,
        weights: Weights,
        threads: int,
        build: Callable[[BackboneSpec, int, Weights], keras.Model] = build_backbone,
    ) -> None:
        self.spec, self.size, self.weights, self.threads = spec, size, weights, threads
        self.build = build
        self.model = build(spec, size, weights)
        self.reader = modality(spec.modality).reader(tokenizer_of(spec), size)
        self.cuts = find_cuts(self.model)
        self.params = int(self.model.count_params())
        self._programs: OrderedDict[tuple[object, ...], Program] = OrderedDict()
        self._random: dict[int, State] = {}
        self._stores: dict[tuple[str, str], PrefixStore] = {}
        self._to_ends: dict[str, keras.Model] = {}

    def cut(self, position: str | float) -> Cut | None:
        """The cut that a stage means (a number: see ``cut_at``); None for the top."""
        if position == "top":
            return None
        return self.cuts[0] if position == "input" else cut_at(self.cuts, float(position))

    @property
    def feature_map(self) -> list[int]:
        """The last feature map's extent, of images its rows and columns; empty: its features have none."""
        return [int(side) for side in features_of(self.model.outputs).shape[1:-1] if side is not None]

    @cached_property
    def traits(self) -> dict[str, Any]:
        """What of it some strategies need: the fields ``backbone_params`` and ``has_...`` of ``Info``."""
        layers = parts(self.model.layers)
        norms = [layer for layer in layers if isinstance(layer, NORMALISATIONS)]
        return {
            "backbone_params": self.params,
            "has_norm": any(layer.gamma is not None or layer.beta is not None for layer in norms),
            "has_bias": any(layer.beta is not None for layer in norms)
            or any(getattr(layer, "bias", None) is not None for layer in layers),
            "has_pointwise": any(takes_adapter(layer) for layer in self.model.layers),
            "has_batch_norm": any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers),
        }

    @cached_property
    def pretrained(self) -> State:
        """The backbone's own weights."""
        return _state(self.model)

    def random(self, seed: int) -> State:
        """Random initial weights for a seed: the same for every fraction and trial."""
        if seed not in self._random:
            keras.utils.set_random_seed(seed)
            self._random[seed] = _state(self.build(self.spec, self.size, Weights("none", "", None)))
        return self._random[seed]

    def program(self, cut: Cut | None, head: HeadConfig, trained: Trained, smoothing: float) -> Program:
        """The compiled network above ``cut`` with ``head``, built on first use."""
        key = (cut.name if cut else None, head, trained, smoothing)
        if key not in self._programs:
            if len(self._programs) >= PROGRAMS_KEPT:
                self._programs.popitem(last=False)
            backbone = self.build(self.spec, self.size, Weights("none", "", None))
            cuts = find_cuts(backbone)
            own = next(c for c in cuts if c.name == cut.name) if cut else None
            self._programs[key] = Program(backbone, cuts, own, head, trained, smoothing)
        self._programs.move_to_end(key)
        return self._programs[key]

    def similarity(
        self, state: State, batch: Callable[[np.ndarray], list[np.ndarray]], count: int
    ) -> list[dict[str, Any]]:
        """How alike the ends of all blocks are under the backbone's own weights and under ``state``.

        Args:
            state: weights of the backbone.
            batch: gives the inputs of ``count`` examples.

        Returns:
            Fields of ``Record.similarity``, from the input upward.
        """
        network, own = self._ends("avg"), self.pretrained

        def features() -> list[np.ndarray]:
            batches = [
                # Not compiled: that takes longer than these few.
                network(one_or_list(batch(np.arange(i, min(i + EVALUATION_BATCH, count)))), training=False)
                for i in range(0, count, EVALUATION_BATCH)
            ]
            return [
                np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])
                for parts in zip(*batches, strict=True)
            ]

        before = features()
        try:
            _assign(self.model, state)
            after = features()
        finally:
            _assign(self.model, own)
        values = [linear_cka(x, y) for x, y in zip(before, after, strict=True)]
        return [
            {"block": cut.name, "depth": cut.depth, "cka": value if math.isfinite(value) else None}
            for (cut, _), value in zip(self._block_ends, values, strict=True)
        ]

    @cached_property
    def _block_ends(self) -> list[tuple[Cut, list[keras.KerasTensor]]]:
        """The feature maps at which blocks end, each with its cut; other tensors that cross it are no such maps."""
        # Inside of a vision transformer a map is a sequence yet.
        rank = min(len(features_of(self.model.outputs).shape), 3)
        return [
            (cut, [end, *mask_of(cut.tensors)])
            for cut in self.cuts[1:]
            for end in cut.tensors
            if len(end.shape) >= rank
        ]

    def _ends(self, pooling: str) -> keras.Model:
        """From inputs to the pooled ends of all blocks."""
        if pooling not in self._to_ends:
            outputs = [pool(ends, pooling, f"end_{i}") for i, (_, ends) in enumerate(self._block_ends)]
            self._to_ends[pooling] = keras.Model(self.model.input, outputs)
        return self._to_ends[pooling]

    def prefixes(self, cut: Cut | None, pooling: str, every: bool = False) -> PrefixStore:
        """The store of what lies below ``cut``; for the top, of the pooled features (of ``every`` block's end)."""
        key = (cut.name, "") if cut else ("every" if every else "top", pooling)
        if key not in self._stores:
            if every:
                below = self._ends(pooling)
            elif cut is None:
                below = keras.Model(self.model.input, pool(self.model.outputs, pooling))
            else:
                below = split(self.model, cut)[0]
                assert below is not None, "nothing lies below the input"
            identity: dict[str, object] = {
                "layers": _without_names([[type(op).__name__, op.get_config()] for op in below.operations]),
                "weights": _values_sha256(below),
                modality(self.spec.modality).size_key: self.size,
                "backend": keras.backend.backend(),
                "threads": self.threads,
                "precision": keras.config.dtype_policy().name,
                "versions": {
                    name: importlib.metadata.version(name) for name in ("keras", keras.backend.backend())
                },
            }

            def compute(*inputs: np.ndarray) -> list[np.ndarray]:
                outputs = below.predict_on_batch(one_or_list(list(inputs)))
                return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]

            shapes = [tuple(output.shape[1:]) for output in below.outputs]
            self._stores[key] = PrefixStore(identity, shapes, compute)
        return self._stores[key]


class Engine:
    """All networks of a worker. Only one backbone is kept at a time: cells come ordered by backbone.

    Args:
        threads: that its backend computes with; the last bits of a result may depend on it.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._key: NetworkKey | None = None
        self._network: Network | None = None

    def network(self, backbone: str, weights: str, size: int, precision: str = "float32") -> Network:
        """The network of a cell.

        Args:
            backbone: architecture with options (``MobileNet:alpha=0.25``).
            weights: ``imagenet``, ``none``, a path or ``source:`` and a path; empty (no weights used) is ``none``.
            size: of its inputs, see ``Input.size``.
            precision: ``float32``, ``mixed_bfloat16`` or ``mixed_float16``: Keras's policy for all layers.
        """
        key = NetworkKey(backbone, weights or "none", size, precision)
        keras.config.set_dtype_policy(precision)
        if self._network is None or key != self._key:
            self._network = None
            keras.backend.clear_session()
            spec = spec_of(backbone, key.weights)
            self._network = Network(spec, size, resolve_weights(spec, size), self.threads)
            self._key = key
        return self._network


def spec_of(architecture: str, weights: str) -> BackboneSpec:
    """The spec of an architecture text with these weights."""
    return parse_backbone(with_weights(architecture, weights) if weights else architecture)


def _without_names(config: Any) -> Any:
    """A configuration without what Keras numbers as it goes: the same network has the same in any process."""
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    return [_without_names(value) for value in config] if isinstance(config, (list, tuple)) else config


def _values_sha256(model: keras.Model) -> str:
    sha256 = hashlib.sha256()
    for variable in model.weights:
        sha256.update(np.ascontiguousarray(variable).data)
    return sha256.hexdigest()


def _assign(model: keras.Model, state: State) -> None:
    for i, layer in enumerate(model.layers):
        for k, variable in enumerate(layer.weights):
            variable.assign(state[f"{i}:{k}"])


def _state(model: keras.Model) -> State:
    return {
        f"{i}:{k}": np.array(variable)
        for i, layer in enumerate(model.layers)
        for k, variable in enumerate(layer.weights)
    }
