"""How far each strategy is from its best: its defaults and its search against the best of a wide grid.

For each task (dataset x backbone x label count) and strategy, a grid around the defaults is tried: learning rates
over two decades, lengths over one and a half, weight decays over two. The best of it is chosen by test accuracy on
some seeds and scored on others, so that luck does not count as skill. Regret is what the defaults (trial 0), or a
search of four trials, give away against it on these other seeds, in points.

    python tests/benchmarks/recipes.py --data ../shared/datasets --out recipes.jsonl

Each line of --out is one training; running it again goes on. ``--cross`` takes only the 11 points of 75 that differ
from the default in one thing; with ``--tasks google:150 --strategies partial_finetune`` it takes minutes. Prints
JSON, then a table.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

STRATEGIES = ("feature_extraction", "partial_finetune", "full_finetune", "scratch")
RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
LENGTHS = (0.18, 0.42, 1.0, 2.4, 5.6)
DECAYS = (0.1, 1.0, 10.0)
TRIALS = 4
MOBILENET, LITE = "MobileNet:alpha=0.25", "EfficientNetLite0"
TASKS = [
    ("digits", LITE, 32, (50, 144, 1437)),
    ("digits", MOBILENET, 64, (50, 144)),
    ("clothing", MOBILENET, 96, (50, 170, 341, 1023, 3409)),
    ("emoji/google", MOBILENET, 64, (150, 600)),
    ("emoji/twitter", MOBILENET, 64, (150, 600)),
    ("cells/manifest.csv", MOBILENET, 64, (300, 1500)),
    ("fashion", MOBILENET, 64, (200, 1000)),
    ("clothing", LITE, 64, (170, 341)),
    ("cells/manifest.csv", LITE, 64, (300,)),
]
FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts it."""


@dataclass(frozen=True)
class Task:
    """What is learned: some labels of a dataset, with a backbone."""

    data: str
    backbone: str
    size: int
    labels: int

    @property
    def name(self) -> str:
        return f"{self.data.split('/')[-1 if 'emoji' in self.data else 0]}:{self.labels}:{self.backbone[0]}"


@dataclass(frozen=True)
class Job:
    """One training of a strategy: with the given hyperparameters, or of what a search finds."""

    task: Task
    strategy: str
    trials: int
    length: float
    seed: int

    @property
    def key(self) -> str:
        return (
            f"{self.task.name} {self.strategy} trials={self.trials} length={self.length:g} seed={self.seed}"
        )


def grid(strategy: str, cross: bool) -> list[tuple[str, float]]:
    """The strategy with given hyperparameters, and a length, of each point of the grid.

    Args:
        strategy: its name.
        cross: only the points that differ from the default in one of rate, length and decay.
    """
    from bench.plans.given import declared
    from bench.plans.strategies import get_strategy

    values = declared(get_strategy(strategy).space).values
    rate, decay = values["learning_rate"], values["weight_decay"]
    return [
        (f"{strategy}:learning_rate={rate * r:.6g},weight_decay={decay * d:.6g}", n)
        for r, n, d in itertools.product(RATES, LENGTHS, DECAYS)
        if rate * r <= 1 and rate * r * decay * d < 0.5 and not (cross and (r, n, d).count(1.0) < 2)
    ]


def first_round(options: argparse.Namespace) -> list[Job]:
    """The grid, on the seeds that choose."""
    return [
        Job(task, text, 1, length, seed)
        for task in tasks(options)
        for strategy in options.strategies
        for seed in range(options.choose)
        for text, length in grid(strategy, options.cross)
    ]


def second_round(options: argparse.Namespace) -> list[Job]:
    """The best of the grid, the defaults and the search, on the seeds that score."""
    rows, found = lines(options.out), []
    for task in tasks(options):
        for strategy in options.strategies:
            best = best_of(rows, task.name, strategy, options)
            each = [(*best, 1), (strategy, 1.0, 1), (strategy, 1.0, TRIALS)]
            each += [(strategy, 2.0, 1)] if options.twice else []
            for seed in range(options.choose, options.choose + options.score):
                found += [Job(task, text, trials, length, seed) for text, length, trials in each]
    return found


