"""The recipe to take home: the recommended model, trained on all labels, and the code that trains it.

``train.py`` is plain Keras and does what the protocol's refit does, with the same random numbers. It is not a
copy of what was run: it *is* what is run here, in a process of its own, and ``model.keras`` is what it wrote. The
card says how that model's test predictions agree with those that the harness measured.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.backbones.own import read_source
from bench.datasets import Dataset, open_dataset
from bench.datasets.specs import open_source
from bench.errors import BenchError, RequestError
from bench.modalities.image.pictures import FilePicture
from bench.plans.strategies import get_strategy
from bench.protocols.cells import check_unchanged
from bench.records import Cell, Record
from bench.runs.results import Run, load
from bench.store import Store
from bench.system import backend, machine
from bench.system.names import PREFIX
from bench.system.templates import markdown as _md
from bench.system.templates import template as _template
from reports import words
from reports.answer import absence, who
from reports.labels import label_curves
from reports.recommend import Constraints, Recommendation, recommend
from reports.statistics.decisions import Candidate
from strategies.base import Info, Stage, Strategy
from strategies.on_features import SMALLEST_DEVIATION, OnFeatures

if TYPE_CHECKING:
    from bench.backbones.cuts import Cut
    from bench.training.engine import Network

RESIZINGS = {
    "crop": "the middle square, resized",
    "stretch": "stretched to a square",
    "pad": "resized to fit and padded to a square",
}
SIMPLE_FIELDS = (
    "name", "cut", "learning_rate", "weight_decay", "epochs", "early_stopping", "patience", "weights", "batch_norm",
    "warmup",
)  # fmt: skip
"""Fields of a stage that every train.py has; the others have a macro each in ``train_fields.py.j2``."""
BODY_FIELDS = ("rate_decay", "decay_to")
"""Fields that change nothing where the head alone trains."""
TEMPLATES = Path(__file__).parent / "templates"
AGREEMENT = 1e-3
"""Mean absolute difference of probabilities up to which two models are called the same."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: holds ``model.keras``, ``train.py``, ``card.md`` and what ``train.py`` reads.
        candidate: the configuration.
        accuracy: of the model on the test images.
        measured: of the cell whose recipe it is.
        labels: labelled images of that cell.
        difference: mean absolute difference of the test probabilities between the two; NaN where the cell was
            trained on fewer labels or its predictions are missing.
    """

    folder: Path
    candidate: Candidate
    accuracy: float
    measured: float
    labels: int
    difference: float


def export(
    directory: str | Path,
    out: str | Path | None = None,
    constraints: Constraints | None = None,
    dataset: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Trains the recommended recipe on the whole pool, never on a test image, and writes it for good.

    The hyperparameters are those of the seed that did best on its validation part.

    Args:
        directory: the run directory.
        out: a folder that does not exist yet; default: ``export`` in the run directory.
        constraints: see ``Run.recommend``; its ``labels`` are all there are.
        dataset: its name, if the run has several.
        say: called with what is being done.

    Raises:
        RequestError: nothing can be recommended, train.py cannot spell out the recommended strategy, the data or
            weights have changed since, or ``out`` exists.
        BenchError: the exported ``train.py`` failed.
    """
    run = load(directory)
    run.check_fractions("export")
    folder = Path(out) if out is not None else Path(directory) / "export"
    if folder.exists():
        raise RequestError(
            "out", str(folder), "a folder that does not exist yet", "Delete it, or choose another."
        )
    found = recommend(run.results, run.directory, constraints or Constraints(), dataset, run.settings.region)
    recipe = _Recipe.of(run, found)
    say(f"Recipe: {who(found.decision.recommended)}, hyperparameters of seed {recipe.cell.seed}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as temporary:
        made = Path(temporary) / "export"
        made.mkdir()
        files = _write_images(recipe, made)
        (made / "train.py").write_text(_train_py(recipe, made, files), encoding="utf-8")
        say("Training on all labels with the exported train.py.")
        _run(made / "train.py", recipe.cell, say)
        accuracy, difference = _agreement(run, recipe, made / "model.keras")
        measured = recipe.record.metrics["accuracy"]
        labels = recipe.record.n or 0
        exported = Exported(folder, found.decision.recommended, accuracy, measured, labels, difference)
        (made / "card.md").write_text(_card(run, recipe, found, exported, files), encoding="utf-8")
        os.replace(made, folder)
    return exported


@dataclass(frozen=True)
class _Planned:
    """A stage with what the harness adds to it, and the fields that ``train_fields.py.j2`` writes."""

    stage: Stage
    epochs: int
    planned: int
    batch_size: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class _Recipe:
    """A cell's recipe for the whole pool.

    Attributes:
        method: where it is no schedule of stages, the macro of ``train_methods.py.j2`` that writes how it learns.
        stages: where it is one.
    """

    record: Record
    cell: Cell
    dataset: Dataset
    strategy: Strategy
    network: Network
    method: str
    stages: tuple[_Planned, ...]

    @classmethod
    def of(cls, run: Run, found: Recommendation) -> _Recipe:
        chosen = found.decision.recommended
        results = run.results
        if not (results["fraction"] > 0).any():
            expected = "a run with labels of the target"
            remedy = (
                "Without any, all that was run learns from the source dataset: nothing here can be exported."
            )
            raise RequestError("DIR", str(run.directory), expected, remedy)
        mine = results[
            (results["status"] == "ok")
            & (results["dataset"] == found.dataset)
            & (results["strategy"] == chosen.strategy)
            & (results["backbone"] == chosen.backbone)
            & (results["weights"] == chosen.weights)
        ]
        ids = set(mine.loc[mine["fraction"] == mine["fraction"].max(), "cell_id"])
        record = max((r for r in run.records if r.cell_id in ids), key=_validated)
        cell = Cell(**record.cell)
        strategy = get_strategy(cell.strategy)
        method = _method(strategy, cell.strategy)
        if strategy.version != cell.strategy_version:
            raise RequestError(
                "strategy", cell.strategy, f"its version {cell.strategy_version}, with which the run was made"
            )
        check_unchanged(cell)
        if cell.precision != "float32":
            expected = "float32: train.py does not write mixed precision"
            raise RequestError(
                "precision", cell.precision, expected, "Run that strategy with it and export that."
            )
        backend.check(cell.backend)
        for here in filter(None, (os.environ.get("KERAS_BACKEND"), backend.loaded())):
            if here != cell.backend:
                raise RequestError("KERAS_BACKEND", here, f"{cell.backend}, with which the run was made")
        dataset = open_dataset(cell.dataset, cell.image_size, cell.resizing)
        if dataset.fingerprint != cell.fingerprint:
            expected = "the data of the run; images or labels have changed"
            raise RequestError("dataset", cell.dataset, expected)
        network = _network(cell)
        stages = () if method else tuple(_planned(record, cell, dataset, strategy, network))
        return cls(record, cell, dataset, strategy, network, method, stages)

    @property
    def whole(self) -> bool:
        """Whether the cell itself was trained on the whole pool."""
        return self.record.n == len(self.dataset.pool.ids)


def _keras(cell: Cell) -> Any:
    """Keras with a cell's backend, on the processor alone: an accelerator is for the process that trains.

    Loaded without what TensorFlow's C++ says as it starts, which nothing else keeps from the terminal.
    """
    before = dict(os.environ)
    os.environ |= machine.environment(cell.backend, cell.threads) | backend.WITHOUT_ACCELERATOR[cell.backend]
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        import keras

        if cell.backend == "tensorflow":
            import tensorflow as tf

            tf.config.set_visible_devices([], "GPU")
        keras.ops.zeros(())
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before
    return keras


def _validated(record: Record) -> float:
    return max(float(trial["score"]) for trial in record.trials if trial["score"] is not None)


def _network(cell: Cell) -> Network:
    _keras(cell)
    from bench.training.engine import Engine

    network = Engine().network(cell.backbone, cell.weights, cell.image_size)
    if cell.weights and network.weights.sha256 != cell.weights_sha256:
        expected = f"the file with sha256 {cell.weights_sha256}"
        raise RequestError("weights", cell.weights, expected, "It has changed.")
    return network


def _method(strategy: Strategy, name: str) -> str:
    """The macro that writes how a strategy learns from features; empty for a schedule of stages.

    Raises:
        RequestError: it is neither.
    """
    expected = "a strategy that train.py can spell out"
    if strategy.needs_source:
        raise RequestError(
            "strategy",
            name,
            expected,
            "It learns from a source dataset, too: choose another with --strategy.",
        )
    if strategy.needs_auxiliary:
        raise RequestError(
            "strategy",
            name,
            expected,
            "It learns auxiliary labels, too: choose another with --strategy.",
        )
    if type(strategy).fit is Strategy.fit:
        return ""
    if not strategy.uses_backbone:
        raise RequestError("strategy", name, expected, "It uses no network: there is nothing to export.")
    if isinstance(strategy, OnFeatures) and type(strategy).fit is OnFeatures.fit:
        for method in _macros("train_methods.py.j2"):
            if type(strategy).learn is type(get_strategy(method)).learn:  # type: ignore[attr-defined]
                return method
    raise RequestError(
        "strategy", name, expected, "It trains with code of its own: choose another with --strategy."
    )


def _fields(stage: Stage, strategy: str) -> list[str]:
    """The macros of ``train_fields.py.j2`` that a stage needs: its fields that have an effect.

    Raises:
        RequestError: there is none for one of them.
    """
    changed = [
        field.name
        for field in dataclasses.fields(Stage)
        if field.name not in SIMPLE_FIELDS and getattr(stage, field.name) != field.default
    ]
    known = _macros("train_fields.py.j2")
    for name in changed:
        if name not in known:
            raise RequestError(
                "strategy",
                strategy,
                "a strategy that train.py can spell out",
                f"Its stage {stage.name!r} sets {name!r}, which is not among "
                f"{', '.join((*SIMPLE_FIELDS, *known))}: choose another with --strategy.",
            )
    return [name for name in changed if stage.cut != "top" or name not in BODY_FIELDS]


def _planned(
    record: Record, cell: Cell, dataset: Dataset, strategy: Strategy, network: Network
) -> list[_Planned]:
    from bench.training.loop import batch_size_of

    batch_size = record.batch_size or cell.batch_size
    n = len(dataset.pool.ids)
    info = Info(
        modality=dataset.modality,
        class_names=dataset.class_names,
        n=n,
        has_weights=bool(cell.weights) and cell.weights != "none",
        image_size=cell.image_size,
        batch_size=batch_size,
        **network.traits,
    )
    values = record.hyperparameters
    stages = strategy.stages(SimpleNamespace(get=values.__getitem__, values=values), info)
    best = max(
        (trial for trial in record.trials if trial["score"] is not None), key=lambda trial: trial["score"]
    )
    if "epoch_limit" not in best and cell.tuning["algorithm"] == "hyperband":
        raise RequestError(
            "DIR", record.cell_id, "a run made by this version", "Hyperband's epochs are not in it."
        )
    limit = int(best.get("epoch_limit", cell.epochs))
    trained: list[int] = []  # a stage's curve begins at epoch 0
    for point in record.curves:
        if point["run"] == "refit":
            trained = [*trained, 0] if point["epoch"] == 0 else [*trained[:-1], point["epoch"]]
    return [
        _Planned(
            stage,
            epochs=epochs,
            planned=limit if stage.epochs is None else stage.epochs,
            batch_size=batch_size_of(stage, n, batch_size),
            fields=tuple(_fields(stage, cell.strategy)),
        )
        for stage, epochs in zip(stages, trained, strict=True)
    ]


# --- train.py -------------------------------------------------------------------------------------------------


def _write_images(recipe: _Recipe, folder: Path) -> dict[str, Path] | None:
    """Writes what ``train.py`` reads: the list of labelled image files, or their pixels if they are no files.

    Returns:
        The files by id; None if there are pixels.
    """
    pool = recipe.dataset.pool
    wanted = set(pool.ids)
    contents = open_source(recipe.cell.dataset).contents()
    files = {
        name: picture.path.resolve()
        for name, picture in zip(contents.ids, contents.pictures, strict=True)
        if name in wanted and isinstance(picture, FilePicture) and _is_plain(picture.path)
    }
    if len(files) < len(wanted):
        _write_pixels(recipe, folder)
        return None
    base = _folder(files.values())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["path", "class"])
    names = recipe.dataset.class_names
    for name, label in zip(pool.ids, pool.labels, strict=True):
        writer.writerow([os.path.relpath(files[name], base), names[label]])
    (folder / "labels.csv").write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
    return files


