"""What may be concluded from a few seeds and a finite test set.

The quantity is expected accuracy over new labelled subsets, new initialisations *and* new test images. Two
configurations are compared on the same seeds and the same test images, so what is hard for both cancels out.

An interval has two sources of error, each with its own quantile: few seeds (t, seeds - 1 degrees of freedom)
and many test images (normal). Their half-widths add in quadrature (Zou & Donner 2008, Stat. Med. 27:1693).
The noise of a seed on an image is contained in both, so it counts twice: rather too wide than too narrow.
With all labels in use (fraction 1) seeds differ in the validation part and in initialisation only.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

MINIMUM_SEEDS = 3
"""Below this nothing is claimed: two numbers do not tell their own spread."""

EQUIVALENCE = 0.01
"""The region of practical equivalence: a difference of one point is none."""

LEVEL = 0.95

Floats = npt.NDArray[np.float64]


def t_half_width(spread: float, seeds: int, level: float = LEVEL) -> float:
    """Half the width of the t interval of a mean over seeds of standard deviation ``spread``; NaN below three."""
    return _t_quantile(level, seeds - 1) * spread / math.sqrt(seeds) if seeds >= MINIMUM_SEEDS else math.nan


def wilson(accuracy: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of an accuracy measured on ``n`` test images, for one trained model.

    Holds near 0 and 1 and at small n, where p ± 2 sqrt(pq/n) does not (Wilson 1927, JASA 22:209-212).
    """
    if not (math.isfinite(accuracy) and n > 0):
        return math.nan, math.nan
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (accuracy + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (accuracy * (1 - accuracy) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Candidate:
    """One configuration at one label count; ``low`` and ``high`` are NaN below three seeds."""

    strategy: str
    backbone: str
    weights: str
    seeds: int
    accuracy: float
    low: float
    high: float
    seconds: float
    """Median of tuning plus refit."""


@dataclass(frozen=True)
class Comparison:
    """The leader against another candidate: ``difference`` is the leader's lead in accuracy."""

    candidate: Candidate
    seeds: int
    """Seeds that both have."""
    paired: bool
    """Whether the test images could be paired too; otherwise their variance is an upper bound."""
    difference: float
    low: float
    high: float
    p: float
    """Two-sided, Holm-corrected over the candidates; NaN below three seeds, as are ``low`` and ``high``."""
    verdict: str
    """``tied``, ``better`` (the leader is), ``undecided``, or ``unknown`` below three seeds."""


@dataclass(frozen=True)
class Decision:
    """What may be said about one dataset at one label count."""

    dataset: str
    fraction: float
    n: float
    n_test: float
    leader: Candidate
    comparisons: tuple[Comparison, ...]
    """With every other candidate, the closest first; ``majority`` is none."""
    region: float
    """Differences within plus or minus this are equivalent."""
    floor: float
    """Accuracy of always answering with the most frequent class; NaN if not measured."""

    @property
    def claim(self) -> str:
        """``provisional`` (under three seeds), ``alone`` (nothing to compare with), ``undecided``, ``tied``
        (the leader is tied with some and better than the rest), ``better`` (than every other)."""
        verdicts = {comparison.verdict for comparison in self.comparisons}
        if self.leader.seeds < MINIMUM_SEEDS:
            return "provisional"
        if not verdicts:
            return "alone"
        if verdicts & {"undecided", "unknown"}:
            return "undecided"
        return "tied" if "tied" in verdicts else "better"

    @property
    def recommended(self) -> Candidate:
        """The cheapest of the leader and those tied with it; where nothing is settled, the cheapest of those
        whose observed shortfall is below the region of equivalence."""
        settled = self.claim in ("better", "tied")
        near = [
            c.candidate
            for c in self.comparisons
            if c.verdict == "tied" or (not settled and c.verdict != "better" and c.difference < self.region)
        ]
        return min([self.leader, *near], key=lambda c: c.seconds if math.isfinite(c.seconds) else math.inf)

    def with_verdict(self, *verdicts: str) -> list[Candidate]:
        """The candidates about which one of these verdicts was reached."""
        return [c.candidate for c in self.comparisons if c.verdict in verdicts]


def decide(
    results: pd.DataFrame, directory: Path | None = None, region: float = EQUIVALENCE
) -> list[Decision]:
    """A decision for every dataset and label count that has a result, by dataset and rising label count.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for per-image predictions; without them the paired variance over test
            images is replaced by its upper bound.
        region: differences within plus or minus this are equivalent.
    """
    ok = results[(results["status"] == "ok") & results["accuracy"].notna()]
    decisions = []
    for key, cells in ok.groupby(["dataset", "fraction"], sort=True):
        dataset, fraction = str(key[0]), float(str(key[1]))
        floor = cells.loc[cells["strategy"] == "majority", "accuracy"].mean()
        trained = cells[cells["strategy"] != "majority"]
        groups = trained.groupby(["strategy", "backbone", "weights"], sort=False)
        runs = [_Runs(group.set_index("seed"), directory) for _, group in groups]
        if not runs:
            continue
        # Whoever lost seeds comes last: the mean over the seeds that it survived is not comparable.
        seeds = max(len(run.cells) for run in runs)
        runs.sort(key=lambda run: (len(run.cells) < seeds, -run.accuracy))
        leader, *others = runs
        comparisons = tuple(_compare(leader, others, region))
        n, n_test = float(cells["n"].median()), float(cells["n_test"].median())
        decisions.append(
            Decision(dataset, fraction, n, n_test, leader.candidate, comparisons, region, float(floor))
        )
    return decisions


class _Runs:
    """The results of one configuration at one label count, by seed."""

    def __init__(self, cells: pd.DataFrame, directory: Path | None) -> None:
        self.cells = cells
        self.directory = directory
        self.accuracy = float(cells["accuracy"].mean())

    @property
    def candidate(self) -> Candidate:
        first = self.cells.iloc[0]
        low = high = math.nan
        if len(self.cells) >= MINIMUM_SEEDS:
            answers = self.answers(self.cells.index)
            over_images = _binomial(self.cells) if answers is None else answers.error(answers.right) ** 2
            half = _half_width(self.cells["accuracy"].to_numpy(), math.sqrt(over_images), LEVEL)
            low, high = max(0.0, self.accuracy - half), min(1.0, self.accuracy + half)
        seconds = self.cells["total_seconds"].median()
        return Candidate(first["strategy"], first["backbone"], first["weights"], len(self.cells), self.accuracy,
                         low, high, float(seconds))  # fmt: skip

    def answers(self, seeds: Iterable[int]) -> Answers | None:
        """Which test images were classified correctly, seeds x images."""
        if self.directory is None:
            return None
        folder = self.directory / "predictions"
        found = [_answers(folder / f"{cell_id}.npz") for cell_id in self.cells["cell_id"].loc[list(seeds)]]
        known = [answer for answer in found if answer is not None]
        if len(known) < len(found) or any(not np.array_equal(answer.ids, known[0].ids) for answer in known):
            return None
        return replace(known[0], right=np.concatenate([answer.right for answer in known]))


def _compare(leader: _Runs, others: list[_Runs], region: float) -> list[Comparison]:
    """The paired differences over the seeds and test images that both have, the closest first.

    Holm's step-down over the family: from the smallest p on, until the first that is not significant. Each
    interval has the level at which its hypothesis was tested (the last one reached, for the rest).
    """
    unknown, family = [], []
    for other in others:
        seeds = leader.cells.index.intersection(other.cells.index).sort_values()
        lead = (leader.cells["accuracy"].loc[seeds] - other.cells["accuracy"].loc[seeds]).to_numpy()
        if len(seeds) < MINIMUM_SEEDS:
            mean = float(lead.mean()) if len(seeds) else leader.accuracy - other.accuracy
            unknown.append(
                Comparison(other.candidate, len(seeds), False, mean, math.nan, math.nan, math.nan, "unknown")
            )
            continue
        mine, theirs = leader.answers(seeds), other.answers(seeds)
        if mine is not None and theirs is not None and np.array_equal(mine.ids, theirs.ids):
            over_images, paired = mine.error(mine.right - theirs.right), True
        else:
            over_images, paired = math.sqrt(_binomial(leader.cells) + _binomial(other.cells)), False
        family.append((_p_value(lead, over_images), lead, over_images, paired, other.candidate))

    family.sort(key=lambda member: member[0])
    found, adjusted, steps = [], 0.0, 0
    for rank, (p, lead, over_images, paired, candidate) in enumerate(family):
        adjusted = max(adjusted, min(1.0, p * (len(family) - rank)))
        significant = adjusted <= 1 - LEVEL
        half = _half_width(lead, over_images, 1 - (1 - LEVEL) / (len(family) - steps))
        mean = float(lead.mean())
        inside = -region < mean - half and mean + half < region
        verdict = "tied" if inside else "better" if significant and mean > half else "undecided"
        found.append(
            Comparison(candidate, len(lead), paired, mean, mean - half, mean + half, adjusted, verdict)
        )
        steps += significant
    return sorted(found + unknown, key=lambda c: c.difference)


def _half_width(over_seeds: Floats, image_error: float, level: float) -> float:
    """Half an interval's width from the values by seed and the standard error that test images contribute."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    return math.hypot(_t_quantile(level, len(over_seeds) - 1) * _error(over_seeds), z * image_error)


def _p_value(over_seeds: Floats, image_error: float) -> float:
    """Two-sided: one minus the level at which the interval just reaches zero."""
    target, low, high = abs(float(over_seeds.mean())), 0.0, 1.0
    for _ in range(40):
        level = (low + high) / 2
        low, high = (level, high) if _half_width(over_seeds, image_error, level) < target else (low, level)
    return 1 - low


def _t_quantile(level: float, degrees: int) -> float:
    from scipy import special  # stats would take a second to import

    return float(special.stdtrit(degrees, (1 + level) / 2))


def _error(values: Floats) -> float:
    """The standard error of the mean."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _binomial(cells: pd.DataFrame) -> float:
    """The variance that the test images contribute to an accuracy; an upper bound for several seeds' mean."""
    share = float(cells["accuracy"].mean())
    return share * (1 - share) / float(cells["n_test"].median())


@dataclass(frozen=True)
class Answers:
    """Which test images were classified correctly.

    Attributes:
        ids: of the images, sorted.
        right: 1 or 0, seeds x images.
        groups: a number by image, the same for images that belong together (of one patient, say); or None.
    """

    ids: npt.NDArray[np.str_]
    right: Floats
    groups: npt.NDArray[np.int64] | None

    def error(self, values: Floats) -> float:
        """The standard error that the choice of test images gives to the mean of ``values``, seeds x images.

        Images of one group are one draw, not several (Liang & Zeger 1986, Biometrika 73:13).
        """
        by_image = values.mean(axis=0)
        if self.groups is None:
            return _error(by_image)
        sums = np.bincount(np.unique(self.groups, return_inverse=True)[1], by_image - by_image.mean())
        if len(sums) < 2:
            return math.inf
        return float(np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / len(by_image))


@lru_cache(maxsize=4096)
def _load_answers(path: Path, modified: int) -> Answers | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            ids, right = file["ids"].astype(str), file["probabilities"].argmax(axis=1) == file["labels"]
            groups = file["groups"].astype(np.int64) if "groups" in file else None
        order = np.argsort(ids)
        return Answers(
            ids[order], right[None, order].astype(float), None if groups is None else groups[order]
        )
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None


def _answers(path: Path) -> Answers | None:
    """What a cell's predictions file says, images in the order of their ids; None if there is none to read."""
    try:
        return _load_answers(path, path.stat().st_mtime_ns)
    except OSError:
        return None
