"""Are intervals, verdicts and recommendations as right as they say? Simulated runs whose truth is known.

Four strategies on the same test images. An image has a difficulty that all share and one for each strategy; a seed
shifts a strategy's accuracy. For each number of seeds and of test images and each deviation between seeds:

- cover: how often the 95% interval of an accuracy, and that of the difference of two given strategies, holds
  the true value (target .93 to .97); leader, chosen: that of the accuracy of whoever came out highest, and that
  of whoever is recommended;
- false bound: how often a candidate gives up more than the report says that it does at most, and false out: how
  often all that are best are ruled out (target for both, together: at most .02, the share of the error that a
  run's first look has);
- decided: how often the recommended one gives up no more than one point at most;
- good: how often what is then recommended lies within one point of the best in truth (target at least .95).

Then the hard cases for false verdicts: all strategies equal, up to twenty of them; some far more variable between
seeds than others; and very accurate ones on small test sets.

    python tests/benchmarks/truth.py [--runs 2000] [--seeds 3 5 10] [--images 200 1000 5000]
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from reports.statistics import decisions, pairs
from reports.statistics.answers import Answers
from reports.statistics.decisions import EQUIVALENCE
from reports.statistics.intervals import LEVEL, UNSEEN_DIFFERENCE

STRATEGIES = 4
SHARED, OWN = 0.5, 0.15
"""Shares of an image's difficulty that all strategies have in common and that one strategy has on all seeds."""
LEADS = (0.0, 0.003, 0.008, 0.015, 0.03, 0.06)
"""The best strategy's true lead over each other is one of these."""


class Simulated(pairs.Measured):
    """Results of a strategy that came from no files."""

    def __init__(self, name: int, right: np.ndarray) -> None:
        seeds, images = right.shape
        cells = pd.DataFrame(
            {
                "accuracy": right.mean(axis=1).astype(float),
                "n_test": images,
                "total_seconds": float(name),
                "inference_ms_per_image": 1.0,
                "params": 1.0,
                "strategy": str(name),
                "backbone": "",
                "weights": "",
            },
            index=range(seeds),
        )
        super().__init__(cells, None)
        self._answers = Answers(np.arange(images).astype(str), right, None)

    def answers(self, seeds: Iterable[int]) -> Answers:
        return replace(self._answers, credits=self._answers.credits[list(seeds)])


def simulate(
    rng: np.random.Generator, truth: np.ndarray, seeds: int, images: int, spread: np.ndarray
) -> np.ndarray:
    """Who classified what correctly: float, (strategies, seeds, images). ``spread``: of each, (strategies,)."""
    noise = spread[:, None] * rng.standard_normal((len(truth), seeds))
    accuracy = np.clip(truth[:, None] + noise, 0.001, 0.999)
    difficulty = np.sqrt(SHARED) * rng.standard_normal(images)
    own = np.sqrt(OWN) * rng.standard_normal((len(truth), 1, images))
    rest = np.sqrt(1 - SHARED - OWN) * rng.standard_normal((len(truth), seeds, images))
    return (difficulty + own + rest < ndtri(accuracy)[:, :, None]).astype(float)


@dataclass(frozen=True)
class Case:
    """What is simulated: the best strategy's accuracy is ``top``, the others' below it or, if ``equal``, too. If
    ``uneven``, one strategy's deviation between seeds is half as large, and another's three times as large.
    """

    seeds: int
    images: int
    spread: float
    strategies: int = STRATEGIES
    top: float = 0.8
    equal: bool = False
    uneven: bool = False


