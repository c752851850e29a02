"""Does choosing cells one by one find the right arm for less, and do its claims hold? Simulated, of known truth.

Arms have a true accuracy with all labels, a lower one with the fewest, and a price. Three ways to spend:

- ours: ``bench.deciding.race``, until it says that it is over;
- grid: three label counts, three seeds, arm by arm, as a whole grid runs, cut where the money ends;
- halving: every arm with the fewest labels; then, of those left, the better half get one more seed with all labels,
  again and again.

For each share of the whole grid's price: how often the arm that is then recommended lies within a point of the best
(good), and how far it is behind on average (short, in points). For ours also: how often it ends decided, at what
share of the price, and how often a claim was wrong at any of its looks (wrong_bound: an arm gives up more than was
said; wrong_out: all that are best were ruled out). Looking after every seed, as if each were the only look, is
beside it (peeking).

    python tests/benchmarks/deciding.py [--runs 80] [--cases mixed equal behind]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from truth import LEADS, Simulated, simulate

from bench.deciding.race import Arm, Race, next_step, provisional
from reports.statistics.best import Family
from reports.statistics.looks import UNTIL_DECIDED, Looks

REGION = 0.01
SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)
"""Of the whole grid's price."""
PRICES = {0.1: 0.25, 0.3: 0.5, 1.0: 1.0}
"""Of a cell at a share of the labels, of one with all."""
FAR = (0.08, 0.15, 0.3)
"""Leads of the best over what is no rival."""


@dataclass(frozen=True)
class Case:
    """What is simulated: ``kind`` is ``mixed``, ``equal`` (all the same), ``behind`` (all others 1.05 points) or
    ``uneven`` (all the same, one arm three times as variable)."""

    arms: int
    images: int
    spread: float
    kind: str = "mixed"


@dataclass
class World:
    """One draw of the truth and of all results that there could be."""

    truth: np.ndarray
    probes: np.ndarray
    prices: np.ndarray
    runs: list[Simulated] = field(repr=False)

    @classmethod
    def draw(cls, case: Case, rng: np.random.Generator) -> World:
        leads = rng.choice(LEADS + FAR, case.arms - 1)
        if case.kind != "mixed":
            leads = np.full(case.arms - 1, 0.0105 if case.kind == "behind" else 0.0)
        truth = 0.8 - np.array([0.0, *leads])
        rng.shuffle(truth)
        spread = np.full(case.arms, case.spread)
        if case.kind == "uneven":
            spread[rng.integers(case.arms)] *= 3
        results = simulate(rng, truth, max(UNTIL_DECIDED), case.images, spread)
        gains = 0.12 + 0.04 * rng.standard_normal(case.arms)
        probes = results[:, 0].mean(axis=1) - gains + 0.01 * rng.standard_normal(case.arms)
        prices = np.exp(rng.uniform(0, np.log(10), case.arms))
        return cls(truth, probes, prices, [Simulated(i, right) for i, right in enumerate(results)])

    def first(self, arm: int, seeds: int) -> Simulated:
        """The results of the first seeds of an arm."""
        found = Simulated(arm, self.runs[arm]._answers.credits[:seeds])
        found.cells["total_seconds"] = self.prices[arm]
        return found

    @property
    def grid_price(self) -> float:
        return float(3 * sum(PRICES.values()) * self.prices.sum())


Spent = Iterator[tuple[float, Callable[[], int]]]
"""Price of a cell, and what says which arm is recommended once it has run."""


def recommended(world: World, seeds: dict[int, int], looks: Looks) -> int:
    """As a report would recommend: with three seeds by bounds, else by means."""
    known = [arm for arm, count in seeds.items() if count >= UNTIL_DECIDED[0]]
    if not known:
        return max(seeds, key=lambda arm: world.first(arm, seeds[arm]).value) if seeds else -1
    family = Family([world.first(arm, seeds[arm]) for arm in known], looks, REGION)
    bounds = [family.at_most(place) for place in range(len(known))]
    good = [place for place, bound in enumerate(bounds) if bound <= REGION]
    if good:
        return min((known[place] for place in good), key=lambda arm: world.prices[arm])
    return known[int(np.argmin(bounds))]


def grid(world: World, case: Case) -> Spent:
    """Arm by arm."""
    seeds: dict[int, int] = {}
    for arm, share, _ in product(range(case.arms), (1.0, 0.3, 0.1), range(3)):
        if share == 1.0:
            seeds[arm] = seeds.get(arm, 0) + 1
        yield PRICES[share] * world.prices[arm], partial(recommended, world, dict(seeds), Looks((3,)))


