"""``check_strategy`` tells each mistake in words, and finds none where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

keras_tuner = pytest.importorskip("keras_tuner")

import bench
from bench.commands.strategy_check import child as strategy_check
from bench.errors import RequestError
from bench.execution.keras_backend import make_deterministic
from bench.plans.strategies import get_strategy
from strategies import STRATEGIES

HERE = Path(__file__).parent

MISTAKES = {
    "NoName": "name must be a word such as 'last_block' (got None)",
    "TakenName": "'scratch', which is built in",
    "NoSummary": "summary is missing",
    "WrongVersion": "of at least 1 (got 0)",
    "NeedsArguments": "without arguments",
    "Neither": "defines neither stages() nor fit()",
    "SkipsInNumbers": "skip() must give a reason or None (got 0)",
    "RunsWithoutWeights": "Ask super().skip(info) first",
    "DefaultOutside": "default 0.5 lies outside of 0.01 to 0.1",
    "DeclaredTwice": "must declare 'learning_rate' once",
    "DeclaresTheHead": "'dropout', which is the head's",
    "SpaceFails": "space() fails: ValueError",
    "Undeclared": "hyperparameter 'rate', which space() does not declare (wrong.py, line",
    "NoStages": "must give a list of at least one Stage",
    "CutOutside": "cut must be 'top', 'input' or a share between 0 and 1 (got 1.5)",
    "SameNames": "Two stages are called 'head'",
    "LastHasNoSteps": "has steps=0: with few labels an epoch is a handful of steps",
    "StartsAtRandom": "uses_weights is True, but its stages start from random weights",
    "HugeSteps": "move a kernel by more than its own size",
    "HugeDecay": "a step would take off all of a kernel",
    "GivesNothing": "fit() must give strategies.base.Fitted (got NoneType)",
    "FailsInTheRefit": "in the refit, where task.val is None: TypeError",
    "WrongShape": "of shape (14, 3)",
    "SumsToTwo": "got 2 for",
    "Negative": "below 0 (got -0.5)",
    "NoArray": "numbers (got list)",
    "LooksAtTestLabels": "predict() looks at labels that it must not see",
    "LooksAtWithheldLabels": "fit() in the search looks at labels that it must not see",
    "NotDeterministic": "seeded with task.seed",
    "OtherWhenAskedAgain": "other answers when it is asked again",
    "LearnsFromTestImages": "when it comes with other images",
    "MoreTrainedThanThereIs": "2 of 1 parameters have trained",
    "FreeFeatures": "prefixes=dict(task.prefixes)",
    "NoBackbone": "uses_backbone = False",
    "NoStrategy": "the class NoStrategy is not derived from strategies.base.Strategy",
    "an_object": "an_object, a Right, is not derived",
    "Missing": "AttributeError",
}


@pytest.fixture(scope="module", autouse=True)
def _found(session_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield


@pytest.fixture(autouse=True)
def _loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend has been set up for all tests of this process, and is so only once."""
    monkeypatch.setattr("bench.execution.keras_backend.load", lambda threads: make_deterministic())


def checked(name: str, folder: Path) -> dict[str, Any]:
    """What the child finds, in this process."""
    result = folder / "result.json"
    strategy_check.main(name, str(result))
    content: dict[str, Any] = json.loads(result.read_text())
    return content


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_told_in_words(name: str, tmp_path: Path) -> None:
    found = checked(f"wrong:{name}", tmp_path)
    assert len(found["problems"]) == 1, found
    assert MISTAKES[name] in found["problems"][0]
    assert found["problems"][0].endswith(".")


def test_what_runs_with_weights_or_without_is_no_mistake(tmp_path: Path) -> None:
    found = checked("wrong:TakesEither", tmp_path)
    assert found["problems"] == found["advice"] == []


def test_advice_is_no_problem(tmp_path: Path) -> None:
    found = checked("wrong:Unread", tmp_path)
    assert found["problems"] == []
    assert any("'learning_rate' is declared and never read" in text for text in found["advice"])


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("feature_extraction", "knn", "majority", "prototypical")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in STRATEGIES
        if get_strategy(name).learns_from({"image"})
    ],
)
def test_nothing_is_wrong_with_what_is_built_in(name: str, tmp_path: Path) -> None:
    found = checked(name, tmp_path)
    assert found["problems"] == found["advice"] == []
    assert "ran twice on 72 images" in found["ran"]


def test_it_runs_in_a_process_of_its_own(cli: Callable[..., Any]) -> None:
    result = cli("check-strategy", "wrong:Right", cwd=HERE)  # found in the current folder
    assert (result.rc, result.stderr) == (0, "")
    assert "wrong:Right: nothing wrong" in result.stdout
    found = bench.check_strategy("wrong:Quits")
    assert not found.ok
    assert "ended with code 3" in found.problems[0]


def test_a_strategy_that_hangs() -> None:
    assert "did not come to an end within 3 seconds" in bench.check_strategy("wrong:Hangs", 3).problems[0]


def test_a_class_is_checked_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import wrong

    found = bench.check_strategy(wrong.NeedsArguments)
    assert found.strategy == "wrong:NeedsArguments"
    assert "without arguments" in found.problems[0]

    class Local(wrong.Right):
        pass

    assert "inside of a function" in bench.check_strategy(Local).problems[0]
    monkeypatch.setattr(wrong.Right, "__module__", "__main__")
    assert "put it into a module" in bench.check_strategy(wrong.Right).problems[0]


@pytest.mark.parametrize("name", ["surgical:depth=0.2", "strategies.surgical:Surgical:depth=0.2"])
def test_values_that_are_given(name: str) -> None:
    with pytest.raises(RequestError, match=r"covers all that it searches. Leave out ':depth=0.2'"):
        bench.check_strategy(name)


def test_an_unknown_name() -> None:
    with pytest.raises(RequestError, match="Did you mean 'majority'"):
        bench.check_strategy("majorty")