def _is_plain(path: Path) -> bool:
    """Whether ``read_image`` in train.py reads it as we do: not 16-bit, 32-bit or floating-point gray."""
    from PIL import Image

    from bench.modalities.image.decode import quiet

    with quiet(), Image.open(path) as image:
        return image.mode != "F" and not image.mode.startswith("I")


def _write_pixels(recipe: _Recipe, folder: Path) -> None:
    pool = recipe.dataset.pool
    np.savez_compressed(folder / "images.npz", images=pool.images, labels=pool.labels)


def _folder(files: Any) -> Path:
    common = Path(os.path.commonpath([str(path) for path in files]))
    return common if common.is_dir() else common.parent


def _train_py(recipe: _Recipe, folder: Path, files: dict[str, Path] | None) -> str:
    cell, stages = recipe.cell, recipe.stages
    return _template(TEMPLATES, "train.py.j2").render(
        about=_plain(f"{words.capital(words.strategy_name(cell.strategy))} of {cell.backbone}")
        + f" for {len(recipe.dataset.class_names)} classes.",
        version=version("transfer-bench"),
        backend=cell.backend,
        environment=list(backend.environment(cell.backend, cell.threads).items()),
        threads_variable=backend.THREADS[cell.backend],
        seed=cell.seed,
        method=recipe.method,
        values=recipe.record.hyperparameters,
        stages=[_described(place, planned, recipe) for place, planned in enumerate(stages)],
        fields=[f.name for f in dataclasses.fields(Stage) if any(f.name in p.fields for p in stages)],
        has_prefix=any(planned.stage.cut != "input" for planned in stages),
        has_image_stage=any(planned.stage.cut == "input" for planned in stages),
        has_statistics=any(planned.stage.batch_norm == "trained" for planned in stages),
        **_of_images(recipe, files),
        **_of_network(recipe, folder),
    )


