"""Rows of four numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench.modalities.base import Input, Modality, Tensor, Unreadable
from bench.modalities.evidence import Evidence
from bench.modalities.findings import Finding
from bench.modalities.nouns import Noun

WIDTH = 4


@dataclass(frozen=True)
class NumbersInput(Input):
    modality: ClassVar[str] = "numbers"

    scale: float = 1.0

    @property
    def size(self) -> int:
        return WIDTH


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    cells: tuple[str, ...]

    def sha256(self) -> str:
        return hashlib.sha256("\n".join(self.cells).encode()).hexdigest()


class Numbers(Modality):
    name = "numbers"
    noun = Noun("row", "rows", "numbers", "row")
    version = 1
    keys = ("scale",)
    size_key = "scale"
    features = ("batch", "c")

    def input(self, settings: Mapping[str, Any]) -> NumbersInput:
        return NumbersInput(settings.get("scale", 1.0))

    def augmentation(self, settings: Mapping[str, Any]) -> Any:
        return None

    def input_named(self, name: str) -> NumbersInput:
        return NumbersInput(float(name))

    def described(self, settings: Mapping[str, Any]) -> str:
        return f"rows of {WIDTH} numbers, times {settings.get('scale', 1.0):g}"

    def settings(self, plan: Mapping[str, Any], traits: Mapping[str, Any]) -> dict[str, Any]:
        return {"scale": plan.get("scale", 1.0)}

    def row(self, input: NumbersInput) -> Tensor:
        return Tensor((WIDTH,), "float32")

    def read(self, item: Row, input: NumbersInput) -> tuple[np.ndarray, float]:
        try:
            values = np.array([float(cell) for cell in item.cells], np.float32)
        except ValueError:
            raise Unreadable("not a number") from None
        return values * np.float32(input.scale), float(values.max())

    def findings(self, evidence: Evidence) -> list[Finding]:
        large = [id for id, top in zip(evidence.ids, evidence.facts, strict=True) if top > 1000]
        items = [{"id": id, "reason": "above 1,000"} for id in large]
        return [Finding("large", "note", f"{len(large)} rows with large numbers.", items)] if large else []

    def summary(self, facts: Sequence[float]) -> dict[str, Any]:
        return {"largest": max(facts)}

    def inputs(self, size: int) -> dict[str, Tensor]:
        return {"numbers": Tensor((WIDTH,), "float32")}

    def reader(self, tokenizer: Any, size: int) -> Numbers:
        return self

    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows]

    def lengths(self, rows: np.ndarray) -> None:
        return None


KIND = Numbers()
