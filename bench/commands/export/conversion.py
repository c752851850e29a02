"""The exported model in other formats, by Keras's own ``Model.export``, each measured beside ``model.keras``."""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.commands.export.formats import FORMATS, INT8, KERAS, TOLERANCE, Converted, megabytes
from bench.commands.export.processes import load_keras, quiet
from bench.commands.export.recipe import Recipe
from bench.training.examples import PartExamples, in_chunks
from reports import words
from reports.statistics.answers import difference_of_two

Predict = Callable[[np.ndarray], np.ndarray]
"""Probabilities (N, classes) of a batch of the network's input."""

REPRESENTATIVE = 100
"""Training examples by which the ranges of int8 values are set."""

KEPT = 0.95
"""Share of them that must keep their class where all is int8; else the weights alone are."""

ALL_INT8, WEIGHTS_INT8 = "weights and activations are int8", "the weights alone are int8"


@dataclass(frozen=True)
class Measured:
    """What ``model.keras`` says, to which the other formats are held."""

    model: Any
    probabilities: np.ndarray


def measured(recipe: Recipe, folder: Path) -> Measured:
    """The exported model, with its probabilities of the test examples."""
    model = load_keras(recipe.cell).saving.load_model(folder / FORMATS[KERAS].file, compile=False)
    return Measured(model, _probabilities(model.predict_on_batch, _test(recipe)))


def _test(recipe: Recipe) -> Iterator[Any]:
    """The network's inputs for all test examples, in batches."""
    return _batches(recipe, "test", np.arange(len(recipe.dataset.test.ids)))


def _batches(recipe: Recipe, part: str, numbers: np.ndarray, size: int = 64) -> Iterator[Any]:
    """The network's inputs for examples of a part."""
    examples = PartExamples.in_dataset(recipe.dataset, part, numbers, labelled=False)
    inputs = examples.read_by(recipe.network.reader).inputs()
    for chunk in in_chunks(np.arange(len(numbers)), size):
        batch = inputs(chunk, None)
        yield batch if len(batch) > 1 else batch[0]


def _probabilities(predict: Predict, batches: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(predict(batch)) for batch in batches])


def convert(recipe: Recipe, keras: Measured, name: str, folder: Path) -> Converted:
    """Writes the model in one format into ``folder`` and measures it; what is not the same model is not kept."""
    path = folder / FORMATS[name].file
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of converters, about one another
            return _checked(recipe, keras, name, path, how=_write(recipe, keras.model, name, path))
    except Exception as error:  # converters raise whatever they like
        _remove(path)
        return Converted(name, reason=_reason(error))


def _write(recipe: Recipe, model: Any, name: str, path: Path) -> str:
    """Writes the file, and returns what of it is int8."""
    if name == KERAS:
        return ""
    from bench.commands.export.portable import portable

    given = model if name == "saved_model" else portable(model, name)
    given(next(_representative(recipe)))  # Keras exports only what has been called
    if name == INT8 and not _takes_tokens(model) and _write_all_int8(recipe, given, path):
        return ALL_INT8
    given.export(path, **_options(name))
    return WEIGHTS_INT8 if name == INT8 else ""


def _write_all_int8(recipe: Recipe, model: Any, path: Path) -> bool:
    """Writes it, and returns whether it puts the representative training examples where the model does."""
    try:
        model.export(path, **_options(INT8), representative_dataset=lambda: _representatives(recipe))
    except (RuntimeError, ValueError):  # some operation cannot be watched while ranges are set
        return False
    predict, task = _open_litert(path, recipe.cell.threads), recipe.dataset.task
    same = [
        task.right(predict(batch), task.answers(np.asarray(model.predict_on_batch(batch))))
        for batch in _representative(recipe)
    ]
    return float(np.mean(same)) >= KEPT