def _of_images(recipe: _Recipe, files: dict[str, Path] | None) -> dict[str, Any]:
    """What the templates say of images."""
    from bench.modalities.image import augment as augmentation
    from bench.modalities.image.facts import THUMBNAIL

    cell = recipe.cell
    kind = cell.augmentation if recipe.stages else "none"
    smallest = augmentation.SMALLEST_CROP.get(kind, 1.0)
    return {
        "source_file": "labels.csv" if files else "images.npz",
        "files": bool(files),
        "folder": str(_folder(files.values())) if files else "",
        "classes": list(recipe.dataset.class_names),
        "size": cell.image_size,
        "draft": max(2 * cell.image_size, 4 * THUMBNAIL),
        "resizing": cell.resizing,
        "resizing_in_words": RESIZINGS[cell.resizing],
        "augmentation": kind,
        "flip": cell.flip,
        "smallest_crop": smallest,
        "crop_percent": f"{smallest * 100:g}",
        "jitter": augmentation.JITTER,
        "angle": augmentation.ANGLE,
        "shear": augmentation.SHEAR,
        "scale": augmentation.SCALE,
        "move": augmentation.MOVE,
    }


def _of_network(recipe: _Recipe, folder: Path) -> dict[str, Any]:
    """What the templates say of the network; a backbone that Keras does not build in one line goes to a file."""
    import keras

    from bench.backbones.build import CAFFE_MEAN_BGR, FRONTS, IMAGENET_MEAN, IMAGENET_STD, build_backbone
    from bench.backbones.plugin import MODULE
    from bench.backbones.weights import Weights
    from bench.training import stages
    from bench.training.programs import optimizer
    from strategies import knn

    cell, network = recipe.cell, recipe.network
    spec, cuts = network.spec, network.cuts
    module = spec.info.module
    random = bool(recipe.stages) and recipe.stages[0].stage.weights == "random"
    plain = module not in ("conv4", "efficientnet_lite", MODULE) and (
        network.weights.kind == "imagenet" or (random and module != "efficientnet")
    )
    if not plain:
        backbone = network.model
        if random:
            keras.backend.clear_session()
            keras.utils.set_random_seed(cell.seed)
            backbone = build_backbone(spec, cell.image_size, Weights("none", "", None))
        backbone.save(folder / "backbone.keras")
    head = {
        key: recipe.record.hyperparameters.get(key, value) if isinstance(value, list) else value
        for key, value in cell.head.items()
    }
    drops = any(hasattr(layer, "seed_generator") for layer in network.model.layers)
    return {
        "backbone_title": _plain(cell.backbone) + (" with random weights" if random else ""),
        "backbone_file": "" if plain else "backbone.keras",
        "random_weights": random,
        "front": FRONTS[module].__name__.removeprefix("_") if plain else "",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "caffe_mean": CAFFE_MEAN_BGR,
        "application": spec.name,
        "options": list(dict(spec.options).items()),
        "block_ends": [_operations(network, cut) for cut in cuts[1:]],
        "all_layers": isinstance(recipe.strategy, OnFeatures) and recipe.strategy.layers == "all",
        "map_ends": [
            _operation(network, tensor)
            for cut in cuts[1:]
            for tensor in cut.tensors
            if len(tensor.shape) == 4
        ],
        "pooling": {"avg": "Average", "max": "Max"}[head["pooling"]],
        "hidden_units": head["hidden_units"],
        "head_dropout": head["dropout"],
        "dropout": drops or bool(head["dropout"]),
        "label_smoothing": stages.LABEL_SMOOTHING,
        "typical_rms": optimizer.TYPICAL_RMS,
        "smallest_rms": optimizer.SMALLEST_RMS,
        "clip_norm": optimizer.CLIP_NORM,
        "smallest_deviation": SMALLEST_DEVIATION,
        "temperature": knn.TEMPERATURE,
    }


