"""Test sets of few groups (patients, speakers, slides): does the 95% interval of accuracy hold? Simulated.

A group's accuracy is drawn from a beta distribution. Three seeds answer mostly alike. For each setting:

- cover: how often the interval holds the true accuracy;
- points: half its width, median, in points;
- divided, points_divided: the same, had every example been taken for an independent one.

    python tests/benchmarks/groups.py [--runs 400]
"""

from __future__ import annotations

import argparse
import itertools
import json

import numpy as np

from reports.statistics.answers import Answers
from reports.statistics.intervals import LEVEL, Floats

GROUPS = (2, 3, 5, 10, 20, 60)
EXAMPLES = (10, 100)
"""Of a group."""
ACCURACIES = ((0.9, 0.0), (0.9, 0.03), (0.9, 0.1), (0.6, 0.1), (0.97, 0.02))
"""True accuracy, and its standard deviation over groups."""
SEEDS = 3
OF_SEEDS = 0.01
"""Standard deviation of the accuracies of seeds."""
ALONE = 0.3
"""The share of examples on which a seed answers by itself."""


def answers(rng: np.random.Generator, groups: int, each: int, accuracy: float, deviation: float) -> Floats:
    """Who was right: seeds x examples."""
    of_groups = np.full(groups, accuracy)
    if deviation:
        concentration = accuracy * (1 - accuracy) / deviation**2 - 1
        of_groups = rng.beta(accuracy * concentration, (1 - accuracy) * concentration, groups)
    of_examples, difficulty = np.repeat(of_groups, each), rng.uniform(size=groups * each)
    rows = []
    for _ in range(SEEDS):
        own = rng.uniform(size=len(difficulty)) < ALONE
        luck = np.where(own, rng.uniform(size=len(difficulty)), difficulty)
        rows.append((luck < np.clip(of_examples + OF_SEEDS * rng.standard_normal(), 0, 1)).astype(float))
    return np.array(rows)


def half_width(right: Floats, groups: np.ndarray | None) -> float:
    """Of the interval that the report gives."""
    judged = Answers(np.arange(right.shape[1]).astype(str), right, groups)
    return judged.spread(right, unseen=judged.unseen()).half_width(LEVEL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=400, help="simulated test sets of each setting")
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    for groups, each, (accuracy, deviation) in itertools.product(GROUPS, EXAMPLES, ACCURACIES):
        numbers = np.repeat(np.arange(groups), each)
        found: dict[str, list[tuple[bool, float]]] = {"cover": [], "divided": []}
        for _ in range(runs):
            right = answers(rng, groups, each, accuracy, deviation)
            for name, known in (("cover", numbers), ("divided", None)):
                half = half_width(right, known)
                found[name].append((bool(abs(right.mean() - accuracy) <= half), half))
        row = {"groups": groups, "examples": each, "accuracy": accuracy, "deviation": deviation}
        for name in found:
            row[name] = round(float(np.mean([held for held, _ in found[name]])), 3)
        row["points"] = round(100 * float(np.median([half for _, half in found["cover"]])), 1)
        row["points_divided"] = round(100 * float(np.median([half for _, half in found["divided"]])), 1)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
