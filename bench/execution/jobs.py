"""What a parent asks of a worker, and what it hears back.

A job names its handler, a function that a worker imports when it is asked for: this room imports none of them. A
handler is called with the worker's ``Place`` and the job's fields by name; what it returns is the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from bench.records import Cell


@dataclass(frozen=True)
class Job:
    """Something that a worker is asked to do."""

    handler: ClassVar[str]
    """``module:function``."""

    def wire(self) -> dict[str, Any]:
        """As JSON on its way to the worker."""
        return {"handler": self.handler, "fields": asdict(self)}


@dataclass(frozen=True)
class Ready(Job):
    """Load Keras."""

    handler = "bench.training.workplace:ready"


@dataclass(frozen=True)
class RunCell(Job):
    """Run a cell; the answer is the fields of its record.

    Attributes:
        cell: the fields of the cell.
        inference_ms: latency of its network, measured apart; None if it has none.
        predictions: the file to leave arrays in; pictures lie beside it.
        after: called after a cell that is ok, as ``module:function``; empty: nothing is.
        folder: what it is given.
    """

    handler = "bench.protocols.worker:run_cell"

    cell: dict[str, Any]
    inference_ms: float | None
    predictions: str
    after: str = ""
    folder: str = ""


@dataclass(frozen=True)
class MeasureLatency(Job):
    """Measure a whole network with batches of one; the answer has ``milliseconds``.

    Attributes:
        backbone, weights, precision: of the network.
        modality, size: of its inputs.
        head: fields of ``HeadConfig``.
        lengths: see ``TimeBatches``.
    """

    handler = "bench.training.latency:measure"

    backbone: str
    weights: str
    modality: str
    size: int
    precision: str
    head: dict[str, Any]
    lengths: tuple[int, ...] = ()


@dataclass(frozen=True)
class TimeBatches(Job):
    """Time a few batches of a network; the answer has the fields of ``bench.runs.reckoning.Timing``.

    Attributes:
        backbone, precision: of the network; its weights change no time.
        modality, size: of its inputs.
        pooling: of its features.
        batches: sizes of the batches that are trained on.
        lengths: of a ragged axis, of one example and of a batch; empty: no axis is ragged.
    """

    handler = "bench.training.timing:measure"

    backbone: str
    modality: str
    size: int
    precision: str
    pooling: str
    batches: tuple[int, ...]
    lengths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rank(Job):
    """Score a backbone without training, see ``bench.ranking.worker.rank``.

    Attributes:
        dataset: its spec, with the ``fingerprint`` that it had.
        backbone: its architecture, with its ``weights`` and their ``weights_sha256``.
        modality: of its examples.
        input: how they become rows, by the plan's keys.
        pooling: of its features.
        images: labelled examples to look at, at most.
        groups: see ``open_dataset``.
    """

    handler = "bench.ranking.worker:run"

    dataset: str
    fingerprint: str
    backbone: str
    weights: str
    weights_sha256: str
    modality: str
    input: dict[str, Any]
    pooling: str
    images: int
    groups: str = "none"


@dataclass(frozen=True)
class Fetch(Job):
    """Have Keras find or download ImageNet weights, see ``bench.backbones.fetch``."""

    handler = "bench.backbones.fetch:asked"

    backbone: str
    size: int
    download: bool


@dataclass(frozen=True)
class Message:
    """What a worker says: ``tick`` while it works, ``log`` for its parent's log, then an ``answer``, ``failed``
    with a ``reason``, or ``unstored`` with one. ``gone``, with the fields of a record, is said for a worker that
    no longer can."""

    kind: Literal["tick", "log", "answer", "failed", "unstored", "gone"]
    content: dict[str, Any]

    @property
    def ends(self) -> bool:
        """Whether its job is over."""
        return self.kind != "tick"


@dataclass(frozen=True)
class Event:
    """Something to show: ``started``, ``tick``, ``note`` or ``ended``, of the worker ``worker``."""

    kind: str
    worker: int
    text: str
    cell: Cell | None = None


@dataclass
class Place:
    """What a worker has between jobs.

    Attributes:
        threads: that its Keras backend computes with.
        tick: called with a short text of what is being done.
        kept: by name, what handlers keep for later jobs.
    """

    threads: int
    tick: Callable[[str], None]
    kept: dict[str, Any] = field(default_factory=dict)


class Unstored(Exception):
    """What a cell leaves beside its record cannot be written."""
