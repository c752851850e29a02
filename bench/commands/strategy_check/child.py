"""What is wrong with a strategy: the child process of ``bench.commands.strategy_check.check``."""

from __future__ import annotations

import json
import math
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.plans.strategies import load_strategy
from bench.system.plugins import Unusable
from strategies import STRATEGIES
from strategies.base import Examples, Fitted, Info, Predictor, Stage, Strategy, Task
from strategies.refuse import stage_problems

HEAVY = ("tensorflow", "keras", "torch", "jax")
SIZE = 32
POINTS = 20
"""Points of the space whose stages are looked at."""
LONGEST = 120
"""Characters of a line that listings show."""
SAME = 1e-3
"""How far two answers for one image may be apart: other batches change the last digits."""


@dataclass
class Findings:
    """What has been found so far, each once."""

    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    ran: str = ""
    home: Path | None = None
    """Where the author's code lies."""

    def wrong(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def better(self, text: str) -> None:
        if text not in self.advice:
            self.advice.append(text)


class Stop(Exception):
    """Nothing more can be found out."""


def main(name: str, result: str) -> None:
    """Checks the strategy ``name`` and writes what was found to the file ``result``."""
    found = Findings()

    def write() -> None:
        content = {"problems": found.problems, "advice": found.advice, "ran": found.ran}
        Path(result).write_text(json.dumps(content), encoding="utf-8")

    try:
        strategy = _loaded(name, found)
        write()  # should what follows take the process with it
        _introduction(name, strategy, found)
        _skips(strategy, found)
        space = _space(strategy, found)
        if _is_schedule(strategy):
            _schedules(strategy, space, found)
        write()
        if not found.problems:
            _runs(name, found)
    except Stop:
        pass
    write()


def _loaded(name: str, found: Findings) -> Strategy:
    before = set(sys.modules)
    try:
        kind, _ = load_strategy(name)
        found.home = _home(kind)
        strategy: Strategy = kind()
    except Unusable as error:
        found.wrong(f"It cannot be loaded: {error}.")
        raise Stop from error
    except Exception as error:
        found.wrong(f"It has to be made without arguments, and that fails: {_told(error, found)}.")
        raise Stop from error
    if heavy := [module for module in HEAVY if module in sys.modules and module not in before]:
        found.better(
            f"Loading it loads {heavy[0]}, which takes seconds wherever plans are checked or strategies listed: "
            "import it inside of methods."
        )
    return strategy


# --- what it says of itself -----------------------------------------------------------------------------------


def _introduction(name: str, strategy: Strategy, found: Findings) -> None:
    own = getattr(strategy, "name", None)
    if not isinstance(own, str) or not own.isidentifier():
        found.wrong(f"name is {own!r}; expected a word such as 'last_block'.")
    elif ":" not in name and own != name:
        found.wrong(
            f"name is {own!r}, but it is declared as {name!r}: records and reports would say {name!r}."
        )
    elif ":" in name and own in STRATEGIES and STRATEGIES[own] != name:
        found.wrong(f"name is {own!r}, which is built in: choose another.")
    if not isinstance(strategy.version, int) or strategy.version < 1:
        found.wrong(f"version is {strategy.version!r}; expected a whole number of at least 1.")
    if not isinstance(strategy.summary, str) or not strategy.summary.strip():
        found.wrong("summary is missing: a line that says what it does.")
    for part, asks in (("when", "when to use it"), ("cost", "what it costs beside feature extraction")):
        if not getattr(strategy, part):
            found.better(f"{part} is missing: a line that says {asks}, for 'ls strategies'.")
    for part in ("summary", "when", "cost", "reference"):
        text = getattr(strategy, part)
        if not isinstance(text, str):
            found.wrong(f"{part} is {text!r}; expected text.")
        elif "\n" in text or len(text) > LONGEST:
            found.better(
                f"{part} has {len(text)} characters; a listing has one line of at most {LONGEST} for it."
            )


def _is_schedule(strategy: Strategy) -> bool:
    return type(strategy).fit is Strategy.fit


INFO = Info("image", tuple("0123456789"), 72, True, SIZE, 32, 20_000)


def _skips(strategy: Strategy, found: Findings) -> None:
    here = replace(INFO, has_source=strategy.needs_source, has_auxiliary=strategy.needs_auxiliary)
    for info in (here, replace(here, has_weights=False), replace(here, has_norm=False, has_bias=False)):
        with _told_as("skip()", found):
            reason = strategy.skip(info)
            if reason is not None and (not isinstance(reason, str) or not reason.strip()):
                found.wrong(f"skip() gave {reason!r}; expected a reason, or None.")
            if info.has_weights:
                continue
            if strategy.uses_weights and strategy.needs_weights and reason is None:
                found.wrong(
                    "skip() lets it run on a backbone without pretrained weights. Ask super().skip(info) first, or "
                    "say uses_weights = False if it starts from random ones, needs_weights = False if it takes "
                    "either."
                )
            for trait in ("uses_weights", "needs_weights"):
                if not getattr(strategy, trait) and reason is not None:
                    found.better(f"{trait} is False, yet it is skipped where there are no weights: {reason}")


# --- its space ------------------------------------------------------------------------------------------------


def _space(strategy: Strategy, found: Findings) -> Any:
    from keras_tuner.engine.hyperparameters import HyperParameters

    declared: list[str] = []

    class Noting(HyperParameters):
        """Notes each declaration: keras-tuner passes over the second of a name."""

        def _retrieve(self, hp: Any) -> Any:
            declared.append(hp.name)
            return super()._retrieve(hp)

    noting, space, again = Noting(), HyperParameters(), HyperParameters()
    with _told_as("space()", found):
        strategy.space(noting)
        strategy.space(space)
        strategy.space(again)
    if space.get_config() != again.get_config():
        found.wrong("space() does not declare the same each time it is asked.")
    for name in dict.fromkeys(declared):
        if declared.count(name) > 1:
            found.wrong(f"space() declares {name!r} more than once; only the first counts.")
        if name in ("hidden_units", "dropout"):
            found.wrong(
                f"space() declares {name!r}, which is the head's and is set in the plan, for all alike."
            )
        if name.startswith("tuner/"):
            found.wrong(f"space() declares {name!r}; names that begin so are keras-tuner's own.")
    for hp in space.space:
        if problem := _range_problem(hp):
            found.wrong(f"Hyperparameter {hp.name!r}: {problem}.")
    return space


def _range_problem(hp: Any) -> str:
    """What is wrong with one hyperparameter; empty if nothing is."""
    if type(hp).__name__ in ("Float", "Int"):
        low, high = hp.min_value, hp.max_value
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            return f"it ranges from {low} to {high}"
        if not low <= hp.default <= high:
            return f"its default {hp.default} lies outside of {low} to {high}"
        return ""
    if hp.default not in list(hp.values):
        return f"its default {hp.default!r} is none of {list(hp.values)}"
    return ""


class Reading:
    """Hyperparameters that note which of them are read."""

    def __init__(self, hp: Any, read: set[str]) -> None:
        self._hp, self._read = hp, read

    def get(self, name: str) -> Any:
        self._read.add(name)
        if name not in self._hp.values:
            raise KeyError(f"it asks for the hyperparameter {name!r}, which space() does not declare")
        return self._hp.get(name)

    def __getattr__(self, name: str) -> Any:  # anything else may read them all
        self._read.update(self._hp.values)
        return getattr(self._hp, name)


def _unread(space: Any, read: set[str], found: Findings) -> None:
    for hp in space.space:
        if hp.name not in read:
            found.better(
                f"Hyperparameter {hp.name!r} is declared and never read: trials are spent on nothing."
            )


# --- its stages -----------------------------------------------------------------------------------------------


def _schedules(strategy: Strategy, space: Any, found: Findings) -> None:
    read: set[str] = set()
    for number in range(POINTS):
        point = space.copy()
        if number:
            point.values = {hp.name: hp.random_sample(number) for hp in space.space}
        with _told_as("stages()", found, f" with {point.values}" if point.values else ""):
            stages = strategy.stages(Reading(point, read), INFO)
            same = strategy.stages(Reading(point, read), INFO) == stages
        problems = stage_problems(stages) or _unfair(strategy, stages)
        if not same:
            problems.append("stages() gives another schedule when it is asked again.")
        for problem in problems:
            found.wrong(problem)
        if problems:
            return
    _unread(space, read, found)


def _unfair(strategy: Strategy, stages: list[Stage]) -> list[str]:
    """What can be trained, but not as the strategy says or as others are."""
    problems = [
        f"Stage {stage.name!r}: learning_rate={stage.learning_rate:g} is relative: each step would move a kernel "
        "by more than its own size."
        for stage in stages
        if stage.learning_rate >= 1
    ]
    problems += [
        f"Stage {stage.name!r}: learning_rate x weight_decay is {stage.learning_rate * stage.weight_decay:g}: a "
        "step would take off all of a kernel."
        for stage in stages
        if stage.learning_rate * stage.weight_decay >= 1
    ]
    first, last = stages[0], stages[-1]
    if last.epochs is not None:
        problems.append(
            f"The last stage, {last.name!r}, has a cap of its own (epochs={last.epochs}), so the plan's epochs "
            "would do nothing for it: leave it None."
        )
    if strategy.uses_weights != (first.weights == "pretrained"):
        problems.append(
            f"uses_weights is {strategy.uses_weights}, but its stages start from {first.weights} weights."
        )
    return problems


# --- a whole cell, twice --------------------------------------------------------------------------------------


def _runs(name: str, found: Findings) -> None:
    from bench.system import backend

    backend.load(1)
    from bench.commands.strategy_check.tiny import TinyEngine, negatives, parity, tiny_cell
    from bench.datasets import open_dataset
    from bench.protocols.fractions.cell import run_cell

    dataset = open_dataset("digits", SIZE)
    began = time.perf_counter()
    engine = TinyEngine(SIZE, dataset.pool.images[:256])
    outcomes = []
    for _ in range(2):
        strategy = load_strategy(name)[0]()
        watched = Watched(strategy, found)
        cell = tiny_cell(strategy, dataset, SIZE)
        try:
            domain = negatives(dataset) if strategy.needs_source else None
            tasks = (parity(dataset),) if strategy.needs_auxiliary else ()
            outcome = run_cell(cell, dataset, engine, None, lambda text: None, watched, domain, tasks)
        except Exception as error:
            if not found.problems:
                found.wrong(_sentence(error, found))
            raise Stop from error
        if outcome.fields["status"] == "skipped":
            found.better(f"It was not run here: skipped, {outcome.fields['error']['message']}.")
            raise Stop
        if outcome.fields["status"] == "failed":
            found.wrong(f"On digits it fails with {outcome.fields['error']['message']}.")
            raise Stop
        outcomes.append(outcome)
    diverged = sum(trial["status"] == "diverged" for trial in outcomes[0].fields["trials"])
    if diverged:
        found.better(f"{diverged} of its trials diverged on digits: its ranges may be too wide.")
    first, second = (outcome.probabilities for outcome in outcomes)
    assert first is not None
    assert second is not None
    if not np.array_equal(first, second):
        found.wrong(
            "The same cell run again gives other predictions: draw every random number from a generator that is "
            "seeded with task.seed, and keep nothing in classes or modules between runs."
        )
    if strategy.uses_backbone and (np.ptp(first, axis=0) < 1e-6).all():
        found.wrong("It predicts the same for every image.")
    accuracy, seconds = outcomes[0].fields["metrics"]["accuracy"], time.perf_counter() - began
    found.ran = (
        f"It ran twice on {outcomes[0].fields['n']} images of digits with a small network of random weights "
        f"({seconds:.0f} s). Its test accuracy there, {accuracy:.2f}, says nothing about what it is worth."
    )


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
        with _told_as("fit()", self.found, f" in {phase}"):
            fitted = self.strategy.fit(task, Reading(hp, self.read))
        if not isinstance(fitted, Fitted):
            self._stop(f"fit() gave {type(fitted).__name__}; expected strategies.base.Fitted.")
        if not callable(getattr(fitted.predictor, "predict", None)):
            self._stop("Fitted.predictor has no method predict().")
        if problem := _cost_problem(fitted, task):
            self.found.wrong(problem)
        if task.val is None:
            _unread(self.declared, self.read, self.found)
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
        return f"Fitted.seconds is {fitted.seconds!r}; expected seconds."
    if missing := set(task.prefixes) - set(fitted.prefixes):
        return (
            f"fit() used stored features ({', '.join(sorted(missing))}) and does not count what they cost: pass "
            "prefixes=dict(task.prefixes) to Fitted."
        )
    return ""


class WatchedPredictor:
    """A predictor that is asked more than once, and in parts."""

    def __init__(self, predictor: Predictor, task: Task, found: Findings) -> None:
        self.predictor, self.task, self.found = predictor, task, found

    def predict(self, examples: Examples) -> np.ndarray:
        with _told_as("predict()", self.found):
            answer = self.predictor.predict(examples)
        if self.task.val is None and isinstance(answer, np.ndarray) and len(answer) == len(examples):
            answer = answer.copy()
            self._again(examples, answer)
        return answer

    def _again(self, examples: Any, answer: np.ndarray) -> None:
        rows = np.arange(1, len(examples), 3)
        some = replace(examples, index=examples.index[rows])
        with _told_as("predict()", self.found, " of some of the test images"):
            part, whole = self.predictor.predict(some), self.predictor.predict(examples)
        if not np.array_equal(whole, answer):
            self.found.wrong("predict() gives other answers when it is asked again.")
        elif np.shape(part) != answer[rows].shape or np.abs(part - answer[rows]).max() > SAME:
            self.found.wrong(
                "predict() gives an image another answer when it comes with other images: it learns from the test "
                "set, or mixes up its rows."
            )


# --- words ----------------------------------------------------------------------------------------------------


@contextmanager
def _told_as(what: str, found: Findings, where: str = "") -> Iterator[None]:
    """Notes an exception in the author's code as a problem, and stops there."""
    from bench.training.loop import NotFinite

    try:
        yield
    except (Stop, NotFinite):
        raise
    except PermissionError as error:
        found.wrong(
            f"{what}{where} looks at labels that it must not see: {error}{_place(error, found.home)}."
        )
        raise Stop from error
    except Exception as error:
        found.wrong(f"{what} fails{where}: {_told(error, found)}.")
        raise Stop from error


def _told(error: BaseException, found: Findings) -> str:
    # The quotes of a KeyError are those of its key; here it is a sentence of ours.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f"{type(error).__name__}: {' '.join(str(text).split())}{_place(error, found.home)}".rstrip(".")


def _place(error: BaseException, home: Path | None) -> str:
    """Where in the author's code it happened, the innermost."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if home is not None and (path == home or path.is_relative_to(home)):
            return f" ({path.name}, line {frame.lineno})"
    return ""


def _home(kind: type) -> Path | None:
    """The folder of the package that a class is from, or its file if it is a module alone."""
    top = sys.modules.get(kind.__module__.partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path


def _sentence(error: BaseException, found: Findings) -> str:
    text = str(error)
    return text if text.startswith("predict()") else f"{_told(error, found)}."