def _described(place: int, planned: _Planned, recipe: _Recipe) -> dict[str, Any]:
    """What the templates say of a stage: its fields, and where it lies in the network."""
    from bench.training.programs.fused import STEPS_A_CALL

    network, stage = recipe.network, planned.stage
    content = dataclasses.asdict(stage) | {
        "fields": planned.fields,
        "cut": stage.cut if isinstance(stage.cut, str) else "block",
        "standardises": place == 0,
        "trains_batch_norm": stage.batch_norm == "trained",
        "epochs": planned.epochs,
        "planned": planned.planned,
        "batch_size": planned.batch_size,
        "at_once": 1,
    }
    cut = network.cut(stage.cut)
    if cut is None:
        content["comment"] = "The head alone, on what the frozen network makes of the images."
        content["at_once"] = STEPS_A_CALL
        return content
    content["network"] = "backbone" if stage.cut == "input" else "above"
    if stage.cut == "input":
        content["comment"] = "The whole network."
        content["start"] = "backbone.input"
    else:
        content["comment"] = "The upper blocks and the head; what lies below stays frozen."
        content["border"], content["border_names"] = _tensors(network, cut)
        content["start"] = "border"
    end = network.cuts[min(network.cuts.index(cut) + stage.blocks, len(network.cuts) - 1)]
    content["end"], content["end_names"] = _tensors(network, end)
    return content


