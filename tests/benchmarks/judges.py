"""May the rest of the pool judge, too? Simulated runs whose truth is known.

Below all labels a cell does not learn from every labelled example of the pool. Where the test set was drawn from
the same data, the rest of the pool can judge as it does: paired by seed, each seed by other examples. Every
simulated run is judged twice, by the test set alone and with the rest of the pool:

- cover: how often the 95% interval of the difference of two given strategies holds the true value;
- points: half its width, in points;
- false bound: how often some candidate gives up more than the report says that it does at most (target: at most
  .02, the share of the error that a run's first look has);
- bound: what the recommended one gives up at most, in points.

Three worlds. ``drawn``: who is right is drawn as in ``truth.py``, with no thought of what was learned. ``learned``:
four classifiers truly learn from a subset of a pool. So an example that is hard for the seeds that it judges has
taught the others, a pool may be odd, and seeds have labels in common. The truth is the mean over many pools.
``groups``: as before, but examples come in tens that share a part of their features; groups are never divided.

Seeds that have labels in common vary less than subsets of different pools would. Intervals with the rest of the
pool allow for that, unless ``--apart``.

    python tests/benchmarks/judges.py [--runs 400] [--world drawn learned groups] [--apart]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from truth import Simulated, simulate

from reports.statistics.answers import Answers
from reports.statistics.best import Family
from reports.statistics.decisions import EQUIVALENCE
from reports.statistics.intervals import LEVEL, Floats, Spread
from reports.statistics.looks import Looks
from reports.statistics.pairs import BORROWED, lead_of, spread_of, typical_variance

MOST = 4000
"""Of the rest of the pool that judge a seed."""
STRATEGIES = 4
WIDTH, CLASSES, RATIO = 20, 4, 4
"""Features of an example; classes; examples of the pool for each of the test set."""
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Of the ridge regressions that learn."""
TOGETHER = 10
"""Examples of a group."""

Right = np.ndarray
"""Who was right, (strategies, seeds, examples): the test set first. NaN where an example does not judge a seed."""
World = Callable[[np.random.Generator, int, int, float], tuple[np.ndarray, Right, "np.ndarray | None"]]


class ByTest(Simulated):
    """A strategy that the test set alone judges, as in the report."""

    def __init__(self, name: int, right: Right, n_test: int, groups: np.ndarray | None, alike: float) -> None:
        super().__init__(name, right[:, :n_test])
        self._answers = replace(self._answers, groups=None if groups is None else groups[:n_test])


class Judged(Simulated):
    """The same strategy, judged by the rest of the pool, too: its values are means over all that judge a seed."""

    def __init__(self, name: int, right: Right, n_test: int, groups: np.ndarray | None, alike: float) -> None:
        super().__init__(name, right)
        by_seed = np.nanmean(right, axis=1)
        self.values = dict(enumerate(by_seed.tolist()))
        self.value = float(by_seed.mean())
        self._answers = Partly(np.arange(right.shape[1]).astype(str), right, groups, alike=alike)


@dataclass(frozen=True)
class Partly(Answers):
    """Answers of which some are NaN: there an example does not judge a seed.

    Attributes:
        alike: the share of its labels that two seeds have in common, because they come from one pool.
    """

    alike: float = 0.0

    def spread(self, values: Floats, unseen: float = 0.0) -> Spread:
        """The mean of seeds varies by the variance between them, and by what examples add to two seeds alike. With
        examples that judge all seeds this is the analysis of variance of ``Answers``."""
        seeds, judge = len(values), ~np.isnan(values)
        by_seed, counts = np.nanmean(values, axis=1), judge.sum(axis=1)
        parts = np.where(judge, values - by_seed[:, None], 0.0) / counts[:, None]
        if self.groups is not None:
            index = np.unique(self.groups, return_inverse=True)[1]
            parts = np.stack([np.bincount(index, row) for row in parts])
        squares, examples = float(np.square(parts).sum()), float(counts.mean())
        common = (float(np.square(parts.sum(axis=0)).sum()) - squares) / (seeds * (seeds - 1))
        rest = squares / seeds - common
        over_seeds = float(by_seed.var(ddof=1)) - rest
        # What labels in common add to all seeds is no spread between them: with it the variance of their mean is
        # larger by this, see ``Spread._errors``.
        beside = max(0.0, over_seeds) * self.alike / (1 - self.alike)
        over_seeds += beside * seeds * (seeds - 1 + BORROWED) / (seeds - 1)
        size = examples if self.groups is None else examples * self.size / len(self.ids)
        over_examples = max(0.0, common) * examples + unseen * examples / size**2
        return Spread(seeds, examples, over_seeds, over_examples, rest * examples)


def judges_of(learned: np.ndarray, n_test: int, rng: np.random.Generator) -> np.ndarray:
    """Which examples judge a seed: the test set, and some of the pool that it did not learn from."""
    rest = n_test + np.flatnonzero(~learned)
    mask = np.zeros(n_test + len(learned), bool)
    mask[:n_test] = True
    mask[rng.permutation(rest)[:MOST]] = True
    return mask


def drawn(
    rng: np.random.Generator, seeds: int, n_test: int, fraction: float, spread: float
) -> tuple[np.ndarray, Right, None]:
    pool = RATIO * n_test
    truth = 0.8 - np.array([0.0, *rng.choice((0.0, 0.003, 0.008, 0.015, 0.03), STRATEGIES - 1)])
    right = simulate(rng, truth, seeds, n_test + pool, np.full(STRATEGIES, spread))
    for seed in range(seeds):
        learned = np.zeros(pool, bool)
        learned[rng.permutation(pool)[: round(fraction * pool)]] = True
        right[:, seed, ~judges_of(learned, n_test, rng)] = np.nan
    return truth, right, None