def measure(case: Case, runs: int) -> dict[str, Any]:
    decisions.DRAWS = 1000  # enough for a median, and with more they would take most of the time
    seeds, images, spread = case.seeds, case.images, case.spread
    rng = np.random.default_rng([seeds, images, round(spread * 1000)])
    names = (
        "cover",
        "cover_difference",
        "cover_leader",
        "cover_chosen",
        "false_bound",
        "false_out",
        "decided",
        "good",
    )
    counts = dict.fromkeys(names, 0)
    for _ in range(runs):
        leads_of_best = (
            [0.0] * (case.strategies - 1) if case.equal else rng.choice(LEADS, case.strategies - 1)
        )
        truth = case.top - np.array([0.0, *leads_of_best])
        rng.shuffle(truth)
        spreads = np.full(case.strategies, spread)
        if case.uneven:
            spreads[:2] *= 0.5, 3
            rng.shuffle(spreads)
        results = [
            Simulated(i, right) for i, right in enumerate(simulate(rng, truth, seeds, images, spreads))
        ]
        first, second = results[0], results[1]
        candidate = first.candidate
        counts["cover"] += candidate.low <= truth[0] <= candidate.high
        lead = first._answers.credits - second._answers.credits
        shared, borrowed = pairs.typical_variance(results)
        alone = first._answers.spread(lead, UNSEEN_DIFFERENCE)
        half = replace(alone, shared=shared, borrowed=borrowed).half_width(LEVEL)
        counts["cover_difference"] += abs(lead.mean() - (truth[0] - truth[1])) <= half

        decision = decisions.decide_among(results, EQUIVALENCE, "simulated", 1.0)
        of = {str(i): value for i, value in enumerate(truth)}
        for name, one in (("cover_leader", decision.leader), ("cover_chosen", decision.recommended)):
            counts[name] += one.low <= of[one.strategy] <= one.high
        bounds = np.array([c.at_most for c in decision.candidates])
        lost = np.array([truth.max() - of[c.strategy] for c in decision.candidates])
        out = {c.strategy for c in decision.with_verdict("better")}
        best = {name for name, value in of.items() if value >= truth.max() - 1e-12}
        counts["false_bound"] += bool((bounds < lost - 1e-12).any())
        counts["false_out"] += best <= out  # of equals, one has to remain
        if decision.is_decided:
            counts["decided"] += 1
            counts["good"] += truth.max() - of[decision.recommended.strategy] <= 0.01 + 1e-12
    decided = counts["decided"]
    return {
        **asdict(case),
        **{name: counts[name] / runs for name in names if name != "good"},
        "good": counts["good"] / decided if decided else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--spreads", type=float, nargs="+", default=[0.005, 0.01, 0.02, 0.04])
    options = parser.parse_args()
    rows = []
    print(
        f"{'strategies':>20} {'seeds':>5} {'images':>6} {'spread':>6} {'cover':>6} {'difference':>10} "
        f"{'leader':>6} {'chosen':>6} {'false bound':>12} {'false out':>10} {'decided':>7} {'good':>6}"
    )
    cases = [Case(*values) for values in itertools.product(options.seeds, options.images, options.spreads)]
    cases += [Case(5, 500, 0.01, strategies, equal=True) for strategies in (2, 4, 8)]
    cases += [
        Case(seeds, 1000, 0.01, strategies, equal=equal, uneven=uneven)
        for strategies in (8, 20)
        for seeds in (3, 5)
        for equal, uneven in ((False, False), (True, False), (True, True))
    ]
    cases += [
        Case(seeds, 1000, 0.01, uneven=True, equal=equal) for seeds in (3, 5) for equal in (False, True)
    ]
    cases += [Case(3, images, 0.003, top=top) for images, top in ((40, 0.995), (80, 0.995), (100, 0.998))]
    with ProcessPoolExecutor() as pool:
        for row in pool.map(measure, cases, [options.runs] * len(cases)):
            rows.append(row)
            good = "     -" if row["good"] is None else f"{row['good']:>6.3f}"
            kind = " ".join(
                [f"{row['strategies']} of {row['top']}", *(w for w in ("equal", "uneven") if row[w])]
            )
            print(f"{kind:>20} {row['seeds']:>5} {row['images']:>6} {row['spread']:>6} {row['cover']:>6.3f} "
                  f"{row['cover_difference']:>10.3f} {row['cover_leader']:>6.3f} {row['cover_chosen']:>6.3f} "
                  f"{row['false_bound']:>12.3f} {row['false_out']:>10.3f} "
                  f"{row['decided']:>7.3f} {good}", flush=True)  # fmt: skip
    print(json.dumps({"runs": options.runs, "rows": rows}))


if __name__ == "__main__":
    main()