def best_of(
    rows: list[dict[str, Any]], task: str, strategy: str, options: argparse.Namespace
) -> tuple[str, float]:
    """The point of the grid with the highest mean accuracy on the seeds that choose."""
    points = grid(strategy, options.cross)
    means = {}
    for text, length in points:
        found = accuracies(rows, task, text, length, 1, range(options.choose))
        if found:
            means[text, length] = mean(found)
    return max(means, key=lambda point: means[point])


def accuracies(
    rows: list[dict[str, Any]], task: str, strategy: str, length: float, trials: int, seeds: range
) -> list[float]:
    """Test accuracies of one kind of training, by seed."""
    of = {
        row["seed"]: row["accuracy"]
        for row in rows
        if (row["task"], row["strategy"], row["length"], row["trials_each"])
        == (task, strategy, length, trials)
    }
    return [of[seed] for seed in seeds if seed in of]


def tasks(options: argparse.Namespace) -> list[Task]:
    """Those that were asked for, by the beginning of their names."""
    every = [Task(data, backbone, size, n) for data, backbone, size, counts in TASKS for n in counts]
    return [task for task in every if any(task.name.startswith(name) for name in options.tasks or [""])]


def path_of(task: Task, folder: Path) -> str:
    """Where the data of a task lie."""
    if task.data == "digits":
        return "digits"
    if task.data != "fashion":
        return str(folder / task.data)
    made = Path(tempfile.gettempdir()) / "transfer-bench-fashion.npz"
    if not made.exists():
        images, labels = (_idx(FASHION / f"t10k-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
        np.savez(made, x=images[:5000], y=labels[:5000])
    return str(made)


def _idx(path: Path) -> np.ndarray:
    """An array in the format of MNIST."""
    content = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


# --- a worker -------------------------------------------------------------------------------------------------


def train(job: Job, folder: Path) -> dict[str, Any]:
    """Runs one job; without a search only the refit is trained."""
    from bench.plans.strategies import get_strategy
    from bench.protocols.fractions.cell import LabelSearch, _divided
    from bench.protocols.trials import info_of, network_of
    from bench.tasks.single_label import score

    dataset, cell = _cell(job.task, path_of(job.task, folder), job.strategy, job.trials, job.length, job.seed)
    strategy = get_strategy(cell.strategy)
    rows, training, validation = _divided(cell, dataset)
    network, info, reason = network_of(cell, strategy, _engine(), info_of(cell, dataset, len(rows)))
    assert reason is None, reason
    tuned = LabelSearch(
        cell, dataset, network, strategy, info, lambda text: None,
        train=training, val=validation, source=None, auxiliary=(),
    )  # fmt: skip
    if job.trials > 1:
        tuned.run()
    final = tuned.refit(rows)
    measured = score(tuned.tested(final), dataset.test.labels)
    return {
        "accuracy": measured["accuracy"],
        "n": len(rows),
        "n_test": len(dataset.test.labels),
        "steps": final.steps,
        "seconds": final.seconds,
        "trials": tuned.trials,
    }


@cache
def _engine() -> Any:
    from bench.training.engine import Engine

    return Engine(threads=1)


@cache
def _cell(task: Task, path: str, strategy: str, trials: int, length: float, seed: int) -> tuple[Any, Any]:
    from dataclasses import replace

    from bench.datasets import open_dataset
    from bench.plans.loading import load_plan
    from bench.plans.resolved import resolve
    from bench.runs.prepare import prepare

    plan = {"datasets": [path], "backbones": [task.backbone], "strategies": [strategy], "image_size": task.size,
            "seeds": 1, "fractions": [1.0], "tuning": {"trials": trials}, "length": length}  # fmt: skip
    (cell,) = prepare(resolve(load_plan(plan)), lambda text: None).cells
    dataset = open_dataset(cell.dataset, cell.examples)
    return dataset, replace(cell, seed=seed, fraction=min(1.0, task.labels / len(dataset.pool.ids)))


def work(options: argparse.Namespace) -> None:
    """Runs every so many-th job that has no line yet."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    number, workers = map(int, options.worker.split("/"))
    done = {row["key"] for row in lines(options.out)}
    every = second_round(options) if options.second else first_round(options)
    mine = [
        job for i, job in enumerate(dict.fromkeys(every)) if i % workers == number and job.key not in done
    ]
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    for job in mine:
        row = {"key": job.key, "task": job.task.name, "strategy": job.strategy, "trials_each": job.trials,
               "length": job.length, "seed": job.seed, **train(job, options.data)}  # fmt: skip
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")


# --- what comes of it -----------------------------------------------------------------------------------------


def lines(path: Path) -> list[dict[str, Any]]:
    """What has been measured."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def regrets(rows: list[dict[str, Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a task and strategy: accuracies on the seeds that score, and what is given away, in points."""
    found, seeds = [], range(options.choose, options.choose + options.score)
    for task, name in itertools.product([task.name for task in tasks(options)], options.strategies):
        best = best_of(rows, task, name, options)
        top = mean(accuracies(rows, task, *best, 1, seeds))
        default = accuracies(rows, task, name, 1.0, 1, seeds)
        search = mean(accuracies(rows, task, name, 1.0, TRIALS, seeds))
        twice = accuracies(rows, task, name, 2.0, 1, seeds)
        found.append(
            {
                "task": task,
                "strategy": name,
                "best_of_grid": top,
                "best": f"{best[0].partition(':')[2]} x{best[1]:g}",
                "default": mean(default),
                "deviation": stdev(default) if len(default) > 1 else None,
                "search": search,
                "regret_default": 100 * (top - mean(default)),
                "regret_search": 100 * (top - search),
                "twice_as_long": 100 * (mean(twice) - mean(default)) if twice else None,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of clothing/, emoji/ and cells/")
    parser.add_argument("--out", type=Path, required=True, help="a JSON line a training")
    parser.add_argument("--tasks", nargs="+", help="beginnings of names, such as clothing:170 or digits")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--cross", action="store_true", help="only points that change one thing")
    parser.add_argument("--choose", type=int, default=2, help="seeds that choose the best of the grid")
    parser.add_argument("--score", type=int, default=3, help="further seeds that score it")
    parser.add_argument("--twice", action="store_true", help="the defaults at twice the length as well")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--second", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    for second in ([], ["--second"]):
        command = [sys.executable, __file__, *sys.argv[1:], *second, "--worker"]
        workers = [subprocess.Popen([*command, f"{i}/{options.workers}"]) for i in range(options.workers)]
        if sum(worker.wait() != 0 for worker in workers):
            sys.exit("A worker failed; what it measured is kept, and running this again goes on.")
    found = regrets(lines(options.out), options)
    print(json.dumps(found))
    headings = f"{'best':>6} {'default':>8} {'search':>7} {'regret':>7} {'searched':>9} {'2x':>6}"
    print(f"{'task':20} {'strategy':20} {headings}  best of the grid")
    for row in found:
        told = {key: points_or_dash(row[key]) for key in ("regret_default", "regret_search", "twice_as_long")}
        print(
            f"{row['task']:20} {row['strategy']:20} {row['best_of_grid']:>6.3f} {row['default']:>8.3f} "
            f"{row['search']:>7.3f} {told['regret_default']:>7} {told['regret_search']:>9} "
            f"{told['twice_as_long']:>6}  {row['best']}"
        )
    for name in options.strategies:
        each = [row["regret_default"] for row in found if row["strategy"] == name]
        if each:
            print(f"{name}: mean regret {mean(each):.1f} points, at most {max(each):.1f}")


def points_or_dash(value: float | None) -> str:
    """In points, or a dash where nothing was measured."""
    return "-" if value is None else f"{value:+.1f}"


if __name__ == "__main__":
    main()