def _examples(rng: np.random.Generator, count: int, groups: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels; with groups, a group's examples are of one class and alike."""
    alike = TOGETHER if groups else 1
    centres = np.random.default_rng(0).normal(0, 0.62, (CLASSES, WIDTH))
    labels = np.repeat(rng.integers(0, CLASSES, count // alike), alike)
    common = np.repeat(rng.standard_normal((count // alike, WIDTH)), alike, axis=0)
    own = rng.standard_normal((count, WIDTH))
    noise = np.sqrt(0.7) * common + np.sqrt(0.3) * own if groups else own
    return np.concatenate([centres[labels] + noise, np.ones((count, 1))], axis=1), labels


def _predicted(features: np.ndarray, labels: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Of each strategy, the classes of new examples."""
    squares, products = features.T @ features, features.T @ np.eye(CLASSES)[labels]
    solved = [np.linalg.solve(squares + p * np.eye(WIDTH + 1), products) for p in PENALTIES]
    return np.stack([(new @ weights).argmax(axis=1) for weights in solved])


@cache
def _truth(n: int, groups: bool) -> np.ndarray:
    """The expected accuracy of each strategy with n labels, over many subsets of many pools."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(3000):
        new, labels = _examples(rng, 1000, groups)
        found.append((_predicted(*_examples(rng, n, groups), new) == labels).mean(axis=1))
    return np.mean(found, axis=0)


def _learned(
    rng: np.random.Generator, seeds: int, n_test: int, fraction: float, groups: bool
) -> tuple[np.ndarray, Right, np.ndarray | None]:
    pool, alike = RATIO * n_test, TOGETHER if groups else 1
    features, labels = _examples(rng, n_test + pool, groups)
    right = np.full((STRATEGIES, seeds, len(labels)), np.nan)
    for seed in range(seeds):
        chosen = rng.permutation(pool // alike)[: round(fraction * pool / alike)]
        learned = np.isin(np.arange(pool) // alike, chosen)
        rows = n_test + np.flatnonzero(learned)
        judges = judges_of(learned, n_test, rng)
        answers = _predicted(features[rows], labels[rows], features[judges])
        right[:, seed, judges] = answers == labels[judges]
    n = round(fraction * pool / alike) * alike
    return _truth(n, groups), right, np.arange(len(labels)) // alike if groups else None


def learned(
    rng: np.random.Generator, seeds: int, n_test: int, fraction: float, spread: float
) -> tuple[np.ndarray, Right, np.ndarray | None]:
    return _learned(rng, seeds, n_test, fraction, False)


def groups(
    rng: np.random.Generator, seeds: int, n_test: int, fraction: float, spread: float
) -> tuple[np.ndarray, Right, np.ndarray | None]:
    return _learned(rng, seeds, n_test, fraction, True)


WORLDS: dict[str, World] = {"drawn": drawn, "learned": learned, "groups": groups}


def measure(
    world: World, seeds: int, n_test: int, fraction: float, spread: float, runs: int, alike: bool = True
) -> list[np.ndarray]:
    """Cover, points, false bound, bound: by the test set alone, and with the rest of the pool.

    ``alike``: whether the latter allow for the labels that seeds have in common.
    """
    rng = np.random.default_rng([seeds, n_test, round(100 * fraction), round(1000 * spread)])
    found: list[list[tuple[float, float, float, float]]] = [[], []]
    for _ in range(runs):
        truth, right, groups = world(rng, seeds, n_test, fraction, spread)
        for kind, results in zip((ByTest, Judged), found, strict=True):
            runs_of = [kind(i, r, n_test, groups, alike * fraction) for i, r in enumerate(right)]
            family = Family(runs_of, Looks(), EQUIVALENCE)
            first, second = family.runs[0], family.runs[2]
            lead = lead_of(first, second)
            shared, borrowed = typical_variance(family.runs)
            error = replace(spread_of(first, second, lead)[0], shared=shared, borrowed=borrowed)
            half, difference = error.half_width(LEVEL), float(np.mean([*lead.values()]))
            bounds = np.array([family.at_most(i) for i in range(STRATEGIES)])
            cover = abs(difference - (truth[0] - truth[2])) <= half
            false = (bounds < truth.max() - truth - 1e-12).any()
            results.append((cover, 100 * half, false, 100 * bounds.min()))
    return [np.mean(results, axis=0) for results in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--images", type=int, nargs="+", default=[100, 400, 1000])
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.25, 0.5])
    parser.add_argument("--spreads", type=float, nargs="+", default=[0.01, 0.03])
    parser.add_argument("--world", nargs="+", choices=WORLDS, default=[*WORLDS])
    parser.add_argument("--apart", action="store_true", help="as if seeds had no labels in common")
    options = parser.parse_args()
    names = ("world", "seeds", "test", "share", "spread")
    pairs = ("cover", "points", "false bound", "bound")
    print(*(f"{name:>7}" for name in names), *(f"{name + ': test, all':>23}" for name in pairs))
    for world in options.world:
        spreads = options.spreads if world == "drawn" else [0.0]
        cases = itertools.product(options.seeds, options.images, options.fractions, spreads)
        for seeds, images, fraction, spread in cases:
            test, every = measure(
                WORLDS[world], seeds, images, fraction, spread, options.runs, not options.apart
            )
            print(*(f"{value:>7}" for value in (world, seeds, images, fraction, spread)),
                  *(f"{one:>14.3f} {other:>8.3f}" for one, other in zip(test, every, strict=True)),
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
