"""Cells and records: the unit of work and what became of it, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Annotated, Any, Literal, get_args

from annotated_types import Interval

from bench.errors import NewerRecord, RecordError
from bench.schemas import (
    AtLeastOne,
    Block,
    Companions,
    Costs,
    Count,
    Episodes,
    Failure,
    Metrics,
    Plugins,
    Points,
    Provenance,
    Settings,
    Shape,
    Share,
    Text,
    Threads,
    Trial,
    held,
    parsed,
    shape_of,
)
from bench.system.files import digest
from bench.system.names import titled

PROTOCOL_VERSION = 4
"""Raised whenever the same cell would give other numbers than before."""

STEPS_SINCE = 3
"""The protocol version since which training is counted in steps and every stage is trained to its end."""

SCHEMA_VERSION = 10
"""Raised whenever the layout of a record changes; older layouts still load."""

Status = Literal["ok", "skipped", "failed", "oom", "timeout", "killed", "crashed"]
STATUSES: tuple[str, ...] = get_args(Status)
FINAL = frozenset({"ok", "skipped"})
"""Never run again."""
AGAIN = frozenset({"killed", "crashed"})
"""Run again once within a run, and again on every resume; the rest only with ``--retry``."""

FRACTIONS = "fractions"
"""The protocol that a cell has unless it says otherwise."""

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "auroc", "mean_average_precision", "micro_f1"]
ACCURACY: Metric = "accuracy"
"""The metric that decides unless a plan says otherwise."""
TaskName = Literal["single_label", "multi_label"]
SINGLE_LABEL: TaskName = "single_label"
"""One class for each example."""
MULTI_LABEL: TaskName = "multi_label"
"""Any number of labels for each example, see ``bench.tasks``."""
ClassWeight = Literal["none", "balanced"]

Groups = Literal["none", "auto"]
"""Which groups keep examples together where a dataset gives none: see ``bench.datasets.file_groups``."""

LATER: dict[str, Any] = {
    "metric": ACCURACY,
    "class_weight": "none",
    "length": 1.0,
    "groups": "none",
    "task": SINGLE_LABEL,
}
"""Settings of cells and plans that came later, with their defaults: without them each is what it was."""

WHERE = ("dataset", "name")
"""Keys of a companion that do not identify it."""

_FLAT_INPUT = ("image_size", "resizing", "augmentation", "flip")
_FLAT_COMPANIONS = {
    "source": ("dataset", "name", "fingerprint", "groups"),
    "auxiliary": ("columns", "dataset", "name", "fingerprint", "groups"),
}
"""Fields of a cell until schema 5, each with the name of its kind before it."""


@dataclass(frozen=True)
class Cell:
    """One (strategy, backbone, dataset, fraction, seed) with its tuning.

    ``identity`` holds everything that can change a number, and ``id`` is its hash. ``dataset`` and ``dataset_name``
    only say where the data lie and what they are called: the fingerprint is what counts. The same holds for
    ``dataset`` and ``name`` of a companion.
    """

    strategy: Text
    """Name, with the hyperparameters that were given."""
    strategy_version: Count
    """Version of the strategy's code."""
    dataset: Text
    """Where the data lie."""
    dataset_name: Text
    """Name of the dataset in tables and reports."""
    fingerprint: Text
    """Hash of the images, labels and splits."""
    modality: Text
    """The kind of example: ``image``."""
    backbone: Text
    """Architecture and options without weights (``MobileNet:alpha=0.25``). Empty if none is used."""
    weights: Text
    """``imagenet``, ``none``, a path, or ``source:`` and a path. Empty if no weights are used."""
    weights_sha256: Text
    """Hash of the weights."""
    fraction: Share
    """Share of the labelled pool."""
    seed: Count
    """Seed of the repetition."""
    examples: Annotated[dict[str, Any], Shape(Settings)]
    """How an example becomes an input and is augmented, by the plan's keys of its modality."""
    epochs: AtLeastOne
    """The plan's ``epochs``."""
    batch_size: AtLeastOne
    """The plan's ``batch_size``."""
    threads: Threads
    """Training threads."""
    head: Annotated[dict[str, Any], Shape(Settings)]
    """The plan's section ``head``."""
    tuning: Annotated[dict[str, Any], Shape(Settings)]
    """The plan's section ``tuning``."""
    length: Annotated[float, Interval(gt=0, le=100)] = 1.0
    """Share of each strategy's own training length. Since schema 7."""
    backend: Text = "tensorflow"
    """The backend of Keras."""
    precision: Text = "float32"
    """Precision of the activations."""
    protocol_version: Count = PROTOCOL_VERSION
    """Raised whenever the same cell would give other numbers."""
    plugins: Annotated[dict[str, str], Shape(Plugins)] = field(default_factory=dict)
    """Versions of the plug-ins that it uses, see ``protocols.cells.used``. Other code is another cell."""
    protocol: Text = FRACTIONS
    """``fractions`` or ``few-shot``."""
    protocol_settings: Annotated[dict[str, Any], Shape(Settings)] = field(default_factory=dict)
    """The plan's section of a protocol other than ``fractions``."""
    metric: Annotated[str, Shape(Metric)] = ACCURACY
    """The metric that decides, on validation and in the report, see ``tasks.single_label.example_weights``."""
    class_weight: Annotated[str, Shape(ClassWeight)] = "none"
    """How classes weigh in training, see ``strategies.class_weight``."""
    groups: Annotated[str, Shape(Groups)] = "none"
    """Which groups splits keep together, see ``datasets.file_groups``. Since schema 8."""
    task: Annotated[str, Shape(TaskName)] = SINGLE_LABEL
    """Kind of labels: one class for each example, or any number of them, see ``tasks``. Since schema 10."""
    companions: Annotated[dict[str, dict[str, Any]], Shape(Companions)] = field(default_factory=dict)
    """Further data to learn from, by kind, see ``datasets.companions``. ``dataset`` and ``name`` say where it lies
    and what it is called. All else identifies it."""

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Cell:
        """A cell from the fields of a record, also of one that is older than schema 6.

        Raises:
            TypeError: these are not the fields of a cell.
        """
        return cls(**_nested(fields))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that can change a number. What a cell does not use is not there: it is the cell that it was
        before there was such a thing."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("dataset", "dataset_name"):
            del content[name]
        content |= content.pop("examples")
        for kind, stamp in content.pop("companions").items():
            content |= {f"{kind}_{key}": stamp[key] for key in stamp if key not in WHERE}
        protocol, settings = content.pop("protocol"), content.pop("protocol_settings")
        if protocol != FRACTIONS:
            content[protocol.replace("-", "_")] = settings
        if not self.plugins:
            del content["plugins"]
        for name in [name for name, default in LATER.items() if content[name] == default]:
            del content[name]
        if self.weights_sha256:
            del content["weights"]  # one file is one source, wherever it lies
        return content

    @cached_property
    def id(self) -> str:
        """16 hexadecimal characters."""
        return digest(self.identity)

    @property
    def label(self) -> str:
        """A short text for people: ``full_finetune MobileNet:alpha=0.25 10% seed 0``."""
        backbone = f" {titled(self.backbone, self.weights)}" if self.backbone else ""
        labels = f"{self.fraction * 100:g}%" if self.protocol == FRACTIONS else self.protocol
        return f"{self.strategy}{backbone} {self.dataset_name} {labels} seed {self.seed}"


