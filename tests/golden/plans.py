"""Plans of all kinds, on digits that are written as people have them: arrays, folders, a manifest."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

SMALL: dict[str, Any] = {"image_size": 32, "seeds": 2, "epochs": 2, "tuning": {"trials": 1}}
NEW_CLASSES: dict[str, Any] = {"ways": [2, 3], "shots": [1, 3], "episodes": 10, "queries": 3}


def write_data(folder: Path) -> None:
    """Writes everything that the plans name."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels, labels = (15 * digits.images).astype(np.uint8), digits.target
    np.savez(folder / "light.npz", x=pixels[:300], y=labels[:300])
    np.savez(folder / "dark.npz", x=255 - pixels[300:600], y=labels[300:600])
    np.savez(folder / "old.npz", x=pixels[:400][labels[:400] < 6], y=labels[:400][labels[:400] < 6])
    np.savez(folder / "new.npz", x=pixels[:400][labels[:400] > 5], y=labels[:400][labels[:400] > 5])
    np.savez(folder / "more.npz", x=pixels[600:800], y=labels[600:800] // 5 + 20)
    with (folder / "digits.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "group", "parity"])
        for i in range(200):
            path = folder / "images" / f"{i:04}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels[i]).save(path)
            rows.writerow(
                [path.relative_to(folder), labels[i], f"writer {i // 2}", labels[i] % 2 if i % 3 else ""]
            )


def plans(data: Path) -> dict[str, dict[str, Any]]:
    """By name; their cells' ids are the same wherever ``data`` lies."""

    def path(name: str) -> str:
        return str(data / name)

    return {
        "quickstart": {
            "datasets": ["digits"], "backbones": ["EfficientNetLite0"], "fractions": [0.03, 0.1, 0.28], "seeds": 2,
            "image_size": 32, "epochs": 8, "tuning": {"trials": 2},
        },
        "defaults": {"datasets": ["digits"], "backbones": ["Conv4"], "image_size": 32},
        "two_of_each": {
            **SMALL, "datasets": ["digits", path("light.npz")], "fractions": [0.3, 1],
            "backbones": ["EfficientNetLite0", "EfficientNetLite0:weights=none", "Conv4:filters=16"],
            "strategies": ["scratch", "full_finetune", "nearest_pixel"],
        },
        "every_strategy": {
            **SMALL, "datasets": ["digits"],
            "strategies": [
                "all_layer_probe", "bias_only", "discriminative_lr", "full_finetune", "gradual_unfreeze",
                "hyperrule", "knn", "l2_sp", "logistic", "lora", "lp_ft", "nearest_mean", "norm_only",
                "plain_finetune", "surgical", "wise_ft",
            ],
        },
        "given": {
            **SMALL, "datasets": ["digits"], "seeds": 1,
            "strategies": ["lora:rank=2,learning_rate=1e-3", "lora:learning_rate=0.001", "full_finetune"],
        },
        "settings": {
            **SMALL, "datasets": ["digits"], "resizing": "pad", "augmentation": "strong", "flip": True,
            "batch_size": 16, "threads": 2, "precision": "mixed_bfloat16",
            "tuning": {"algorithm": "hyperband", "trials": 3},
            "head": {"pooling": "max", "hidden_units": [0, 16], "dropout": [0.0, 0.5]},
        },
        "manifest": {
            **SMALL, "datasets": [path("digits.csv")], "fractions": [0.5, 1],
            "strategies": ["majority", "feature_extraction"],
        },
        "plugin": {
            **SMALL, "datasets": ["digits"], "strategies": ["tests.golden.own:Own", "majority"],
        },
        "adaptation": {
            **SMALL, "datasets": [path("light.npz")], "source_dataset": path("dark.npz"), "fractions": [0.3, 1],
            "strategies": [
                "source_and_target", "source_then_target", "source_only", "dann", "mmd", "deep_coral", "adabn",
                "full_finetune",
            ],
        },
        "no_labels": {
            **SMALL, "datasets": [path("light.npz")], "source_dataset": path("dark.npz"), "fractions": [0],
            "source_groups": "none", "strategies": ["source_only", "dann", "cycle_gan"],
        },
        "auxiliary": {
            **SMALL, "datasets": [path("digits.csv")], "auxiliary": ["parity"],
            "auxiliary_dataset": path("more.npz"), "fractions": [0.5, 1],
            "strategies": [
                "full_finetune", "multi_task", "multi_task:auxiliary=parity", "multi_task:auxiliary=more",
            ],
        },
        "few_shot": {
            **SMALL, "datasets": [path("new.npz")], "source_dataset": path("old.npz"), "protocol": "few-shot",
            "few_shot": NEW_CLASSES, "backbones": ["Conv4:filters=16", "EfficientNetLite0"],
            "strategies": ["nearest_pixel", "feature_extraction", "siamese", "prototypical"],
        },
        "few_shot_frozen": {
            **SMALL, "datasets": [path("new.npz")], "protocol": "few-shot", "few_shot": NEW_CLASSES,
            "strategies": ["nearest_pixel", "feature_extraction"],
        },
    }  # fmt: skip


def runs(data: Path) -> dict[str, dict[str, Any]]:
    """What is run: a few cells of each kind, by its name."""
    known = plans(data)
    small: dict[str, Any] = {"backbones": ["Conv4:filters=16"], "image_size": 16, "seeds": 1, "length": 0.2}
    real: dict[str, Any] = {"backbones": ["EfficientNetLite0"], "image_size": 32, "seeds": 1, "length": 0.05}
    return {
        "scratch": {**small, "datasets": ["digits"], "fractions": [0.2], "epochs": 4, "strategies": ["scratch"]},
        "frozen": {
            **real, "datasets": ["digits"], "fractions": [0.1], "epochs": 4, "tuning": {"trials": 2},
            "strategies": ["feature_extraction", "knn", "majority", "nearest_pixel"],
        },
        "few_shot": {**known["few_shot"], **small, "strategies": ["nearest_pixel", "siamese", "prototypical"]},
        "stages": {**known["every_strategy"], **real, "fractions": [0.1], "strategies": ["partial_finetune"]},
        "adaptation": {**known["no_labels"], **real, "strategies": ["source_only", "dann"]},
        "auxiliary": {
            **known["auxiliary"], **real, "fractions": [1],
            "strategies": ["multi_task:auxiliary=parity", "multi_task:auxiliary=more"],
        },
    }  # fmt: skip


SLOW = ("stages", "adaptation", "auxiliary")
"""Those of ``runs`` that take most of a minute each."""
