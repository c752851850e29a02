"""Where a network can be cut in two, and cutting it.

A cut divides the layer graph into what lies below (towards the input) and above, such that few tensors
cross: one, wherever possible. Everything below a cut can be frozen, computed once, and stored.

Cuts are found in the graph itself, for any functional model. For every layer v consider everything that v
needs, v included; if v's output is the only tensor of this set that the rest of the network uses, then v is
an articulation point of the graph and a possible cut. Names are used only to thin these out to the ends of
blocks, so that "the last two blocks" is what the architecture's authors call blocks.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

# A possible cut: the layer's name, the mask of what lies below, what crosses.
_Candidate = tuple[str, int, tuple[keras.KerasTensor, ...]]

# How the families name their blocks: layers whose names match one pattern with the same label form a block.
# The first pattern that finds two blocks in a model is the one used.
_BLOCKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), label)
    for pattern, label in (
        (r"^(?:normal|reduction)_concat_(.+)$", "cell_{}"),  # NASNet
        (r"^(mixed\d+)$", "{}"),  # InceptionV3
        (r"^(mixed_\d[ab]|block(?:35|17|8)_\d+)(?:_|$)", "{}"),  # InceptionResNetV2
        (r"^conv_(?:pad|dw|pw)_(\d+)(?:_|$)", "block_{}"),  # MobileNet
        (
            r"^(?:block|expanded_conv)_(?:(\d+)_)?",
            "block_{}",
        ),  # MobileNetV2 and V3; their first has no number
        (r"^(conv\d+_block\d+|pool[2-4])_", "{}"),  # ResNet, ResNetV2, DenseNet
        (r"_(stage_\d+_block_\d+)_", "{}"),  # ConvNeXt
        (r"^(stack\d+_block\d+)_", "{}"),  # ResNet and DenseNet of KerasHub
        (r"^(layer_\d+)_", "{}"),  # transformers of texts and images
        (r"^(block\d+[a-z]?)_", "{}"),  # EfficientNet, EfficientNetLite0, EfficientNetV2, VGG, Xception
    )
)


@dataclass(frozen=True)
class Cut:
    """A place where a network can be divided.

    Attributes:
        name: ``"input"``, ``"output"``, or the block (else the layer) that ends here.
        tensors: what crosses the cut; mostly one, in NASNet two.
        depth: share of the network's layers with weights that lie below, 0..1.
    """

    name: str
    tensors: tuple[keras.KerasTensor, ...]
    depth: float


def find_cuts(model: keras.Model) -> list[Cut]:
    """All places where a functional model can be cut, thinned to the ends of its blocks.

    Args:
        model: a functional model, as :func:`bench.backbones.build.build_backbone` returns.

    Returns:
        Cuts from the input to the output, each above the one before, with convolutions (or other layers that
        have kernels) between any two. The first is ``"input"`` (nothing lies below), the last ``"output"``
        (nothing lies above).
    """
    graph = _Graph(model)
    cuts: list[Cut] = []
    for limit in (1, 2):
        cuts = graph.cuts(limit)
        # Two tensors at a cut only where a family has no better: half the network without any cut.
        if all(upper.depth - lower.depth <= 0.5 for lower, upper in itertools.pairwise(cuts)):
            break
    return cuts


def cut_at(cuts: list[Cut], share: float) -> Cut:
    """The cut with about this share of the blocks above it: at least one block, and not all of them.

    Args:
        cuts: of :func:`find_cuts`.
        share: in (0, 1).
    """
    blocks = len(cuts) - 1
    above = min(max(round(share * blocks), 1), max(blocks - 1, 1))
    return cuts[blocks - above]


def block_of(cuts: list[Cut]) -> dict[str, int]:
    """The block of each layer by its name: block i lies between cut i - 1 and cut i.

    Args:
        cuts: of :func:`find_cuts`.
    """
    blocks: dict[str, int] = {}
    for i, cut in enumerate(cuts):
        for node in topological(list(cut.tensors)):
            blocks.setdefault(node.operation.name, i)
    return blocks


def articulations(model: keras.Model) -> list[keras.KerasTensor]:
    """The tensors above a kernel, from input to output, of which each carries alone all that the output needs."""
    graph = _Graph(model)
    crossings = (graph.crossing(below) for below in graph.below if below & graph.kernels)
    return [crossing[0] for crossing in crossings if len(crossing) == 1]


def split(model: keras.Model, cut: Cut) -> tuple[keras.Model | None, keras.Model]:
    """Divides a model at one of its cuts.

    Args:
        model: the model that :func:`find_cuts` was given.
        cut: one of the cuts that it returned.

    Returns:
        Models ``(below, above)`` that share their layers and variables with ``model``, such that
        ``above(below(x))`` is ``model(x)``. What crosses is one tensor or, where the cut has several, a list.
        ``below`` is None at the input; ``above`` has no layers at the output.
    """
    if cut.name == "input":
        return None, model
    if cut.name == "output":
        ends = [keras.Input(batch_shape=end.shape, dtype=end.dtype) for end in model.outputs]
        features = ends if len(ends) > 1 else ends[0]
        return model, keras.Model(features, features, name=f"{model.name}_above_output")
    crossing = cut.tensors[0] if len(cut.tensors) == 1 else list(cut.tensors)
    below = keras.Model(model.input, crossing, name=f"{model.name}_below_{cut.name}")
    above = keras.Model(crossing, model.output, name=f"{model.name}_above_{cut.name}")
    return below, above


class _Graph:
    """The calls ("nodes") of a functional model in topological order. Sets of nodes are bit masks."""

    def __init__(self, model: keras.Model) -> None:
        self.inputs, self.outputs = tuple(model.inputs), tuple(model.outputs)
        self.nodes = topological(model.outputs)
        index = {id(node): i for i, node in enumerate(self.nodes)}
        self.below: list[int] = []  # per node: itself and all that it needs
        self.tensors: list[tuple[int, keras.KerasTensor]] = []  # with the node that makes each
        self.users: dict[int, int] = {}  # id of a tensor: the nodes that use it
        for i, node in enumerate(self.nodes):
            needs = 1 << i
            for tensor in node.input_tensors:
                needs |= self.below[index[id(_maker(tensor))]]
                self.users[id(tensor)] = self.users.get(id(tensor), 0) | 1 << i
            self.below.append(needs)
            self.tensors += [(i, tensor) for tensor in node.output_tensors]
        for tensor in model.outputs:  # used by whoever calls the model: a node outside
            self.users[id(tensor)] = self.users.get(id(tensor), 0) | 1 << len(self.nodes)
        self.weighted = self._mask(lambda weights: bool(weights))
        self.kernels = self._mask(lambda weights: any(len(w.shape) > 1 for w in weights))

    def _mask(self, wanted: Callable[[list[keras.Variable]], bool]) -> int:
        mask = 0
        for i, node in enumerate(self.nodes):
            layer = node.operation
            # The statistics of a preprocessing layer are no weights to be trained.
            if not isinstance(layer, keras.layers.Normalization) and wanted(getattr(layer, "weights", [])):
                mask |= 1 << i
        return mask

    def crossing(self, below: int) -> tuple[keras.KerasTensor, ...]:
        """The tensors made inside the set ``below`` and used outside it."""
        return tuple(t for i, t in self.tensors if below >> i & 1 and self.users.get(id(t), 0) & ~below)

    def cuts(self, limit: int) -> list[Cut]:
        """The cuts at which at most ``limit`` tensors cross."""
        candidates = [
            (self.nodes[i].operation.name, below, crossing)
            for i, below in enumerate(self.below)
            if len(crossing := self.crossing(below)) <= limit
        ]
        everything = (1 << len(self.nodes)) - 1
        inputs = sum(1 << i for i, node in enumerate(self.nodes) if node.is_input)
        chosen = [("input", inputs, self.inputs)]
        chosen += self._block_ends(candidates) or _chain(candidates)
        chosen += [("output", everything, self.outputs)]
        # Of cuts with no kernel between them the upper one stays: behind an activation, not before it.
        total = self.weighted.bit_count() or 1
        return [
            Cut(name, crossing, (below & self.weighted).bit_count() / total)
            for k, (name, below, crossing) in enumerate(chosen)
            if k in (0, len(chosen) - 1)
            or (below & self.kernels and (below ^ chosen[k + 1][1]) & self.kernels)
        ]

    def _block_ends(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """For each block that the layers' names tell, the first cut that has all of it below."""
        blocks = self._blocks()
        inside = 0
        for members in blocks.values():
            inside |= members
        stem = [c for c in candidates if not c[1] & inside and len(c[2]) == 1]
        ends = [("stem", *stem[-1][1:])] if blocks and stem else []
        for label, members in blocks.items():
            required = members | (ends[-1][1] if ends else 0)
            end = next((c for c in candidates if c[1] & required == required), None)
            if end:
                ends.append((label, *end[1:]))
        return ends

    def _blocks(self) -> dict[str, int]:
        """The nodes of each block, in the order of the blocks; empty if no family's names are found."""
        for pattern, label in _BLOCKS:
            blocks: dict[str, int] = {}
            for i, node in enumerate(self.nodes):
                if match := pattern.search(node.operation.name):
                    name = label.format(match[1] or 0)
                    blocks[name] = blocks.get(name, 0) | 1 << i
            if len(blocks) > 1:
                return blocks
        return {}


def _chain(candidates: list[_Candidate]) -> list[_Candidate]:
    """The candidates that lie each above the one before."""
    chain: list[_Candidate] = []
    for candidate in candidates:
        if not chain or candidate[1] & chain[-1][1] == chain[-1][1]:
            chain.append(candidate)
    return chain


def _maker(tensor: keras.KerasTensor) -> Any:
    """The node that makes a tensor."""
    operation, node_index, _ = tensor._keras_history
    return operation._inbound_nodes[node_index]


def topological(outputs: list[keras.KerasTensor]) -> list[Any]:
    """All nodes that ``outputs`` need, each after those that it needs. Not recursive: networks are deep."""
    order: list[Any] = []
    done: set[int] = set()
    stack = [(_maker(tensor), False) for tensor in reversed(outputs)]
    while stack:
        node, expanded = stack.pop()
        if id(node) in done:
            continue
        if expanded:
            done.add(id(node))
            order.append(node)
        else:
            stack.append((node, True))
            stack += [(_maker(tensor), False) for tensor in reversed(node.input_tensors)]
    return order