@dataclass
class Record:
    """What became of a cell. Numbers are raw; ``None`` stands for what was not measured."""

    cell_id: Text
    cell: dict[str, Any]
    status: Status
    n: Count | None = None
    n_train: Count | None = None
    n_val: Count | None = None
    n_test: Count | None = None
    n_source: Count | None = None
    """Labelled examples of the source dataset that the refit had. Since schema 4."""
    n_auxiliary: Count | None = None
    """Auxiliary labels that the refit had, of all auxiliary tasks together. Since schema 4."""
    metrics: Annotated[dict[str, float], Shape(Metrics)] = field(default_factory=dict)
    """accuracy, balanced_accuracy, macro_f1, auroc (where it is defined; since schema 7), log_loss (nats), ece: on
    the test set. With many labels: mean_average_precision, macro_f1, micro_f1, auroc, label_accuracy, log_loss, ece
    (since schema 10). In the few-shot protocol: verification_auc and, since schema 9, verification_eer,
    verification_false_accepts and verification_false_rejects."""
    costs: Annotated[dict[str, float | None], Shape(Costs)] = field(default_factory=dict)
    """tune_seconds, fit_seconds, prefix_seconds, total_seconds, wall_seconds, inference_ms_per_image, params,
    trainable_params, peak_memory_mb."""
    hyperparameters: Annotated[dict[str, Any], Shape(Settings)] = field(default_factory=dict)
    """Those of the refit."""
    batch_size: AtLeastOne | None = None
    """Of the second run of a cell that had run out of memory; None: the cell's own. Since schema 2."""
    epochs: Count | None = None
    """Epochs of the last stage of the chosen trial. Until protocol version 2 the best of them, to which the refit
    trained."""
    steps: Count | None = None
    """Optimizer steps of the refit's last stage. Since schema 7."""
    trials: Annotated[list[dict[str, Any]], Shape(list[Trial])] = field(default_factory=list)
    """One a trial: trial, status (ok | diverged), hyperparameters, length (the share of the strategy's own), chosen
    (whether the refit has its hyperparameters), score, val_accuracy, val_class_accuracy (None for a class that no
    example validates; since schema 8), val_log_loss, val_threshold (few-shot: the squared distance at the equal
    error rate of held-out classes; since schema 9), epochs, steps, seconds. Until schema 6 epoch_limit in place of
    length, and the best score was chosen."""
    curves: Annotated[list[dict[str, Any]], Shape(Points)] = field(default_factory=list)
    """One a point: run (search: the chosen trial | refit), stage, epoch (0: before the first step),
    images (seen so far, all stages), seconds (so far), and train_loss, train_accuracy, val_loss, val_accuracy
    where they exist."""
    similarity: Annotated[list[dict[str, Any]], Shape(list[Block])] = field(default_factory=list)
    """Of a tuned pretrained backbone, one an end of a block from the input upward: block, depth (share of the
    layers with weights that lie below), cka (linear, between its output before and after tuning; on up to 256
    training examples). Since schema 3."""
    feature_map: list[Count] = field(default_factory=list)
    """The extent of the backbone's last feature map, of images its rows and columns; empty without one. Since
    schema 7."""
    episodes: Annotated[list[dict[str, Any]], Shape(list[Episodes])] = field(default_factory=list)
    """In the few-shot protocol, one a setting: ways, shots, scope (``all``, or ``within`` a superclass), accuracy
    (mean over episodes) and deviation (between episodes). Since schema 5."""
    error: Annotated[dict[str, str] | None, Shape(Failure | None)] = None
    """type, message and, of an exception, traceback; of a skipped cell, the reason as message."""
    warnings: list[Text] = field(default_factory=list)
    provenance: Annotated[dict[str, Any], Shape(Provenance)] = field(default_factory=dict)
    predictions_sha256: Text | None = None
    """Of the file with its predictions; None if it has none. Since schema 8."""
    schema_version: Count = SCHEMA_VERSION

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Record:
        """A record from its JSON text.

        Raises:
            RecordError: the text is no record, or one of a newer schema.
        """
        try:
            content = parsed(text, dict[Text, Any], "")
            if isinstance(version := content.get("schema_version"), int) and version > SCHEMA_VERSION:
                raise NewerRecord(
                    f"{where}: schema version {version} is newer than this program's {SCHEMA_VERSION}. "
                    "Update transfer-bench, or use another run directory."
                )
            held(content, _record_shape(), "")
            held(cell := _nested(content["cell"]), _cell_shape(), "cell")
            record = cls(**{**content, "cell": asdict(Cell(**cell))})
            record._check()
        except NewerRecord:
            raise
        except RecordError as error:
            raise RecordError(f"{where}: not a record of a cell ({error})") from None
        return record

    def _check(self) -> None:
        """Refuses what no cell can have left.

        Raises:
            RecordError: two fields do not go together.
        """
        current = (self.schema_version, self.cell["protocol_version"]) == (SCHEMA_VERSION, PROTOCOL_VERSION)
        if current and self.cell_id != (own := Cell(**self.cell).id):
            raise RecordError(f"cell_id must be {own!r}, as its cell has (got {self.cell_id!r})")
        metric = self.cell["metric"]
        if self.status == "ok" and self.cell["protocol"] == FRACTIONS and metric not in self.metrics:
            raise RecordError(f"metrics must hold {metric} (got {sorted(self.metrics)})")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _nested(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a cell as they are since schema 6."""
    if "examples" in fields:
        return fields
    cell = dict(fields)
    cell["examples"] = {key: cell.pop(key) for key in _FLAT_INPUT if key in cell}
    found = {
        kind: {key: value for key in keys if (value := cell.pop(f"{kind}_{key}", None))}
        for kind, keys in _FLAT_COMPANIONS.items()
    }
    cell["companions"] = {kind: stamp for kind, stamp in found.items() if stamp.keys() - WHERE}
    if settings := cell.pop("few_shot", None):
        cell |= {"protocol": "few-shot", "protocol_settings": settings}
    return cell


@cache
def _record_shape() -> Any:
    return shape_of(Record)


@cache
def _cell_shape() -> Any:
    return shape_of(Cell)