def _options(name: str) -> dict[str, Any]:
    """What ``Model.export`` is told."""
    options: dict[str, Any] = {"format": FORMATS[name].keras, "verbose": False}
    if FORMATS[name].keras != "litert":
        return options
    import tensorflow as tf

    # Without the operations of TensorFlow that no interpreter on a device has.
    options["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    return options | ({"optimizations": [tf.lite.Optimize.DEFAULT]} if name == INT8 else {})


def _takes_tokens(model: Any) -> bool:
    """Whether the model takes whole numbers: ranges of its values then hang on the length of a text."""
    return "int" in str(model.inputs[0].dtype)


def _representatives(recipe: Recipe) -> Iterator[list[np.ndarray]]:
    """As TensorFlow wants them."""
    return ([batch] for batch in _representative(recipe))


def _representative(recipe: Recipe) -> Iterator[np.ndarray]:
    """Training examples from all over the pool, one by one."""
    pool = len(recipe.dataset.pool.ids)
    rows = np.unique(np.linspace(0, pool - 1, min(pool, REPRESENTATIVE)).astype(np.int64))
    return _batches(recipe, "pool", rows, size=1)


# --- measured -------------------------------------------------------------------------------------------------


def _checked(recipe: Recipe, keras: Measured, name: str, path: Path, how: str) -> Converted:
    """What was measured of a file.

    Raises:
        ValueError: it is not the model that was exported.
    """
    opened = OPENERS.get(FORMATS[name].keras)
    predict = opened(path, recipe.cell.threads) if opened else keras.model.predict_on_batch
    found = _probabilities(predict, _test(recipe))
    difference = float(np.abs(found - keras.probabilities).max())
    if math.isnan(difference) or (difference > TOLERANCE and name != INT8):
        raise ValueError(f"its probabilities differ by up to {difference:.2g} from those of model.keras")
    test, task = recipe.dataset.test, recipe.dataset.task
    right, before = (task.right(p, test.labels) for p in (found, keras.probabilities))
    return Converted(
        name,
        how=how,
        megabytes=megabytes(path),
        milliseconds=_milliseconds(predict, next(_batches(recipe, "test", np.arange(1)))),
        difference=difference,
        agreement=float(task.right(found, task.answers(keras.probabilities)).mean()),
        accuracy=float(right.mean()),
        change=difference_of_two(right, before, test.groups),
    )


def _milliseconds(predict: Predict, example: np.ndarray, times: int = 50) -> float:
    """Of one prediction, warm: the median."""
    seconds = []
    for _ in range(10 + times):
        start = time.perf_counter()
        predict(example)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[10:]) * 1000)


def _open_saved_model(path: Path, threads: int) -> Predict:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda batch: np.asarray(loaded.serve(batch))


def _open_onnx(path: Path, threads: int) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    [name] = [given.name for given in session.get_inputs()]
    return lambda batch: np.asarray(session.run(None, {name: batch})[0])


def _open_litert(path: Path, threads: int) -> Predict:
    interpreter = _interpreter()(str(path), num_threads=threads)
    [given], [wanted] = interpreter.get_input_details(), interpreter.get_output_details()
    shape: Sequence[int] = ()

    def predict(batch: np.ndarray) -> np.ndarray:
        nonlocal shape
        if batch.shape != shape:
            interpreter.resize_tensor_input(given["index"], batch.shape)
            interpreter.allocate_tensors()
            shape = batch.shape
        interpreter.set_tensor(given["index"], batch)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(wanted["index"]))

    return predict


def _interpreter() -> Any:
    """LiteRT's interpreter: of its own package, else the older one that TensorFlow still brings.

    Raises:
        ImportError: there is neither.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        if not hasattr(tf.lite, "Interpreter"):
            raise ImportError("it needs an interpreter. Run: pip install 'transfer-bench[litert]'") from None
        Interpreter = tf.lite.Interpreter
    return Interpreter


OPENERS = {"tf_saved_model": _open_saved_model, "onnx": _open_onnx, "litert": _open_litert}
"""What opens a file, by its format in ``Model.export``."""


# --- what failed ----------------------------------------------------------------------------------------------


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """What a converter said, in one line without its last full stop."""
    return words.clean(str(error) or type(error).__name__, 200).rstrip(".")
