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
seeds than others; seeds of which one in ten collapses; two and three backbones, where the claims about the strategy
(its mean over the backbones) and about the backbone are judged, too; and very accurate ones on small test sets.

    python tests/benchmarks/truth.py [--runs 2000] [--seeds 3 5 10] [--images 200 1000 5000]
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterable
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
from reports.statistics.looks import Looks

STRATEGIES = 4
SHARED, OWN = 0.5, 0.15
"""Shares of an image's difficulty that all strategies have in common and that one strategy has on all seeds."""
COLLAPSED = 0.3
"""What a seed reaches whose training has failed."""
LEADS = (0.0, 0.003, 0.008, 0.015, 0.03, 0.06)
"""The best strategy's true lead over each other is one of these."""


class Simulated(pairs.Measured):
    """Results of a strategy that came from no files."""

    def __init__(self, name: int, right: np.ndarray, backbone: str = "") -> None:
        seeds, images = right.shape
        cells = pd.DataFrame(
            {
                "accuracy": right.mean(axis=1).astype(float),
                "n_test": images,
                "total_seconds": float(name),
                "inference_ms_per_image": 1.0,
                "params": 1.0,
                "strategy": str(name),
                "backbone": backbone,
                "weights": "",
            },
            index=range(seeds),
        )
        super().__init__(cells, None)
        self._answers = Answers(np.arange(images).astype(str), right, None)

    def answers(self, seeds: Iterable[int]) -> Answers:
        return replace(self._answers, credits=self._answers.credits[list(seeds)])


def simulate(
    rng: np.random.Generator,
    truth: np.ndarray,
    seeds: int,
    images: int,
    spread: np.ndarray,
    collapse: float = 0.0,
) -> np.ndarray:
    """Who classified what correctly: float, (strategies, seeds, images). ``spread``: of each, (strategies,);
    ``collapse``: the share of seeds that reach ``COLLAPSED`` alone."""
    noise = spread[:, None] * rng.standard_normal((len(truth), seeds))
    accuracy = np.clip(truth[:, None] + noise, 0.001, 0.999)
    if collapse:
        accuracy[rng.random(accuracy.shape) < collapse] = COLLAPSED
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
    backbones: int = 1
    collapse: float = 0.0


def truths(case: Case, rng: np.random.Generator) -> np.ndarray:
    """True accuracies, (strategies, backbones)."""
    found = np.full((case.strategies, case.backbones), case.top)
    if not case.equal:
        found[1:] -= rng.choice(LEADS, case.strategies - 1)[:, None]
        if case.backbones > 1:
            found[:, 1:] -= rng.choice(LEADS, case.backbones - 1)
    if case.backbones > 1:
        found += 0.003 * rng.standard_normal(found.shape)  # not every strategy gains as much by a backbone
    rng.shuffle(found)
    return found


@dataclass
class Judged:
    """What became of the claims of one kind."""

    false_bound: int = 0
    false_out: int = 0
    decided: int = 0
    good: int = 0

    def judge(
        self,
        decision: decisions.Decision | None,
        name: Callable[[pairs.Candidate], str],
        truth: dict[str, float],
    ) -> None:
        """Counts what a decision claims; ``truth``: by ``name``."""
        if decision is None:
            return
        most = max(truth.values())
        out = {name(c) for c in decision.with_verdict("better")}
        best = {key for key, value in truth.items() if value >= most - 1e-12}
        self.false_bound += any(c.at_most < most - truth[name(c)] - 1e-12 for c in decision.candidates)
        self.false_out += best <= out  # of equals, one has to remain
        if decision.is_decided:
            self.decided += 1
            self.good += most - truth[name(decision.recommended)] <= EQUIVALENCE + 1e-12

    def shares(self, runs: int, what: str = "") -> dict[str, float | None]:
        """As columns."""
        good = self.good / self.decided if self.decided else None
        found = {"false_bound": self.false_bound, "false_out": self.false_out, "decided": self.decided}
        return {**{what + name: count / runs for name, count in found.items()}, f"{what}good": good}


