"""Strategies with one mistake each: ``wrong:NoSummary`` and so on."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from strategies.base import Examples, Fitted, Info, Stage, Strategy, Task
from strategies.majority import Majority
from strategies.nearest_mean import NearestMean

HEAD = Stage("head", cut="top", learning_rate=3e-2, steps=300)


class Right(Strategy):
    """The only one without a mistake; what others of this file derive from."""

    name = "right"
    summary = "A head alone."
    when = "In tests."
    cost = "The same."

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 1e-2, 1e-1, sampling="log", default=3e-2)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("head", cut="top", learning_rate=hp.get("learning_rate"), steps=300)]


class NoName(Right):
    name = None  # type: ignore[assignment]


class TakenName(Right):
    name = "scratch"


class NoSummary(Right):
    summary = ""


class WrongVersion(Right):
    version = 0


class NeedsArguments(Right):
    def __init__(self, rate: float) -> None:
        self.rate = rate


class Neither(Strategy):
    name, summary = "neither", "Defines neither stages nor fit."


class SkipsInNumbers(Right):
    def skip(self, info: Info) -> str | None:
        return 0  # type: ignore[return-value]


class RunsWithoutWeights(Right):
    def skip(self, info: Info) -> str | None:
        return None


class TakesEither(Right):
    """Begins with the backbone's weights, and without any with random ones: no mistake."""

    needs_weights = False


class DefaultOutside(Right):
    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 1e-2, 1e-1, default=0.5)


class DeclaredTwice(Right):
    def space(self, hp: Any) -> None:
        super().space(hp)
        hp.Float("learning_rate", 1e-3, 1e-2)


class DeclaresTheHead(Right):
    def space(self, hp: Any) -> None:
        super().space(hp)
        hp.Choice("dropout", [0.0, 0.5])


class SpaceFails(Right):
    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 0.0, 1.0, sampling="log")


class Undeclared(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("head", cut="top", learning_rate=hp.get("rate"), steps=300)]


class Unread(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [HEAD]


class NoStages(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return []


class CutOutside(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("body", cut=1.5, learning_rate=hp.get("learning_rate"), steps=300)]


class SameNames(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("head", cut="top", learning_rate=hp.get("learning_rate"), epochs=2), HEAD]


class LastHasNoSteps(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("head", cut="top", learning_rate=hp.get("learning_rate"), epochs=2)]


class StartsAtRandom(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [
            Stage("train", cut="input", learning_rate=hp.get("learning_rate"), weights="random", steps=300)
        ]


class HugeSteps(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("head", cut="top", learning_rate=20 * hp.get("learning_rate") + 1, steps=300)]


class HugeDecay(Right):
    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [
            Stage("head", cut="top", learning_rate=hp.get("learning_rate"), weight_decay=200.0, steps=300)
        ]


class Constant:
    """A predictor that gives what it was made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, examples: Examples) -> Any:
        return self.answer(len(examples)) if callable(self.answer) else self.answer


class Own(Majority):
    """Has a ``fit`` of its own."""

    name, summary, when, cost = "own", "A fit of its own.", "In tests.", "Nothing."
    answer: Any = None

    def fit(self, task: Task, hp: Any) -> Fitted:
        return Fitted(Constant(type(self).answer))


class GivesNothing(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        return None  # type: ignore[return-value]


class FailsInTheRefit(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        len(task.val)  # type: ignore[arg-type]
        return super().fit(task, hp)

    answer = staticmethod(lambda n: np.full((n, 10), 0.1, np.float32))


class WrongShape(Own):
    answer = staticmethod(lambda n: np.full((n, 3), 1 / 3, np.float32))


class SumsToTwo(Own):
    answer = staticmethod(lambda n: np.full((n, 10), 0.2, np.float32))


class Negative(Own):
    answer = staticmethod(lambda n: np.tile(np.array([1.5, -0.5] + [0.0] * 8, np.float32), (n, 1)))


class NoArray(Own):
    answer = staticmethod(lambda n: [[0.1] * 10] * n)


class LooksAtTestLabels(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        class Looks:
            def predict(self, examples: Examples) -> np.ndarray:
                return np.eye(10, dtype=np.float32)[examples.labels]

        return Fitted(Looks())


class LooksAtWithheldLabels(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        np.bincount(task.unlabelled.labels)
        return super().fit(task, hp)


class NotDeterministic(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        drawn = np.random.default_rng().dirichlet(np.ones(10)).astype(np.float32)
        return Fitted(Constant(lambda n: np.tile(drawn, (n, 1))))


class OtherWhenAskedAgain(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        rng = np.random.default_rng(task.seed)
        return Fitted(Constant(lambda n: rng.dirichlet(np.ones(10), n).astype(np.float32)))


class LearnsFromTestImages(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        class Relative:
            def predict(self, examples: Examples) -> np.ndarray:
                light = examples.images().mean(axis=(1, 2, 3))
                share = np.clip((light - light.mean()) / 100 + 0.5, 0, 1)[:, None]
                rest = np.repeat((1 - share) / 9, 9, axis=1)
                return np.concatenate([share, rest], axis=1).astype(np.float32)

        return Fitted(Relative())


class MoreTrainedThanThereIs(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        return Fitted(Majority().fit(task, hp).predictor, params=1, trainable_params=2)


class FreeFeatures(NearestMean):
    name = "free_features"

    def fit(self, task: Task, hp: Any) -> Fitted:
        fitted = super().fit(task, hp)
        fitted.prefixes = {}
        return fitted


class NoBackbone(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        task.features(task.train)
        return super().fit(task, hp)


class Quits(Own):
    def fit(self, task: Task, hp: Any) -> Fitted:
        print("famous last words", flush=True)
        os._exit(3)


class Hangs(Own):
    def __init__(self) -> None:
        time.sleep(1000)


class NoStrategy:
    name, summary = "no_strategy", "Derives from nothing."


an_object = Right()
