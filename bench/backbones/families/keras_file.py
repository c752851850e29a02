"""A network of the user's as a backbone: a ``.keras`` file, with its preprocessing given.

The file is loaded in Keras's safe mode. Its layers are made anew on the input that a run asks for, without the
classifier: what lies above the last feature map.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backbones.families.keras_config import KerasConfig, read_config
from bench.backbones.plugin import BackbonePlugin
from bench.errors import RequestError
from bench.system.names import KERAS

if TYPE_CHECKING:
    import keras

PIXELS = {
    "model": (1.0, 0.0),
    "0..255": (1.0, 0.0),
    "0..1": (1 / 255, 0.0),
    "-1..1": (1 / 127.5, -1.0),
}
"""What the network takes -> scale and offset of pixels from 0 to 255. ``model``: it prepares them itself."""
HOW = f"Add pixels={'|'.join(PIXELS)}, and mean=R,G,B and std=R,G,B if it takes them standardised."


class KerasFile(BackbonePlugin):
    """The network ``keras:FILE.keras``.

    Args:
        name: ``keras:`` and the path of the file.

    Raises:
        RequestError: the file is none, or its network cannot be a backbone.
    """

    summary = "your own network"
    options = {"pixels": "", "mean": "", "std": ""}

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path(name.removeprefix(KERAS))
        self.stamp = f"keras {self.config.sha256[:16]}"

    @cached_property
    def config(self) -> KerasConfig:
        """What the file says of its network."""
        return read_config(self.path, self.name)

    def check(self, **options: Any) -> None:
        """Refuses a preprocessing that is not given, or not understood."""
        pixels, mean, std = (str(options[key]) for key in ("pixels", "mean", "std"))
        if not pixels and not self.config.prepares:
            expected = "given with the range of pixels that the network takes"
            raise self._error(expected, f"It does not begin with Rescaling or Normalization. {HOW}")
        if pixels and pixels not in PIXELS:
            raise self._error(f"have pixels as {', '.join(PIXELS)}", f"Received pixels={pixels}.")
        for key, text in (("mean", mean), ("std", std)):
            if text and (len(values := _numbers(text)) not in (1, 3) or (key == "std" and min(values) <= 0)):
                remedy = f"Received {key}={text}. For instance: {key}=0.485,0.456,0.406"
                raise self._error(f"have {key} as one or three numbers, in the range of pixels", remedy)

    def weights(self, **options: Any) -> Path:
        return self.path

    def build(self, image: keras.KerasTensor, **options: Any) -> keras.KerasTensor:
        import keras

        scale, offset = PIXELS[str(options["pixels"]) or "model"]
        mean, std = _numbers(str(options["mean"]) or "0"), _numbers(str(options["std"]) or "1")
        if (scale, offset, mean, std) != (1.0, 0.0, [0.0], [1.0]):
            mean, std = mean * (3 // len(mean)), std * (3 // len(std))
            front = (
                [scale / deviation for deviation in std],
                [(offset - centre) / deviation for centre, deviation in zip(mean, std, strict=True)],
            )
            image = keras.layers.Rescaling(*front, dtype="float32", name="given_preprocessing")(image)
        original, end = self._original(self.path)
        try:
            return _Copy().of(original, image, end)
        except RequestError:
            raise
        except Exception as error:  # of whatever layer does not take this size
            own = f"It was saved for {self.config.size} px. " if self.config.size else ""
            reason = " ".join(str(error).split())[:200]
            raise self._error(
                f"a network that takes images of {image.shape[1]} px",
                f"{own}Keras says: {reason}",
            ) from None

    def load(self, model: keras.Model, path: Path) -> None:
        """Copies the weights of the file into the network that ``build`` has made of it."""
        layers = {layer.name: layer for layer in model.layers}
        names = _Names()
        original, end = self._original(path)
        for layer in _layers(original, end):
            if layer.weights:
                layers[names.of(layer)].set_weights(layer.get_weights())

    def _original(self, path: Path) -> tuple[Any, Any]:
        """The network as it was saved, and its last feature map."""
        import keras

        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise self._error("a file that Keras loads in its safe mode", f"Keras says: {reason}") from None
        if len(model.inputs) != 1:
            raise self._error("a model of one input", f"It has {len(model.inputs)}.")
        end = _last_map(model)
        if end is None:
            remedy = "No tensor of shape (batch, rows, columns, channels) carries all that its output needs."
            raise self._error("a network with a last feature map", remedy)
        return model, end

    def _error(self, expected: str, remedy: str) -> RequestError:
        return RequestError("backbone", self.name, expected, remedy)


class _Copy:
    """Makes the layers of a network anew, those of networks within it directly among them."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._names = _Names()

    def of(self, model: Any, tensor: Any, end: Any = None) -> Any:
        """What a copy of the network makes of a tensor, up to ``end``."""
        import keras

        if isinstance(model, keras.Sequential):
            model = model._functional
        end = model.outputs[0] if end is None else end
        values = {id(model.inputs[0]): tensor}
        for node in _nodes(end):
            if node.is_input:
                continue
            arguments, keywords = node.arguments.fill_in(values)
            operation = node.operation
            if _is_network(operation):
                result = self.of(operation, arguments[0])
            else:
                result = self._anew(operation)(*arguments, **keywords)
            for made, output in zip(keras.tree.flatten(result), node.output_tensors, strict=True):
                values[id(output)] = made
        return values[id(end)]

    def _anew(self, operation: Any) -> Any:
        """A layer like another one; the same for the same, as shared layers are."""
        import keras

        if not isinstance(operation, keras.Layer):
            return operation
        if id(operation) not in self._made:
            config = {**operation.get_config(), "name": self._names.of(operation)}
            if operation.dtype_policy.name == "float32" and type(operation).__name__ not in KEEP_PRECISION:
                config.pop("dtype", None)  # then it follows the precision of the run
            self._made[id(operation)] = type(operation).from_config(config)
        return self._made[id(operation)]


