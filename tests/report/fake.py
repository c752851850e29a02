"""Records as a run would leave them, made up: every number follows from the arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from bench.records import Cell, Record

STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "full_finetune", "majority")
# Error at 100 labels, exponent of the learning curve, floor of the error, seconds for 1,000 labels.
CURVES = {
    "scratch": (0.86, 0.12, 0.02, 160),
    "feature_extraction": (0.52, 0.20, 0.02, 9),
    "partial_finetune": (0.50, 0.26, 0.02, 70),
    "full_finetune": (0.58, 0.32, 0.02, 210),
}
HOSTILE = (
    "<script>alert(1)</script> \"quoted\" 'single'\nnew\tline $x_1$ {{ 7*7 }} \x00\x1b[31m %s & ]]> é 猫"
)

Spoil = Callable[[Record], None]


def records(
    *,
    datasets: Sequence[str] = ("clothing",),
    backbones: Sequence[str] = ("MobileNet:alpha=0.25",),
    strategies: Sequence[str] = STRATEGIES,
    fractions: Sequence[float] = (0.1, 0.33, 1.0),
    seeds: int = 3,
    pool: int = 3409,
    test: int = 372,
    classes: int = 10,
    points: int = 12,
    spoil: Spoil | None = None,
) -> list[Record]:
    """The records of a whole run. ``spoil`` may change each one afterwards."""
    found = []
    for d, dataset in enumerate(datasets):
        for strategy in strategies:
            for b, backbone in enumerate([""] if strategy == "majority" else backbones):
                for fraction in fractions:
                    for seed in range(seeds):
                        entropy = [d, b, crc32(strategy.encode()), int(fraction * 1000), seed]
                        record = _record(
                            np.random.default_rng(entropy), dataset, f"{d:02x}" * 8, backbone, strategy, fraction,
                            seed, pool, test, classes, points, 0.02 * b + 0.03 * d,
                        )  # fmt: skip
                        found.append(record)
    for record in found:
        if spoil:
            spoil(record)
    return found


def fail(record: Record, status: str = "failed", message: str = "loss is not finite in every trial") -> None:
    """Turns a record into that of a cell without a result."""
    record.status = status
    record.metrics, record.hyperparameters, record.trials, record.curves = {}, {}, [], []
    record.costs = {"wall_seconds": record.costs["wall_seconds"]}
    record.n = record.n_train = record.n_val = record.n_test = record.epochs = record.steps = None
    record.error = {"type": "ValueError", "message": message, "traceback": "Traceback ...\nValueError"}


def write_predictions(found: Sequence[Record], directory: Path, classes: int = 10) -> None:
    """Test-set probabilities that agree with each record's accuracy; hard images are hard for all."""
    folder = directory / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    for record in found:
        if record.status != "ok":
            continue
        test = int(record.n_test or 0)
        shared = np.random.default_rng(int(record.cell["fingerprint"], 16))
        labels, difficulty = shared.integers(classes, size=test), shared.uniform(size=test)
        own = np.random.default_rng(int(record.cell_id, 16))
        right = np.argsort(np.argsort(difficulty + own.normal(0, 0.25, test))) < round(
            record.metrics["accuracy"] * test
        )
        answer = np.where(right, labels, (labels + 1) % classes)
        probabilities = np.full((test, classes), 0.3 / (classes - 1))
        probabilities[np.arange(test), answer] = 0.7
        np.savez(folder / f"{record.cell_id}.npz", probabilities=probabilities, labels=labels,
                 ids=np.arange(test).astype(str))  # fmt: skip


def run_info(found: Sequence[Record], classes: int = 10) -> dict[str, Any]:
    """The content of run.json."""
    datasets = {
        record.cell["fingerprint"]: {
            "name": record.cell["dataset_name"],
            "spec": record.cell["dataset"],
            "modality": "image",
            "class_names": [f"class {i}" for i in range(classes)],
            "class_counts": [378] * classes,
            "n_pool": 3409,
            "n_test": 372,
            "findings": [
                {
                    "kind": "identical_across_splits",
                    "text": "2 of 372 test images (0.5%) with the same pixels as a training image.",
                    "examples": ["test/hat/1.jpg (hat) and train/hat/7.jpg (hat)"],
                },
                {
                    "kind": "unreadable",
                    "text": "1 of 3,782 images not readable and left out: 1 truncated.",
                    "examples": ["train/hat/broken.jpg: truncated"],
                },
            ],
            "left_out": [["train/hat/broken.jpg", "truncated"]],
        }
        for record in found
    }
    return {
        "schema_version": 1,
        "created": "2026-01-02T03:04:05+00:00",
        "versions": {"python": "3.11.9", "tensorflow": "2.21.0", "keras": "3.15.1", "keras-tuner": "1.4.8"},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "hardware": {"cpu": "Some CPU", "cores": 2, "memory_gb": 7.7, "gpu": [], "os": "Linux"},
        "command": "python -m bench run --dataset clothing",
        "datasets": datasets,
        "notes": ["Images of the frozen part are seen in 4 augmented views."],
    }