def _operations(network: Network, cut: Cut) -> list[int]:
    """The places among the backbone's operations of those that make what crosses a cut."""
    return [_operation(network, tensor) for tensor in cut.tensors]


def _operation(network: Network, tensor: Any) -> int:
    return int(network.model.operations.index(tensor._keras_history.operation))


def _tensors(network: Network, cut: Cut) -> tuple[str, str]:
    """What crosses a cut, as code, and the names of the layers that make it."""
    places = _operations(network, cut)
    names = ", ".join(network.model.operations[i].name for i in places)
    return ", ".join(f"backbone.operations[{i}].output" for i in places), _plain(names)


def _macros(name: str) -> list[str]:
    """The macros of a template."""
    from jinja2.runtime import Macro

    module = _template(TEMPLATES, name).module
    return [key for key, value in vars(module).items() if isinstance(value, Macro)]


def _plain(text: str) -> str:
    """For comments and docstrings: nothing that could end them."""
    return re.sub(r"[^A-Za-z0-9 .,:=_+/()-]", "?", text)


def _start(cell: Cell) -> str:
    """What the network began with, in words."""
    name = _md(words.weights_name(cell.weights))
    if cell.weights.startswith(PREFIX):
        data = read_source(cell.weights).data
        name += (
            f" (trained on {words.count(data.n)} images of {_md(words.clean(data.name, 80))}, fingerprint "
        )
        name += f"{data.fingerprint})"
    return name


