"""Whether a ranking of backbones agrees with what a run has measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.backbones.spec import parse_backbone
from bench.errors import BenchError, RequestError
from bench.plans.protocol import protocol
from bench.ranking.ranking import BASELINES, DECIDES, SCORES, Ranking
from bench.records import FRACTIONS, Record
from bench.runs.results import Run, load
from bench.store import Store

FEWEST = 3
"""Backbones below which no correlation is given."""
BEST = "best"
"""Stands for the best strategy of each backbone."""
PROBE = "feature_extraction"
"""The strategy whose accuracy the ridge probe predicts."""


@dataclass(frozen=True)
class Correlation:
    """How a column of the ranking orders backbones, compared with their measured accuracy.

    Attributes:
        strategy: whose accuracy; ``best``: that of the best strategy of each backbone.
        column: of ``bench.ranking.ranking.COLUMNS``.
        backbones: how many were compared.
        weighted_tau: Kendall's, in which the top counts most (Vigna 2015, arXiv:1404.3325).
        spearman: Spearman's. Both in [-1, 1]; None: too few backbones, or all equal.
    """

    strategy: str
    column: str
    backbones: int
    weighted_tau: float | None
    spearman: float | None


@dataclass(frozen=True)
class Agreement:
    """A ranking beside a run.

    Attributes:
        run: its directory.
        remarks: what keeps the two from being the same measurement, a sentence each.
        accuracies: measured accuracy by strategy and backbone: the mean over seeds, with the most labels.
        correlations: of each column with each strategy.
        probe_error: mean absolute difference between the predicted accuracy of a probe and that of
            feature extraction; None where there is none.
    """

    run: str
    remarks: tuple[str, ...]
    accuracies: dict[str, dict[str, float]]
    correlations: tuple[Correlation, ...]
    probe_error: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find_run(ranking: Ranking, directory: Path | None = None, runs: Path = Path("runs")) -> Run | None:
    """The run to compare a ranking with.

    Args:
        ranking: of a dataset.
        directory: the run directory; default: the run in ``runs`` on the same examples, of the same size, with the
            most backbones of the ranking.
        runs: a folder of run directories.

    Raises:
        RequestError: ``directory`` holds no run on this dataset.
    """
    if directory is not None:
        run = load(directory)
        if not any(
            record.cell["fingerprint"] == ranking.fingerprint
            and protocol(record.cell["protocol"]).shares_labels
            for record in run.records
        ):
            expected = f"a run on the dataset {ranking.name}, of the protocol {FRACTIONS}"
            raise RequestError("against", str(directory), expected)
        return run
    found: list[tuple[int, str, Run]] = []
    for path in sorted(runs.glob("*/run.json")):
        if ranking.fingerprint not in Store(path.parent).read_run().get("datasets", {}):
            continue
        try:
            run = load(path.parent)
        except BenchError:
            continue
        if not _remarks(ranking, run):
            common = {name for accuracies in _measured(ranking, run).values() for name in accuracies}
            found.append((len(common), str(path), run))
    count, _, best = max(found, key=lambda item: item[:2], default=(0, "", None))
    return best if count else None


def agreement(ranking: Ranking, run: Run) -> Agreement:
    """Compares a ranking with the accuracies of a run."""
    measured = _measured(ranking, run)
    predicted = {ranked.backbone: ranked for ranked in ranking.backbones}
    correlations = []
    for strategy, accuracies in measured.items():
        for column in (*SCORES, *BASELINES):
            pairs = [
                (value, accuracy)
                for backbone, accuracy in accuracies.items()
                if (value := predicted[backbone].value(column)) is not None
            ]
            correlations.append(Correlation(strategy, column, len(pairs), *rank_correlations(pairs)))
    errors = [
        abs(value - accuracy)
        for backbone, accuracy in measured.get(PROBE, {}).items()
        if (value := predicted[backbone].scores[DECIDES]) is not None
    ]
    return Agreement(
        run=str(run.directory),
        remarks=tuple(_remarks(ranking, run)),
        accuracies=measured,
        correlations=tuple(correlations),
        probe_error=float(np.mean(errors)) if errors else None,
    )


def rank_correlations(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Weighted tau and Spearman's rho of (score, accuracy); None each with too few pairs or all equal."""
    from scipy import stats

    scores, accuracies = zip(*pairs, strict=True) if pairs else ((), ())
    if len(pairs) < FEWEST or len(set(scores)) < 2 or len(set(accuracies)) < 2:
        return None, None

    def finite(of: Callable[..., Any]) -> float | None:
        value = float(of(scores, accuracies).statistic)
        return value if math.isfinite(value) else None

    return finite(stats.weightedtau), finite(stats.spearmanr)


def _measured(ranking: Ranking, run: Run) -> dict[str, dict[str, float]]:
    """Mean accuracy by strategy and backbone of the ranking, each strategy with its most labels."""
    ranked = {parse_backbone(r.backbone): r.backbone for r in ranking.backbones}
    records = [
        r
        for r in run.records
        if r.status == "ok"
        and r.cell["fingerprint"] == ranking.fingerprint
        and r.cell["weights"]
        and protocol(r.cell["protocol"]).shares_labels  # its episodes say nothing of all classes at once
    ]
    largest = max((record.cell["fraction"] for record in records), default=0.0)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        backbone = next((text for spec, text in ranked.items() if _is(record, spec)), None)
        if backbone is not None and record.cell["fraction"] == largest:
            found[record.cell["strategy"]][backbone].append(record.metrics["accuracy"])
    means = {
        strategy: {backbone: float(np.mean(values)) for backbone, values in of.items()}
        for strategy, of in found.items()
    }
    best: dict[str, float] = {}
    for accuracies in means.values():
        for backbone, accuracy in accuracies.items():
            best[backbone] = max(accuracy, best.get(backbone, 0.0))
    return {**means, BEST: best} if len(means) > 1 else means


def _is(record: Record, spec: Any) -> bool:
    return (record.cell["backbone"], record.cell["weights"]) == (spec.architecture, spec.weights)


def _remarks(ranking: Ranking, run: Run) -> list[str]:
    cells = [r.cell for r in run.records if r.cell["fingerprint"] == ranking.fingerprint]
    remarks = []
    for key, mine in (
        *ranking.input.items(),
        ("pooling", ranking.pooling),
    ):
        theirs = {cell["head" if key == "pooling" else "examples"][key] for cell in cells}
        if theirs - {mine}:
            remarks.append(
                f"The run has {key.replace('_', ' ')} {', '.join(map(str, sorted(theirs)))}, the ranking {mine}."
            )
    return remarks
