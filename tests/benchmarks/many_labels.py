"""How often the intervals of metrics of many labels hold the truth: 95% is what they promise. And pictures to try.

    python tests/benchmarks/many_labels.py coverage [--tests 400]
    python tests/benchmarks/many_labels.py digits FOLDER    # pictures with none to three digits, and their manifest

A made-up model of each of some seeds scores made-up test examples. The truth is the mean of the metric over many
test sets of the same size and over new seeds, which is what the report's intervals are about.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reports.statistics.answers import Answers
from reports.statistics.intervals import LEVEL, UNSEEN_DIFFERENCE
from reports.statistics.many_credits import heaviest_of_many, many_credits

METRICS = ("mean_average_precision", "macro_f1", "micro_f1", "auroc")


@dataclass(frozen=True)
class World:
    """Where test sets come from: the frequencies of labels, how well they are told, and how far seeds differ."""

    name: str
    examples: int
    frequencies: tuple[float, ...]
    skill: float = 2.0
    of_seed: float = 0.3
    together: float = 0.0
    """How strongly labels occur together."""

    def labels(self, rng: np.random.Generator) -> np.ndarray:
        odds = np.log(np.array(self.frequencies) / (1 - np.array(self.frequencies)))
        shared = rng.normal(0, self.together, (self.examples, 1)) if self.together else 0.0
        return (rng.random((self.examples, len(odds))) < 1 / (1 + np.exp(-odds - shared))).astype(np.uint8)

    def model(self, rng: np.random.Generator, skill: float) -> Callable[..., np.ndarray]:
        """What one seed has learned: its own skill with each label."""
        own = skill + rng.normal(0, self.of_seed, len(self.frequencies))
        odds = np.log(np.array(self.frequencies) / (1 - np.array(self.frequencies)))

        def scores(labels: np.ndarray, hard: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            noise = 0.8 * hard + 0.6 * rng.normal(size=labels.shape)
            return 1 / (1 + np.exp(-(odds + own * (1.5 * labels - 0.5) + noise)))

        return scores


WORLDS = (
    World("8 labels, 300 examples", 300, (0.3, 0.3, 0.2, 0.2, 0.2, 0.15, 0.1, 0.1)),
    World("20 labels, 300, rare ones", 300, tuple(np.geomspace(0.4, 0.015, 20).tolist())),
    World("20 labels, 2000, rare ones", 2000, tuple(np.geomspace(0.4, 0.005, 20).tolist())),
    World("20 labels, 500, together", 500, tuple(np.geomspace(0.4, 0.02, 20).tolist()), together=1.5),
)


def tested(world: World, seeds: int, metric: str, rng: np.random.Generator, gap: float) -> list[Answers]:
    """What seeds of two strategies get on one test set; the second is better by ``gap`` in skill."""
    labels = world.labels(rng)
    hard = rng.normal(size=labels.shape)
    found = []
    for skill in (world.skill, world.skill + gap):
        models = [world.model(rng, skill) for _ in range(seeds)]
        credits = np.stack([many_credits(model(labels, hard, rng), labels, metric) for model in models])
        ids = np.arange(len(labels)).astype(str)
        found.append(Answers(ids, credits, None, heaviest_of_many(labels, metric)))
    return found


def coverage(world: World, seeds: int, metric: str, tests: int, gap: float = 0.3) -> dict[str, float]:
    """How often the intervals of a value and of a paired difference hold the truth, and their mean half-widths."""
    rng = np.random.default_rng(1)
    runs = [tested(world, seeds, metric, rng, gap) for _ in range(tests)]
    more = [tested(world, 1, metric, rng, gap) for _ in range(3 * tests)]
    truth = [float(np.mean([run[i].credits.mean() for run in (*more, *runs)])) for i in (0, 1)]
    inside, between, halves = [], [], []
    for first, second in runs:
        half = first.spread(first.credits, unseen=first.unseen()).half_width(LEVEL)
        inside.append(abs(first.credits.mean() - truth[0]) <= half)
        lead = second.credits - first.credits
        of_lead = second.spread(lead, unseen=UNSEEN_DIFFERENCE).half_width(LEVEL)
        between.append(abs(lead.mean() - (truth[1] - truth[0])) <= of_lead)
        halves.append((half, of_lead))
    of_value, of_lead = np.mean(halves, axis=0)
    return {
        "truth": truth[0],
        "value": float(np.mean(inside)),
        "difference": float(np.mean(between)),
        "half": float(of_value),
        "half of difference": float(of_lead),
    }


def compose(folder: Path, count: int) -> None:
    """Writes pictures of 40 px with none to three of scikit-learn's digits, and ``digits.csv``."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data, rng = load_digits(), np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    with (folder / "digits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        for i in range(count):
            many, shown = rng.choice([0, 1, 2, 2, 2, 3]), set()
            picture = rng.integers(0, 60, (20, 20)).astype(np.uint8)
            for corner in rng.permutation(4)[:many]:
                which, (dy, dx) = rng.integers(len(data.target)), rng.integers(0, 3, 2)
                y, x = 10 * (corner // 2) + dy, 10 * (corner % 2) + dx
                here = picture[y : y + 8, x : x + 8]
                np.maximum(here, (data.images[which] * 15.9).astype(np.uint8), out=here)
                shown.add(str(data.target[which]))
            Image.fromarray(picture).resize((40, 40)).save(folder / "pictures" / f"{i:05}.png")
            writer.writerow((f"pictures/{i:05}.png", ";".join(sorted(shown))))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("coverage", "digits"))
    parser.add_argument("folder", type=Path, nargs="?", default=Path("many-digits"))
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--tests", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.what == "digits":
        compose(options.folder, options.pictures)
        return
    error = math.sqrt(0.95 * 0.05 / options.tests)
    print(f"{options.seeds} seeds, {options.tests} test sets: a coverage is known within ±{2 * error:.3f}")
    for world in WORLDS:
        for metric in METRICS:
            found = coverage(world, options.seeds, metric, options.tests)
            told = "  ".join(f"{name} {value:.3f}" for name, value in found.items())
            print(f"{world.name:28} {metric:23} {told}", flush=True)


if __name__ == "__main__":
    main()