def plan_toml(found: Sequence[Record]) -> str:
    """A plan whose cells these records are (it need not be one that ``load_plan`` accepts)."""
    import tomli_w

    cells = [record.cell for record in found]

    def distinct(key: str) -> list[Any]:
        return list(dict.fromkeys(cell[key] for cell in cells if cell[key] != ""))

    return tomli_w.dumps(
        {
            "datasets": distinct("dataset"),
            "backbones": distinct("backbone"),
            "strategies": distinct("strategy"),
            "fractions": distinct("fraction"),
            "seeds": len(distinct("seed")),
            "tuning": {"algorithm": "random", "trials": 3},
        }
    )


def _record(
    rng: np.random.Generator, dataset: str, fingerprint: str, backbone: str, strategy: str, fraction: float,
    seed: int, pool: int, test: int, classes: int, points: int, shift: float,
) -> Record:  # fmt: skip
    cell = Cell(
        strategy=strategy, strategy_version=1, dataset=f"/data/{dataset}", dataset_name=dataset,
        fingerprint=fingerprint, modality="image", backbone=backbone,
        weights="" if strategy in ("scratch", "majority") else "imagenet", weights_sha256="",
        fraction=fraction, seed=seed,
        examples={"image_size": 96, "resizing": "stretch", "augmentation": "light", "flip": True},
        epochs=12, batch_size=32, threads=1, head={"pooling": "avg"},
        tuning={"algorithm": "random", "trials": 3},
    )  # fmt: skip
    n = round(fraction * pool)
    record = Record(cell_id=cell.id, cell=asdict(cell), status="ok", n=n, n_train=n - n // 5, n_val=n // 5,
                    n_test=test)  # fmt: skip
    if strategy == "majority":
        accuracy, seconds = 2 / classes, 0.01
    else:
        error, exponent, floor, cost = CURVES.get(strategy, (0.5, 0.24, 0.02, 90))
        accuracy = 1 - floor - (error + shift) * (max(n, 1) / 100) ** -exponent + rng.normal(0, 0.012)
        seconds = cost * (n / 1000) ** 0.9 * (1 + shift * 10) * rng.uniform(0.9, 1.1)
        record.epochs, record.steps = 8, 300
        record.hyperparameters = {
            "learning_rate": 10 ** rng.uniform(-4, -2),
            "unfreeze": int(rng.integers(4)),
        }
        record.trials = [
            {"trial": t, "status": "ok", "hyperparameters": record.hyperparameters, "length": 1.0, "chosen": t == 0,
             "score": accuracy, "val_accuracy": accuracy, "val_class_accuracy": [accuracy, None],
             "val_log_loss": 1.0, "epochs": 8, "steps": 240,
             "seconds": seconds / 4}
            for t in range(3)
        ]  # fmt: skip
        record.curves = _curves(rng, strategy, accuracy, n, classes, points, seconds)
    accuracy = round(min(max(accuracy, 0.01), 0.99) * test) / test
    record.metrics = {"accuracy": accuracy, "balanced_accuracy": accuracy - 0.01, "macro_f1": accuracy - 0.02,
                      "log_loss": 2.4 * (1 - accuracy) + 0.1, "ece": 0.05}  # fmt: skip
    record.costs = {"tune_seconds": seconds * 0.75, "fit_seconds": seconds * 0.25, "prefix_seconds": 3.0,
                    "wall_seconds": seconds, "inference_ms_per_image": 4.2, "params": 228_000,
                    "trainable_params": 10_000, "peak_memory_mb": 1234.5}  # fmt: skip
    return record


def _curves(
    rng: np.random.Generator,
    strategy: str,
    accuracy: float,
    n: int,
    classes: int,
    points: int,
    seconds: float,
) -> list[dict[str, Any]]:
    stages = {"scratch": ["train"], "feature_extraction": ["head"]}.get(strategy, ["head", "finetune"])
    found = []
    images = 0
    for run in ("search", "refit"):
        images = 0
        for stage in stages:
            for epoch in range(points // len(stages) + 1):
                done = min(1.0, images / max(1, n * points * 0.6))
                level = 1 / classes + (accuracy - 1 / classes) * done**0.5 + rng.normal(0, 0.01)
                point: dict[str, Any] = {"run": run, "stage": stage, "epoch": epoch, "images": images,
                                         "seconds": seconds * images / max(1, n * points)}  # fmt: skip
                if run == "search":
                    point |= {"val_loss": 3 - 2.5 * level, "val_accuracy": level}
                if epoch:
                    point |= {
                        "train_loss": 2.9 - 2.6 * level,
                        "train_accuracy": min(1.0, level + 0.15 * done),
                    }
                found.append(point)
                images += n
    return found