def measure(case: Case, runs: int) -> dict[str, Any]:
    decisions.DRAWS = 1000  # enough for a median, and with more they would take most of the time
    seeds, images, spread = case.seeds, case.images, case.spread
    rng = np.random.default_rng([seeds, images, round(spread * 1000)])
    names = ("cover", "cover_difference", "cover_leader", "cover_chosen")
    counts = dict.fromkeys(names, 0)
    pair, strategy, backbone = Judged(), Judged(), Judged()
    for _ in range(runs):
        table = truths(case, rng)
        spreads = np.full(table.size, spread)
        if case.uneven:
            spreads[:2] *= 0.5, 3
            rng.shuffle(spreads)
        right = simulate(rng, table.ravel(), seeds, images, spreads, case.collapse)
        table = (1 - case.collapse) * table + case.collapse * COLLAPSED
        places = [*itertools.product(range(case.strategies), range(case.backbones))]
        alone = case.backbones == 1
        results = [
            Simulated(s, credits, "" if alone else f"b{b}")
            for (s, b), credits in zip(places, right, strict=True)
        ]
        first, second = results[0], results[1]
        candidate, truth = first.candidate, table.ravel()
        counts["cover"] += candidate.low <= truth[0] <= candidate.high
        lead = first._answers.credits - second._answers.credits
        shared, borrowed = pairs.typical_variance(results)
        spread_of = first._answers.spread(lead, UNSEEN_DIFFERENCE)
        half = replace(spread_of, shared=shared, borrowed=borrowed).half_width(LEVEL)
        counts["cover_difference"] += abs(lead.mean() - (truth[0] - truth[1])) <= half

        decision = decisions.decide_among(results, EQUIVALENCE, "simulated", 1.0)
        decision = decisions.in_parts(decision, results, Looks())
        of = {name_of(result.candidate): value for result, value in zip(results, truth, strict=True)}
        for name, one in (("cover_leader", decision.leader), ("cover_chosen", decision.recommended)):
            counts[name] += one.low <= of[name_of(one)] <= one.high
        pair.judge(decision, name_of, of)
        means = {str(s): value for s, value in enumerate(table.mean(axis=1))}
        strategy.judge(decision.strategy, lambda c: c.strategy, means)
        if decision.backbone is not None:
            chosen = table[int(decision.backbone.leader.strategy)]
            on = {f"b{b}": value for b, value in enumerate(chosen)}
            backbone.judge(decision.backbone, lambda c: c.backbone, on)
    found = {**asdict(case), **{name: counts[name] / runs for name in names}, **pair.shares(runs)}
    if case.backbones > 1:
        found |= {**strategy.shares(runs, "strategy_"), **backbone.shares(runs, "backbone_")}
    return found


def name_of(candidate: pairs.Candidate) -> str:
    """A configuration of a simulated run."""
    return f"{candidate.strategy} {candidate.backbone}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--only", choices=["collapse", "backbones"], help="these of the hard cases alone")
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
    cases += [
        Case(seeds, 1000, 0.01, strategies, equal=equal, collapse=0.1)
        for strategies in (4, 12)
        for seeds in (3, 5)
        for equal in (False, True)
    ]
    cases += [
        Case(seeds, 1000, 0.01, equal=equal, backbones=backbones)
        for backbones in (2, 3)
        for seeds in (3, 5)
        for equal in (False, True)
    ]
    cases += [Case(3, images, 0.003, top=top) for images, top in ((40, 0.995), (80, 0.995), (100, 0.998))]
    if options.only:
        cases = [c for c in cases if (c.collapse if options.only == "collapse" else c.backbones > 1)]
    with ProcessPoolExecutor() as pool:
        for row in pool.map(measure, cases, [options.runs] * len(cases)):
            rows.append(row)
            good = "     -" if row["good"] is None else f"{row['good']:>6.3f}"
            kind = " ".join(
                [
                    f"{row['strategies']} of {row['top']}",
                    *(w for w in ("equal", "uneven", "collapse") if row[w]),
                ]
            )
            kind += f" x {row['backbones']}" if row["backbones"] > 1 else ""
            print(f"{kind:>20} {row['seeds']:>5} {row['images']:>6} {row['spread']:>6} {row['cover']:>6.3f} "
                  f"{row['cover_difference']:>10.3f} {row['cover_leader']:>6.3f} {row['cover_chosen']:>6.3f} "
                  f"{row['false_bound']:>12.3f} {row['false_out']:>10.3f} "
                  f"{row['decided']:>7.3f} {good}", flush=True)  # fmt: skip
            for what in ("strategy", "backbone") if row["backbones"] > 1 else ():
                print(
                    f"{what:>20} {'':>47} {row[f'{what}_false_bound']:>18.3f} "
                    f"{row[f'{what}_false_out']:>10.3f} {row[f'{what}_decided']:>7.3f}"
                )
    print(json.dumps({"runs": options.runs, "rows": rows}))


if __name__ == "__main__":
    main()
