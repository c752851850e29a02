"""How well are new classes told apart by a few labels each? The numbers of the few-shot protocol.

An accuracy is a mean over episodes and seeds. Episodes use the same examples again and again; what is a sample is
the new classes. Intervals cover other classes like these and, where a network was trained or tuned with three seeds
or more, new trainings: seeds and classes are crossed random effects, as seeds and test examples are elsewhere
(``reports.statistics``), and of few classes t has few degrees of freedom. The episodes are the same for all, so
differences are paired on classes and seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.records import Record
from bench.store import Store
from reports.columns import PAIRS
from reports.results import Results
from reports.statistics.answers import Answers
from reports.statistics.decisions import Decision, decide_among
from reports.statistics.intervals import LEVEL, MINIMUM_SEEDS
from reports.statistics.pairs import Measured
from reports.tables import configuration_name, dataset_names, strategy_key

FLOOR = "nearest_pixel"

CSV_COLUMNS = (
    "cell_id", "dataset", "backbone", "weights", "strategy", "seed", "ways", "shots", "scope", "episodes",
    "accuracy", "deviation", "by_episodes", "verification_auc", "total_seconds", *PAIRS,
)  # fmt: skip
"""Of ``few_shot.csv``: one row a cell and setting; ``by_episodes`` is of ``by_episodes()``."""


@dataclass(frozen=True)
class Shares(Answers):
    """The share of right answers by class, in place of answers by example: ``ids`` are classes.

    Attributes:
        examples: how many the classes have.
    """

    examples: int = 1

    @property
    def size(self) -> int:
        return self.examples

    @property
    def degrees(self) -> float:
        return self.credits.shape[1] - 1


class MeasuredByClass(Measured):
    """One configuration in one setting.

    Args:
        cells: as for ``Measured``, by seed; ``n_test`` is NaN where no shares are known: so are intervals then.
        shares: by class, of each seed.
    """

    def __init__(self, cells: pd.DataFrame, shares: dict[int, Answers]) -> None:
        super().__init__(cells, None)
        self.shares = shares

    @cached_property
    def _by_seed(self) -> dict[int, Answers]:
        return self.shares

    @property
    def half_width(self) -> float:
        """Half the 95% interval of the accuracy; NaN without shares."""
        answers = self.answers(self.cells.index)
        return math.nan if answers is None else half_width_of(answers, answers.unseen())


def half_width_of(answers: Answers, unseen: float = 0.0) -> float:
    """Half the 95% interval of a mean over seeds and classes; below three seeds over classes alone."""
    values = answers.credits
    if len(values) < MINIMUM_SEEDS:
        values = np.repeat(values.mean(axis=0, keepdims=True), MINIMUM_SEEDS, axis=0)
    return answers.spread(values, unseen).half_width(LEVEL)


@dataclass(frozen=True, eq=False)
class Measurement:
    """One configuration in one setting.

    Attributes:
        scope: ``all`` classes, or ``within`` one superclass an episode.
        seeds: how many were trained or tuned; 0: nothing is, so there is nothing to repeat.
        episodes: how many.
        low, high: of the 95% interval; below three seeds of the classes alone; NaN without the files of shares.
        by_episodes: half the 95% interval of the drawing of episodes alone; mean over seeds.
        seconds: median of tuning and training.
        verification: chance that a pair of one class is nearer than a pair of two; mean over seeds, or NaN.
        measured: by seed and class.
    """

    dataset: str
    strategy: str
    backbone: str
    weights: str
    ways: int
    shots: int
    scope: str
    seeds: int
    episodes: int
    accuracy: float
    low: float
    high: float
    by_episodes: float
    seconds: float
    verification: float
    measured: MeasuredByClass

    @property
    def place(self) -> tuple[str, str, str]:
        """The configuration."""
        return self.strategy, self.backbone, self.weights

    @property
    def setting(self) -> tuple[str, int, int]:
        return self.scope, self.ways, self.shots

    def name(self, several: bool) -> str:
        """The configuration in words; ``several``: with its backbone."""
        return configuration_name(self.strategy, self.backbone, self.weights, several)


def by_episodes(deviation: float, episodes: int) -> float:
    """Half the 95% interval that papers give: that of the drawing of episodes alone, of these classes, their
    examples and one training; it says nothing of other classes."""
    return 1.96 * deviation / math.sqrt(episodes)


def measured(run: Results) -> list[Measurement]:
    """What was measured in a run; to be asked for by ``run.once``."""
    return measurements(run.records, run.directory)


def by_accuracy(found: Iterable[Measurement]) -> list[str]:
    """The strategies, the most accurate first: so each has one colour in all figures."""
    return list(dict.fromkeys(m.strategy for m in sorted(found, key=lambda m: -m.accuracy)))


def measurements(records: Sequence[Record], directory: Path | None) -> list[Measurement]:
    """What was measured, by dataset, setting and strategy.

    Args:
        records: of a run of the few-shot protocol.
        directory: the run directory; without its files there are no intervals.
    """
    groups = _grouped(records)
    repeated: dict[str, set[int]] = {}
    for key, by_seed in groups.items():
        repeated.setdefault(key[0], set()).update(
            seed for seed, (r, _) in by_seed.items() if differs_by_seed(r)
        )
    found = [
        _measurement(key, by_seed, repeated[key[0]] or range(MINIMUM_SEEDS), directory)
        for key, by_seed in groups.items()
    ]
    return sorted(
        found,
        key=lambda m: (m.dataset, m.scope, m.ways, m.shots, strategy_key(m.strategy), m.backbone, m.weights),
    )


Key = tuple[str, str, str, str, int, int, str]
"""Dataset, strategy, backbone, weights, ways, shots, scope."""
BySeed = dict[int, tuple[Record, int]]
"""The records of one configuration by seed, each with the place of one setting among its episodes."""


def _grouped(records: Sequence[Record]) -> dict[Key, BySeed]:
    names = dataset_names(records)
    groups: dict[Key, BySeed] = {}
    for record in sorted(records, key=lambda record: record.cell["seed"]):
        cell = record.cell
        for i, entry in enumerate(record.episodes if record.status == "ok" else []):
            key = (
                names[cell["fingerprint"]], cell["strategy"], cell["backbone"], cell["weights"],
                entry["ways"], entry["shots"], entry["scope"],
            )  # fmt: skip
            groups.setdefault(key, {})[cell["seed"]] = record, i
    return groups


def _measurement(key: Key, by_seed: BySeed, repeated: Iterable[int], directory: Path | None) -> Measurement:
    """One configuration in one setting; ``repeated`` are the seeds of those that differ by seed."""
    mine, seeds = [record for record, _ in by_seed.values()], len(by_seed)
    if not any(map(differs_by_seed, mine)):
        # It would be the same with any seed.
        by_seed, seeds = dict.fromkeys(repeated, next(iter(by_seed.values()))), 0
    measured = _measured(by_seed, directory)
    half, accuracy = measured.half_width, measured.value
    low, high = (accuracy - half, accuracy + half) if math.isfinite(half) else (math.nan, math.nan)
    seconds = [record.costs.get("total_seconds") or 0.0 for record in mine]
    episodes = episodes_of(mine[0])
    drawn = [by_episodes(r.episodes[i]["deviation"], episodes) for r, i in by_seed.values()]
    aucs = [record.metrics.get("verification_auc", math.nan) for record in mine]
    return Measurement(
        *key, seeds, episodes, accuracy, max(low, 0.0), min(high, 1.0), float(np.mean(drawn)),
        float(np.median(seconds)), float(np.mean(aucs)), measured,
    )  # fmt: skip


def settings_of(record: Record) -> dict[str, Any]:
    """What a cell says of its episodes."""
    found: dict[str, Any] = record.cell["protocol_settings"]
    return found


def episodes_of(record: Record) -> int:
    return int(settings_of(record)["episodes"])


def differs_by_seed(record: Record) -> bool:
    """Whether anything was trained, or chosen on classes that are held out for the seed."""
    return bool(record.costs.get("trainable_params")) or len(record.trials) > 1


def _measured(by_seed: BySeed, directory: Path | None) -> MeasuredByClass:
    found = {seed: _shares(record, i, directory) for seed, (record, i) in by_seed.items()}
    shares: dict[int, Answers] = {seed: share for seed, share in found.items() if share is not None}
    known = len(shares) == len(found)
    rows = [
        {
            "seed": seed,
            **{key: record.cell[key] for key in ("strategy", "backbone", "weights", "metric")},
            "accuracy": record.episodes[i]["accuracy"],
            "n_test": record.n_test if known else math.nan,
            **{key: record.costs.get(key) for key in ("total_seconds", "inference_ms_per_image", "params")},
        }
        for seed, (record, i) in sorted(by_seed.items())
    ]
    numbers = {"total_seconds": float, "inference_ms_per_image": float, "params": float}
    return MeasuredByClass(pd.DataFrame(rows).set_index("seed").astype(numbers), shares if known else {})


def _shares(record: Record, place: int, directory: Path | None) -> Shares | None:
    """Of one cell in one setting; None if they cannot be read.

    Each class weighs as many queries as it had: its share is moved away from the mean by as much, so that the mean
    over classes is the accuracy, and their spread that of a weighted mean.
    """
    if directory is None:
        return None
    arrays = Store(directory).arrays(record.cell_id)
    if arrays is None or "class_accuracies" not in arrays or len(arrays["class_accuracies"]) <= place:
        return None
    share, weights = (
        arrays[name][place].astype(np.float64) for name in ("class_accuracies", "class_weights")
    )
    if not weights.any():
        return None
    classes = np.flatnonzero(weights)
    share, weights = share[classes], weights[classes] / weights.sum()
    mean = float(weights @ share)
    right = mean + len(classes) * weights * (share - mean)
    return Shares(classes.astype(str), right[None], None, examples=int(record.n_test or 1))


def decided(found: Sequence[Measurement], region: float) -> Decision:
    """What may be said of the configurations in one setting of one dataset; at least one."""
    return decide_among([m.measured for m in found], region, found[0].dataset, 0.0)


def few_shot_frame(records: Sequence[Record]) -> pd.DataFrame:
    """``few_shot.csv``: raw numbers, one row a cell and setting."""
    names = dataset_names(records)
    rows = [
        {
            "cell_id": record.cell_id,
            "dataset": names[record.cell["fingerprint"]],
            **{key: record.cell[key] for key in ("backbone", "weights", "strategy", "seed")},
            **entry,
            "episodes": episodes_of(record),
            "by_episodes": by_episodes(entry["deviation"], episodes_of(record)),
            "verification_auc": record.metrics.get("verification_auc", math.nan),
            "total_seconds": record.costs.get("total_seconds"),
            **{name: record.metrics.get(name, math.nan) for name in PAIRS},
        }
        for record in records
        for entry in record.episodes
    ]
    return pd.DataFrame(rows, columns=list(CSV_COLUMNS))
