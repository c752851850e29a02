"""How weights lie in files of Hugging Face, and what of them a network needs. Imports no Keras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """A layer with a weight and a bias.

    Attributes:
        ours: the layer's name here.
        theirs: what the names of its weights begin with there.
        shape: of its weight there; dense kernels are (outputs, inputs). Its bias is (outputs,).
    """

    ours: str
    theirs: str
    shape: Shape

    def needs(self) -> dict[str, Shape]:
        """Names and shapes of its weights there."""
        return {f"{self.theirs}.weight": self.shape, f"{self.theirs}.bias": self.shape[:1]}


def needed(pieces: Iterable[Piece]) -> dict[str, Shape]:
    """Names and shapes of the weights of some layers."""
    return {name: shape for piece in pieces for name, shape in piece.needs().items()}


def misfit(needed: Mapping[str, Shape], found: Mapping[str, Shape]) -> str:
    """Why found weights do not fit, in a sentence; empty if they do.

    Args:
        needed: names and shapes of what a network needs.
        found: names and shapes of what a file has.
    """
    for name, shape in needed.items():
        if name not in found:
            return f"It has no weight {name}."
        if tuple(found[name]) != shape:
            return (
                f"Its weight {name} has shape {list(found[name])}. The configuration asks for {list(shape)}."
            )
    return ""


STARTS = ("embeddings.", "embeddings_project.", "relative_attention_bias.", "layer.", "layernorm.")
"""Where the names of weights begin that all models of a kind share."""
OLD = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""Names in files of 2018."""


def plain(name: str) -> str:
    """A weight's name without the model's own part: ``bert.encoder.layer.0.x`` is ``layer.0.x``."""
    for old, new in OLD.items():
        name = name.replace(old, new)
    for start in STARTS:
        before, found, rest = name.partition(start)
        if found and (not before or before.endswith(".")):
            return found + rest
    return name
