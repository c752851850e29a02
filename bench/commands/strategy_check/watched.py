"""A strategy and its predictor in a whole cell, with every step looked at."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from bench.commands.strategy_check.findings import Findings, Stop, told_as
from bench.commands.strategy_check.space import Reading, check_read
from strategies.base import Examples, Fitted, Info, Predictor, Strategy, Task

SAME = 1e-3
"""How far two answers for one image may be apart: other batches change the last digits."""


class Watched(Strategy):
    """A strategy whose every step is looked at; runs in its place."""

    def __init__(self, strategy: Strategy, found: Findings) -> None:
        self.strategy, self.found = strategy, found
        self.read: set[str] = set()
        for trait in ("uses_backbone", "uses_weights", "needs_source", "needs_labels", "needs_auxiliary"):
            setattr(self, trait, getattr(strategy, trait))

    def skip(self, info: Info) -> str | None:
        return self.strategy.skip(info)

    def space(self, hp: Any) -> None:
        self.strategy.space(hp)
        self.declared = hp

    def fit(self, task: Task, hp: Any) -> Fitted:
        phase = "the refit, where task.val is None" if task.val is None else "the search"
        with told_as("fit()", self.found, f" in {phase}"):
            fitted = self.strategy.fit(task, Reading(hp, self.read))
        if not isinstance(fitted, Fitted):
            self._stop(f"fit() must give strategies.base.Fitted (got {type(fitted).__name__}).")
        if not callable(getattr(fitted.predictor, "predict", None)):
            self._stop("Fitted.predictor has no method predict().")
        if problem := _cost_problem(fitted, task):
            self.found.wrong(problem)
        if task.val is None:
            check_read(self.declared, self.read, self.found)
        return replace(fitted, predictor=WatchedPredictor(fitted.predictor, task, self.found))

    def _stop(self, problem: str) -> None:
        self.found.wrong(problem)
        raise Stop


def _cost_problem(fitted: Fitted, task: Task) -> str:
    """What is wrong with what ``fit`` says that it took; empty if nothing is."""
    counts = (fitted.trainable_params, fitted.params)
    if not all(isinstance(count, (int, np.integer)) for count in counts) or not 0 <= counts[0] <= counts[1]:
        return f"Fitted says that {counts[0]!r} of {counts[1]!r} parameters have trained."
    if not (math.isfinite(fitted.seconds) and fitted.seconds >= 0):
        return f"Fitted.seconds must be seconds (got {fitted.seconds!r})."
    if missing := set(task.prefixes) - set(fitted.prefixes):
        return (
            f"fit() used stored features ({', '.join(sorted(missing))}) but does not count their cost. Pass "
            "prefixes=dict(task.prefixes) to Fitted."
        )
    return ""


class WatchedPredictor:
    """A predictor that is asked more than once, and in parts."""

    def __init__(self, predictor: Predictor, task: Task, found: Findings) -> None:
        self.predictor, self.task, self.found = predictor, task, found

    def predict(self, examples: Examples) -> np.ndarray:
        with told_as("predict()", self.found):
            answer = self.predictor.predict(examples)
        if self.task.val is None and isinstance(answer, np.ndarray) and len(answer) == len(examples):
            answer = answer.copy()
            self._again(examples, answer)
        return answer

    def _again(self, examples: Any, answer: np.ndarray) -> None:
        rows = np.arange(1, len(examples), 3)
        some = replace(examples, index=examples.index[rows])
        with told_as("predict()", self.found, " of some of the test images"):
            part, whole = self.predictor.predict(some), self.predictor.predict(examples)
        if not np.array_equal(whole, answer):
            self.found.wrong("predict() gives other answers when it is asked again.")
        elif np.shape(part) != answer[rows].shape or np.abs(part - answer[rows]).max() > SAME:
            self.found.wrong(
                "predict() gives an image another answer when it comes with other images: it learns from the test "
                "set, or mixes up its rows."
            )