def _run(script: Path, cell: Cell, say: Callable[[str], None]) -> None:
    """Runs ``train.py`` as its reader would, line by line.

    Raises:
        BenchError: it failed.
    """
    environment = machine.environment(cell.backend, cell.threads) | {"PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)  # it needs nothing of ours
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        process = subprocess.Popen(
            [sys.executable, script.name], cwd=script.parent, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=complaints,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    say("  " + line.rstrip())
            process.wait()
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            complaints.seek(0)
            kept = Path(tempfile.mkdtemp(prefix="transfer-bench-")) / "train.py"
            shutil.copy(script, kept)
            raise BenchError(
                f"The exported train.py ended with exit code {process.returncode}; it is kept as {kept}. It said: "
                + " / ".join(complaints.read().strip().splitlines()[-3:])
            )


def _agreement(run: Run, recipe: _Recipe, path: Path) -> tuple[float, float]:
    """Test accuracy of the exported model, and how far its probabilities are from the cell's."""
    keras = _keras(recipe.cell)
    model = keras.saving.load_model(path, compile=False)
    test = recipe.dataset.test
    batches = (np.asarray(test.images[i : i + 64], np.float32) for i in range(0, len(test.ids), 64))
    probabilities = np.concatenate([np.asarray(model.predict_on_batch(batch)) for batch in batches])
    accuracy = float((probabilities.argmax(axis=1) == test.labels).mean())
    store = Store(run.directory)
    if not recipe.whole or not store.predictions_path(recipe.cell.id).exists():
        return accuracy, math.nan
    stored = store.predictions(recipe.cell.id)["probabilities"]
    return accuracy, float(np.abs(stored - probabilities).mean())


# --- card.md --------------------------------------------------------------------------------------------------


def _card(
    run: Run, recipe: _Recipe, found: Recommendation, exported: Exported, files: dict[str, Path] | None
) -> str:
    cell, dataset, chosen = recipe.cell, recipe.dataset, exported.candidate
    n = len(dataset.pool.ids)
    measured = words.percent(chosen.accuracy)
    if math.isfinite(chosen.low):
        measured += f", 95% interval {words.percent(chosen.low)} to {words.percent(chosen.high)}"
    quality = [
        f"Expected accuracy on new images like the test images: {measured}. Mean of {chosen.seeds} seeds with "
        f"{words.count(found.labels)} labelled images; the interval covers new labelled images, new initial "
        "weights and new test images."
        if math.isfinite(chosen.low)
        else f"Accuracy measured: {measured}, mean of {words.plural(chosen.seeds, 'seed')} with "
        f"{words.count(found.labels)} labelled images. That is too few seeds for an interval.",
        f"This very model on the {words.count(len(dataset.test.ids))} test images, which neither tuning nor "
        f"training has seen: {words.percent(exported.accuracy)}.",
    ]
    if not recipe.whole:
        quality.append(
            f"It was trained on {words.count(n)} labelled images, more than were measured "
            f"({words.count(found.labels)}): it should be no worse."
        )
        curves, _ = label_curves(run.results[run.results["dataset"] == found.dataset], run.directory)
        for curve in curves:
            if curve.key[1:] == (chosen.backbone, chosen.weights, chosen.strategy) and n <= 4 * curve.n[-1]:
                ahead = curve.predict(n)
                quality.append(
                    f"By its learning curve: {words.percent(ahead.value)} ({words.percent(ahead.low)} to "
                    f"{words.percent(ahead.high)})."
                )
    elif math.isfinite(exported.difference):
        same = exported.difference <= AGREEMENT
        quality.append(
            "It agrees with the model that was measured: "
            f"its test probabilities differ by {exported.difference:.1g} on average."
            if same
            else "It is not the very model that was measured, though its recipe is the same: its test "
            f"probabilities differ by {exported.difference:.2g} on average, as after other rounding on other "
            "hardware or with other threads. The measured one had an accuracy of "
            f"{words.percent(exported.measured)}."
        )
    claim = {
        "floor": "It is no better than always answering with the most frequent class: do not use it.",
        "better": "It was better than all others that were asked for and keep to the constraints."
        if found.limited
        else "It was better than everything else tried.",
        "tied": "It was tied with the best tried, and the cheapest of them to train.",
        "incomplete": f"Provisional: {_md(absence(found.decision))}.",
        "alone": "Nothing else was tried, or kept to the constraints.",
        "undecided": "Provisional: what is best is undecided.",
        "provisional": "Provisional: nothing is claimed below three seeds.",
    }[found.decision.claim]
    recipe_lines = [
        f"{words.capital(words.strategy_name(cell.strategy))}: {recipe.strategy.summary}",
        f"Hyperparameters, those of seed {cell.seed}, which did best on its validation part: "
        + _md(", ".join(f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} = {v}"
                        for k, v in sorted(recipe.record.hyperparameters.items())) or "none"),
    ]  # fmt: skip
    recipe_lines += [
        f"Stage {place} ({_md(p.stage.name)}): {words.plural(p.epochs, 'epoch')} in batches of {p.batch_size}, "
        f"learning rate {p.stage.learning_rate:.3g} along a cosine of {words.plural(p.planned, 'epoch')}"
        + "".join(f", {_md(name)} = {getattr(p.stage, name)}" for name in p.fields)
        + "."
        for place, p in enumerate(recipe.stages, 1)
    ]
    if recipe.method:
        recipe_lines.append(
            "It learns from what the network makes of each image; the network itself stays as it was."
        )
    augmentation = "none" if recipe.method else cell.augmentation
    recipe_lines.append(
        f"Images of {cell.image_size} pixels ({RESIZINGS[cell.resizing]}), augmentation {augmentation}"
        f"{', mirrored too' if cell.flip and augmentation != 'none' else ''}."
    )
    counts = np.bincount(dataset.pool.labels, minlength=len(dataset.class_names))
    data = [
        f"{_md(words.clean(dataset.name, 80))}: {words.count(n)} labelled images for training, "
        f"{words.count(len(dataset.test.ids))} for testing only.",
        f"Fingerprint {dataset.fingerprint}; "
        + ("labels.csv lists the files." if files else "pixels: images.npz."),
        *(_md(words.clean(finding.text, 400)) for finding in dataset.warnings),
    ]
    fewest = int(counts.argmin())
    limits = [
        "It knows these classes only, and gives each image one of them, whatever the image shows.",
        "Its accuracy is that on images like the test images. On images from another source, camera or time it may "
        "be much lower: test it there.",
        f"The rarest class, {_md(words.clean(dataset.class_names[fewest], 60))}, has {words.count(counts[fewest])} "
        "labelled images; the report shows the accuracy of each class.",
        "Its probabilities are not calibrated; the report shows how sure it is and how often it is right.",
    ]
    if cell.weights not in ("", "none"):
        limits.append(f"It began with {_start(cell)}, whose licence and biases it inherits.")
    return _template(TEMPLATES, "card.md.j2").render(
        title=f"{_md(words.clean(dataset.name, 80))}: image classifier",
        sentence=f"{_md(words.capital(who(chosen)))} for {len(dataset.class_names)} classes. {claim}",
        facts=[
            ("file", "model.keras"),
            ("input", f"float32 (batch, {cell.image_size}, {cell.image_size}, 3), RGB, 0 to 255"),
            ("output", f"probabilities (batch, {len(dataset.class_names)})"),
            ("parameters", words.magnitude(chosen.params)),
            (
                "latency",
                f"{chosen.latency_ms:.3g} ms an image (one thread)"
                if math.isfinite(chosen.latency_ms)
                else "–",
            ),
            ("made with", f"keras {version('keras')}, {cell.backend} {version(cell.backend)}"),
        ],
        quality=quality,
        recipe=recipe_lines,
        data=data,
        classes=[
            (_md(words.clean(name, 80)), words.count(c))
            for name, c in zip(dataset.class_names, counts, strict=True)
        ],
        limits=limits,
        resizing_in_words=RESIZINGS[cell.resizing],
        files=bool(files),
        size=cell.image_size,
    )
