"""What train.py says: plain Keras that does what the protocol's refit does, with the same random numbers."""

from __future__ import annotations

import dataclasses
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.export.inputs import writer_of
from bench.commands.export.recipe import PlannedStage, Recipe
from bench.commands.export.spelled import TEMPLATES
from bench.modalities.registry import modality, size_of
from bench.records import MULTI_LABEL, SINGLE_LABEL
from bench.system import backend
from bench.system.names import titled
from bench.system.templates import Verbatim, comment, template
from bench.tasks.registry import TASKS
from reports import words
from strategies.base import Stage
from strategies.on_features import SMALLEST_DEVIATION, OnFeatures

if TYPE_CHECKING:
    from bench.backbones.cuts import Cut
    from bench.training.engine import Network


LABELS: dict[str, str] = {
    SINGLE_LABEL: "(N,), indices into CLASSES",
    MULTI_LABEL: "(N, len(CLASSES)), 0 and 1",
}
"""What the labels that train.py reads are, by task."""


def train_py(recipe: Recipe, folder: Path, files: Path | None) -> str:
    """The code of a recipe; a backbone that it cannot build in one call is saved beside it, in ``folder``."""
    return template(TEMPLATES, f"train_{recipe.dataset.modality}.py.j2").render(
        **_settings(recipe),
        **_schedule(recipe),
        **writer_of(recipe).describe_input(recipe, files),
        **_network(recipe),
        **_backbone(recipe, folder),
    )


def _settings(recipe: Recipe) -> dict[str, Any]:
    """What the templates say of the process and of what is learned."""
    cell, classes = recipe.cell, list(recipe.dataset.class_names)
    method = words.capital(words.strategy_name(cell.strategy))
    return {
        "about": comment(
            f"{method} of {titled(cell.backbone, '')} for {len(classes)} {recipe.dataset.task.told}."
        ),
        "labels_in_words": comment(LABELS[cell.task]),
        "version": comment(version("transfer-bench")),
        "backend": comment(cell.backend),
        "environment": list(backend.environment(cell.backend, cell.threads).items()),
        "threads_variable": comment(backend.THREADS[cell.backend]),
        "seed": cell.seed,
        "noun": {"one": comment(recipe.noun.one), "many": comment(recipe.noun.many)},
        "classes": classes,
        "method": recipe.method,
        "values": recipe.record.hyperparameters,
        "balanced": cell.class_weight == "balanced",
    }


# --- stages ---------------------------------------------------------------------------------------------------


def _schedule(recipe: Recipe) -> dict[str, Any]:
    """What the templates say of the stages, and of all of them together."""
    from bench.training.programs import optimizer

    stages = recipe.stages
    cuts = {planned.stage.cut for planned in stages}
    set_fields = {name for planned in stages for name in planned.fields}
    return {
        "stages": [_described(place, planned, recipe.network) for place, planned in enumerate(stages)],
        "fields": [field.name for field in dataclasses.fields(Stage) if field.name in set_fields],
        "has_prefix": bool(cuts - {"input"}),
        "has_input_stage": "input" in cuts,
        "has_statistics": any(planned.stage.batch_norm == "trained" for planned in stages),
        "label_smoothing": TASKS[recipe.cell.task].label_smoothing,
        "many_labels": TASKS[recipe.cell.task].activation == "sigmoid",
        "typical_rms": optimizer.TYPICAL_RMS,
        "smallest_rms": optimizer.SMALLEST_RMS,
        "clip_norm": optimizer.CLIP_NORM,
    }


def _described(place: int, planned: PlannedStage, network: Network) -> dict[str, Any]:
    """What the templates say of a stage: its fields, and where it lies in the network."""
    stage = planned.stage
    return {
        **dataclasses.asdict(stage),
        "fields": planned.fields,
        "cut": stage.cut if isinstance(stage.cut, str) else "block",
        "standardises": place == 0,
        "trains_batch_norm": stage.batch_norm == "trained",
        "epochs": planned.epochs,
        "batch_size": planned.batch_size,
        **_located(stage, network),
    }


