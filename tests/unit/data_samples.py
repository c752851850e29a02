"""Tiny datasets for tests: images that are all different, trees of folders, manifests, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.commands.check import check
from bench.datasets import Dataset, open_dataset
from bench.errors import RequestError
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan

SIZE = 8


def picture(path: Path, kind: str = "PNG") -> Path:
    """Writes an image that is like no other; its path decides on its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list(str(path).encode("utf-8", "surrogateescape"))
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)).save(path, kind)
    return path


def tree(root: Path, folders: str, count: int = 6) -> Path:
    """Folders with ``count`` images each, or as many as ``cats*3`` says."""
    for folder in folders.split():
        name, _, number = folder.partition("*")
        for i in range(int(number or count)):
            picture(root / name / f"{i}.png")
    return root


def manifest(path: Path, rows: list[tuple[str, ...]], header: str = "path,label", **write: Any) -> Path:
    """A manifest; ``sep`` and ``encoding`` as given."""
    sep = write.pop("sep", ",")
    lines = [header.replace(",", sep), *(sep.join(row) for row in rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode(write.pop("encoding", "utf-8"), **write))
    return path


def opened(dataset: Path | str) -> Dataset:
    return open_dataset(str(dataset), ImageInput(SIZE))


def told(dataset: Path | str) -> dict[str, tuple[str, str]]:
    """What ``check`` says: kind -> (level, text)."""
    plan = load_plan({"datasets": [str(dataset)], "image_size": SIZE, "fractions": [1.0]})
    result = check(open_dataset(plan.datasets[0], vars(plan)), plan)
    found = {f["kind"]: (f["level"], f["text"]) for f in result["findings"]}
    assert len(found) == len(result["findings"]), "the same thing is said twice"
    return found


def refusal(dataset: Path | str) -> str:
    """Why it is refused."""
    with pytest.raises(RequestError) as info:
        opened(dataset)
    assert info.value.exit_code == 2
    return str(info.value)
