"""What running a cell gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.training.engine import Network
from bench.training.programs.config import State


@dataclass
class Outcome:
    """The fields of a cell's record, and what belongs to it.

    Attributes:
        fields: of ``bench.records.Record``.
        probabilities: of the test examples, float32 (N, classes).
        network, state: where it trained a network, that with its final weights.
        samples: pictures for the report, see ``strategies.base.Fitted``.
        arrays: to leave beside the record in place of probabilities, see ``Store.predictions``.
    """

    fields: dict[str, Any]
    probabilities: np.ndarray | None = None
    network: Network | None = None
    state: State | None = None
    samples: np.ndarray | None = None
    arrays: dict[str, np.ndarray] | None = None


def skipped(sizes: dict[str, Any], reason: str) -> Outcome:
    """That of a cell whose strategy says that it cannot run."""
    return Outcome({"status": "skipped", **sizes, "error": {"type": "skipped", "message": reason}})


def not_finite(sizes: dict[str, Any], fields: dict[str, Any], error: ArithmeticError) -> Outcome:
    """That of a cell of which no trial, or not the refit, had a finite loss."""
    problem = {"type": "NotFinite", "message": str(error)}
    return Outcome({"status": "failed", **sizes, **fields, "error": problem})
