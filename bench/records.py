"""Cells and records: the unit of work and what became of it, as plain data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar, Literal, get_args

from bench.errors import NewerRecord, RecordError
from bench.system.files import digest
from bench.system.names import titled

PROTOCOL_VERSION = 2
"""Raised whenever the same cell would give other numbers than before."""

SCHEMA_VERSION = 5
"""Raised whenever the layout of a record changes; older layouts still load."""

Status = Literal["ok", "skipped", "failed", "oom", "timeout", "killed", "crashed"]
STATUSES: tuple[str, ...] = get_args(Status)
FINAL = frozenset({"ok", "skipped"})
"""Never run again."""
AGAIN = frozenset({"killed", "crashed"})
"""Run again once within a run, and again on every resume; the rest only with ``--retry``."""


@dataclass(frozen=True)
class Cell:
    """One (strategy, backbone, dataset, fraction, seed) with its tuning.

    ``identity`` holds everything that can change a number, ``id`` is its hash. ``dataset`` and
    ``dataset_name`` only say where the data lie and how to call them: the fingerprint is what counts. So it is with
    those of the source.
    """

    strategy: str
    strategy_version: int
    dataset: str
    dataset_name: str
    fingerprint: str
    modality: str
    backbone: str
    """Architecture and options without weights (``MobileNet:alpha=0.25``); empty if none is used."""
    weights: str
    """``imagenet``, ``none``, a path, or ``source:`` and a path; empty if no weights are used."""
    weights_sha256: str
    fraction: float
    seed: int
    image_size: int
    resizing: str
    augmentation: str
    flip: bool
    epochs: int
    batch_size: int
    threads: int
    head: dict[str, Any]
    tuning: dict[str, Any]
    backend: str = "tensorflow"
    precision: str = "float32"
    protocol_version: int = PROTOCOL_VERSION
    plugins: dict[str, str] = field(default_factory=dict)
    """What of it other packages give, see ``protocols.cells.used``: other code is another cell."""
    source_dataset: str = ""
    """The labelled dataset of another domain that is learned from too; empty if none is."""
    source_name: str = ""
    source_fingerprint: str = ""
    source_groups: str = ""
    """What makes images of both one group, see ``bench.datasets.companions.source.SourceDomain``."""
    few_shot: dict[str, Any] = field(default_factory=dict)
    """In the few-shot protocol: ways, shots, episodes, queries; see ``bench.plans.plan.FewShot``. Else empty."""
    auxiliary_columns: dict[str, str] = field(default_factory=dict)
    """Columns of the manifest that are learned beside the label, with their fingerprints."""
    auxiliary_dataset: str = ""
    """The dataset with classes of its own that is learned beside it; empty if none is."""
    auxiliary_name: str = ""
    auxiliary_fingerprint: str = ""
    auxiliary_groups: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("dataset", "dataset_name", "source_dataset", "source_name"):
            del content[name]
        for name in ("source_fingerprint", "source_groups", "few_shot"):
            if not content[name]:
                del content[name]  # a cell without them is what it was before there were any
        for name in ("auxiliary_dataset", "auxiliary_name"):
            del content[name]
        for name in ("auxiliary_columns", "auxiliary_fingerprint", "auxiliary_groups"):
            if not content[name]:
                del content[name]
        if not self.plugins:
            del content["plugins"]
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
        labels = "few-shot" if self.few_shot else f"{self.fraction * 100:g}%"
        return f"{self.strategy}{backbone} {self.dataset_name} {labels} seed {self.seed}"


@dataclass
class Record:
    """What became of a cell. Numbers are raw; ``None`` stands for what was not measured."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    cell_id: str
    cell: dict[str, Any]
    status: Status
    n: int | None = None
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    n_source: int | None = None
    """Labelled images of the source dataset that the refit had. Since schema 4."""
    n_auxiliary: int | None = None
    """Auxiliary labels that the refit had, of all auxiliary tasks together. Since schema 4."""
    metrics: dict[str, float] = field(default_factory=dict)
    """accuracy, balanced_accuracy, macro_f1, log_loss (nats), ece: on the test set. In the few-shot protocol:
    verification_auc."""
    costs: dict[str, float | None] = field(default_factory=dict)
    """tune_seconds, fit_seconds, prefix_seconds, total_seconds, wall_seconds, inference_ms_per_image, params,
    trainable_params, peak_memory_mb."""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    """Those of the refit."""
    batch_size: int | None = None
    """Of the second run of a cell that had run out of memory; None: the cell's own. Since schema 2."""
    epochs: int | None = None
    """The epoch that the last stage of the winning trial kept, its best or its last; the refit trained as long."""
    trials: list[dict[str, Any]] = field(default_factory=list)
    """One a trial: trial, status (ok | diverged), hyperparameters, epoch_limit (of its last stage), score,
    val_accuracy, val_log_loss, epochs, seconds."""
    curves: list[dict[str, Any]] = field(default_factory=list)
    """One a point: run (search: the winning trial | refit), stage, epoch (0: before the first step),
    images (seen so far, all stages), seconds (so far), and train_loss, train_accuracy, val_loss, val_accuracy
    where they exist."""
    similarity: list[dict[str, Any]] = field(default_factory=list)
    """Of a tuned pretrained backbone, one an end of a block from the input upward: block, depth (share of the
    layers with weights that lie below), cka (linear, between its output before and after tuning; on up to 256
    training images). Since schema 3."""
    episodes: list[dict[str, Any]] = field(default_factory=list)
    """In the few-shot protocol, one a setting: ways, shots, scope (``all``, or ``within`` a superclass), accuracy
    (mean over episodes) and deviation (between episodes). Since schema 5."""
    error: dict[str, str] | None = None
    """type, message and, of an exception, traceback; of a skipped cell, the reason as message."""
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Record:
        """A record from its JSON text.

        Raises:
            RecordError: the text is no record, or one of a newer schema.
        """
        try:
            # Strict, but in JSON's own terms, where an object may stand for a dataclass.
            record: Record = _validator().validate_json(text, strict=True)
            Cell(**record.cell)
        except (TypeError, ValueError) as error:
            cls._refuse_newer(text, where)
            reason = "; ".join((str(error) or repr(error)).splitlines()[1:3]) or repr(error)
            raise RecordError(f"{where}: not a record of a cell ({reason})") from None
        if record.schema_version > SCHEMA_VERSION:
            cls._refuse_newer(text, where)
        return record

    @staticmethod
    def _refuse_newer(text: str | bytes, where: str) -> None:
        try:
            version = json.loads(text)["schema_version"]
            newer = isinstance(version, int) and version > SCHEMA_VERSION
        except (KeyError, TypeError, ValueError):
            return
        if newer:
            raise NewerRecord(
                f"{where}: schema version {version} is newer than this program's {SCHEMA_VERSION}. "
                "Update transfer-bench, or use another run directory."
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@cache
def _validator() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Record)