def _located(stage: Stage, network: Network) -> dict[str, Any]:
    """Which part of the network a stage trains."""
    from bench.training.programs.fused import STEPS_A_CALL

    cut = network.cut(stage.cut)
    if cut is None:
        many = modality(network.spec.modality).noun.many
        text = f"The head alone, on what the frozen network makes of the {many}."
        return {"comment": comment(text), "at_once": STEPS_A_CALL}
    end = network.cuts[min(network.cuts.index(cut) + stage.blocks, len(network.cuts) - 1)]
    content = {"at_once": 1, "end": _tensors(network, end), "end_names": _names(network, end)}
    if stage.cut == "input":
        names = {"network": Verbatim("backbone"), "start": Verbatim("backbone.input")}
        return content | names | {"comment": comment("The whole network.")}
    return content | {
        "comment": comment("The upper blocks and the head; what lies below stays frozen."),
        "network": Verbatim("above"),
        "border": _tensors(network, cut),
        "border_names": _names(network, cut),
        "start": Verbatim("border"),
    }


# --- network --------------------------------------------------------------------------------------------------


def _network(recipe: Recipe) -> dict[str, Any]:
    """What the templates say of where features are taken from, and of the head."""
    from bench.training.programs.graph import features_of
    from strategies.knn import TEMPERATURE

    network, head = recipe.network, recipe.head
    drops = any(hasattr(layer, "seed_generator") for layer in network.model.layers)
    return {
        "block_ends": _block_ends(network),
        "all_layers": isinstance(recipe.strategy, OnFeatures) and recipe.strategy.layers == "all",
        "map_ends": [
            _operation(network, tensor)
            for cut in network.cuts[1:]
            for tensor in cut.tensors
            if len(tensor.shape) == len(features_of(network.model.outputs).shape)
        ],
        "hidden_units": head["hidden_units"],
        "head_dropout": head["dropout"],
        "dropout": drops or bool(head["dropout"]),
        "smallest_deviation": SMALLEST_DEVIATION,
        "temperature": TEMPERATURE,
    }


def _backbone(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What the templates say of the backbone; one that Keras does not build in one call goes to a file."""
    random = bool(recipe.stages) and recipe.stages[0].stage.weights == "random"
    content = {
        "backbone_title": comment(
            titled(recipe.cell.backbone, "") + (" with random weights" if random else "")
        ),
        "random_weights": random,
    }
    if _is_application(recipe, random):
        return content | {"backbone_file": ""} | writer_of(recipe).describe_backbone(recipe)
    _with_own_names(_start(recipe, random)).save(folder / "backbone.keras")
    return content | {"backbone_file": "backbone.keras"}


def _is_application(recipe: Recipe, random: bool) -> bool:
    """Whether one call of ``keras.applications`` gives the backbone and its weights."""
    from bench.backbones.plugin import MODULE

    spec = recipe.network.spec
    module = spec.info.module
    if spec.hears or module in ("conv4", "efficientnet_lite", MODULE):
        return False
    return recipe.network.weights.kind == "imagenet" or (random and module != "efficientnet")


def _start(recipe: Recipe, random: bool) -> Any:
    """The backbone as training begins with it."""
    import keras

    from bench.backbones.build import build_backbone
    from bench.backbones.weights import Weights

    if not random:
        return recipe.network.model
    keras.backend.clear_session()
    keras.utils.set_random_seed(recipe.cell.seed)
    size = size_of(recipe.cell.examples, recipe.cell.modality)
    return build_backbone(recipe.network.spec, size, Weights("none", "", None))


def _with_own_names(model: Any) -> Any:
    """The model, with operations named so that those which train.py adds cannot have the same names.

    Keras numbers names by process, so where a model is loaded it begins anew. Layers have names of their own.
    """
    import keras

    for operation in model.operations:
        if not isinstance(operation, keras.layers.Layer):
            operation.name = f"backbone_{operation.name}"
    return model


def _operations(network: Network, cut: Cut) -> list[int]:
    """The places among the backbone's operations of those that make what crosses a cut."""
    return [_operation(network, tensor) for tensor in cut.tensors]


def _operation(network: Network, tensor: Any) -> int:
    return int(network.model.operations.index(tensor._keras_history.operation))


def _block_ends(network: Network) -> Verbatim:
    """The operations that make what crosses each cut, as code of several lines."""
    ends = ", ".join(str(_operations(network, cut)) for cut in network.cuts[1:])
    return Verbatim("\n        ".join(textwrap.wrap(ends, 95)))


def _tensors(network: Network, cut: Cut) -> Verbatim:
    """What crosses a cut, as code."""
    return Verbatim(", ".join(f"backbone.operations[{i}].output" for i in _operations(network, cut)))


def _names(network: Network, cut: Cut) -> Verbatim:
    """The layers that make what crosses a cut."""
    return comment(", ".join(network.model.operations[i].name for i in _operations(network, cut)))