def halving(world: World, case: Case) -> Spent:
    """The better half of those left get one more seed."""
    for arm in np.argsort(world.prices):
        yield PRICES[0.1] * world.prices[arm], lambda: int(np.argmax(world.probes))
    left = [int(arm) for arm in np.argsort(-world.probes)[: max(2, case.arms // 2)]]
    seeds = 0
    while seeds < max(UNTIL_DECIDED):
        seeds += 1
        for arm in left:
            yield float(world.prices[arm]), partial(int, left[0])
        left.sort(key=lambda arm: -world.first(arm, seeds).value)
        left = left[: max(2, len(left) // 2)]


@dataclass
class Claims:
    """What was claimed on the way."""

    ended: str = ""
    wrong_bound: bool = False
    wrong_out: bool = False
    peeking: bool = False


def ours(world: World, case: Case, claims: Claims) -> Spent:
    """The race."""
    looks = Looks(UNTIL_DECIDED)
    arms = [Arm(seconds=p, probe_seconds=PRICES[0.1] * p) for p in world.prices]
    kept: dict[tuple[tuple[int, int], ...], Family] = {}

    def family(chosen: list[int]) -> Family:
        key = tuple((i, looks.at(len(arms[i].values))) for i in chosen)
        if key not in kept:
            kept[key] = Family([world.first(i, len(arms[i].values)) for i in chosen], looks, REGION)
        return kept[key]

    while True:
        race = Race(arms, UNTIL_DECIDED, REGION, family)
        step = next_step(race)
        if step.what in ("decided", "unsettled"):
            claims.ended = step.what
            return
        arm = arms[step.arm]
        if step.what == "probe":
            arms[step.arm] = Arm(
                float(world.probes[step.arm]), True, {}, frozenset(), arm.seconds, arm.probe_seconds
            )
            price = arm.probe_seconds
        else:
            arm.values[step.seed] = float(world.runs[step.arm].values[step.seed])
            price = arm.seconds
        known = [i for i, a in enumerate(arms) if len(a.values) >= UNTIL_DECIDED[0]]
        seeds = {i: len(a.values) for i, a in enumerate(arms) if a.values}
        if step.what == "seed" and step.arm in known:
            judge(world, known, family(known), claims)
            claims.peeking = claims.peeking or (case.kind != "mixed" and peeks(world, known, seeds))
        if len(known) == len(arms):
            yield price, partial(recommended, world, seeds, looks)
        else:
            yield (
                price,
                partial(
                    provisional,
                    Race([replace(a, values=dict(a.values)) for a in arms], UNTIL_DECIDED, REGION, family),
                ),
            )


def judge(world: World, known: list[int], family: Family, claims: Claims) -> None:
    """Whether any claim is wrong."""
    truth = world.truth[known]
    bounds = [family.at_most(place) for place in range(len(known))]
    claims.wrong_bound |= bool((np.array(bounds) < truth.max() - truth - 1e-12).any())
    claims.wrong_out |= _all_best_out(family, truth)


def _all_best_out(family: Family, truth: np.ndarray) -> bool:
    """Whoever is ruled out has something tried that is at least as good: of equals, one has to remain."""
    return all(family.is_out(int(place)) for place in np.flatnonzero(truth >= truth.max() - 1e-12))


def peeks(world: World, known: list[int], seeds: dict[int, int]) -> bool:
    """Whether a family that takes every look for its only one would wrongly say that all of the best are out."""
    family = Family([world.first(arm, seeds[arm]) for arm in known], Looks(), REGION)
    return _all_best_out(family, world.truth[known])


def measure(case: Case, runs: int) -> dict[str, Any]:
    rng = np.random.default_rng([case.arms, case.images, round(case.spread * 1e4), len(case.kind)])
    good: dict[str, np.ndarray] = {way: np.zeros(len(SHARES)) for way in ("ours", "grid", "halving")}
    short = {way: np.zeros(len(SHARES)) for way in good}
    ended, ends_at, wrong = {"decided": 0, "unsettled": 0}, [], np.zeros(3)
    for _ in range(runs):
        world, claims = World.draw(case, rng), Claims()
        ways: dict[str, Callable[[], Spent]] = {
            "ours": lambda w=world, c=claims: ours(w, case, c),
            "grid": lambda w=world: grid(w, case),
            "halving": lambda w=world: halving(w, case),
        }
        for way, spend in ways.items():
            spent, at = 0.0, {}
            chosen: Callable[[], int] = int
            for price, then in spend():
                spent += price
                for share in SHARES:
                    if spent > share * world.grid_price and share not in at:
                        at[share] = chosen()
                chosen = then
            last = chosen()
            if way == "ours":
                ends_at.append(spent / world.grid_price)
            for place, share in enumerate(SHARES):
                behind = world.truth.max() - world.truth[at.get(share, last)]
                good[way][place] += behind <= REGION + 1e-12
                short[way][place] += 100 * behind
        ended[claims.ended] += 1
        wrong += claims.wrong_bound, claims.wrong_out, claims.peeking
    rows = {
        way: [f"{g / runs:.2f}/{s / runs:.1f}" for g, s in zip(good[way], short[way], strict=True)]
        for way in good
    }
    return {
        **asdict(case), "runs": runs, "good/short at": list(SHARES), **rows,
        "decided": round(ended["decided"] / runs, 3), "ends at": round(float(np.median(ends_at)), 2),
        "wrong_bound": wrong[0] / runs, "wrong_out": wrong[1] / runs, "peeking": wrong[2] / runs,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=80)
    parser.add_argument("--cases", nargs="+", default=["mixed", "equal", "behind", "uneven"])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    shapes = ((12, 1000, 0.01), (5, 400, 0.01), (12, 5000, 0.005), (20, 1000, 0.02))
    cases = [Case(*shape, kind) for kind in options.cases for shape in shapes]
    with ProcessPoolExecutor(options.workers) as pool:
        for row in pool.map(measure, cases, [options.runs] * len(cases)):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