KEEP_PRECISION = ("Rescaling", "Normalization")
"""Pixels are not to be rounded before they are centred."""


class _Names:
    """A name for each layer that no other one has: networks within a network may repeat some."""

    def __init__(self) -> None:
        self._of: dict[int, str] = {}

    def of(self, layer: Any) -> str:
        if id(layer) not in self._of:
            name, count = layer.name, 1
            while name in self._of.values() or name in ("image", "given_preprocessing"):
                count += 1
                name = f"{layer.name}_{count}"
            self._of[id(layer)] = name
        return self._of[id(layer)]


def _layers(model: Any, end: Any = None) -> Iterator[Any]:
    """The layers of a network in the order in which ``_Copy`` makes them."""
    import keras

    if isinstance(model, keras.Sequential):
        model = model._functional
    seen = set()
    for node in _nodes(model.outputs[0] if end is None else end):
        operation = node.operation
        if node.is_input or id(operation) in seen:
            continue
        seen.add(id(operation))
        if _is_network(operation):
            yield from _layers(operation)
        elif isinstance(operation, keras.Layer):
            yield operation


def _is_network(operation: Any) -> bool:
    """Whether it is a network of one input and one output, whose layers can lie in the graph."""
    import keras

    inner = operation._functional if isinstance(operation, keras.Sequential) else operation
    is_graph = isinstance(operation, keras.Model) and getattr(inner, "_nodes", None)
    return bool(is_graph) and len(inner.inputs) == 1 and len(inner.outputs) == 1


def _nodes(end: Any) -> list[Any]:
    from bench.backbones.cuts import topological

    return topological([end])


def _last_map(model: Any) -> Any:
    """The last tensor of four axes through which everything that the output needs has to go; None without one."""
    import keras

    from bench.backbones.cuts import articulations

    if isinstance(model, keras.Sequential):
        model = model._functional
    if len(model.outputs) != 1:
        return None
    through = [tensor for tensor in articulations(model) if len(tensor.shape) == 4]
    return through[-1] if through else None


def _numbers(text: str) -> list[float]:
    """Numbers that commas separate; empty if one is none."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []
