"""Hyperparameters that are given with a strategy's name."""

from __future__ import annotations

import pytest

from bench.errors import RequestError
from bench.plan import Plan
from bench.runs import canonical
from reports import words
from strategies import STRATEGIES, get_strategy


def test_one_spelling() -> None:
    strategy = get_strategy("partial_finetune:weight_decay=1e-2, unfreeze=.25")
    assert strategy.text == "partial_finetune:unfreeze=0.25,weight_decay=0.01"
    assert strategy.fixed == {"unfreeze": 0.25, "weight_decay": 0.01}
    assert get_strategy(strategy.text).text == strategy.text
    assert get_strategy("lora:rank=4").fixed == {"rank": 4}


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_given_by_default(name: str) -> None:
    strategy = get_strategy(name)
    assert strategy.text == strategy.name == name
    assert not strategy.fixed


def test_a_class_of_ones_own() -> None:
    strategy = get_strategy("strategies.partial_finetune:PartialFinetune:unfreeze=0.5")
    assert strategy.text == "strategies.partial_finetune:PartialFinetune:unfreeze=0.5"
    assert strategy.fixed == {"unfreeze": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partial_finetune:unfreez=0.5", "Did you mean 'unfreeze'"),
        ("partial_finetune:unfreeze", "name=value"),
        ("partial_finetune:unfreeze=0.5,unfreeze=0.75", "each once"),
        ("partial_finetune:unfreeze=half", "unfreeze as a number"),
        ("partial_finetune:unfreeze=nan", "unfreeze as a number"),
        ("partial_finetune:unfreeze=5", "cut=5.0"),
        ("lora:rank=2.5", "rank as a whole number"),
        ("l2_sp:learning_rate=-1", "above 0"),
        ("majority:a=1", "no hyperparameters"),
        ("hyperrule:learning_rate=1", "no hyperparameters"),
        ("partial_finetun", "Did you mean 'partial_finetune'"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        get_strategy(text)


def test_the_plan_holds_the_one_spelling_once() -> None:
    plan = Plan(datasets=["digits"], strategies=["partial_finetune:unfreeze=.5", "partial_finetune"])
    assert canonical(plan).strategies == ["partial_finetune:unfreeze=0.5", "partial_finetune"]
    twice = Plan(datasets=["digits"], strategies=["lora:rank=4", "lora:rank=04"])
    with pytest.raises(RequestError, match="every strategy once"):
        canonical(twice)


def test_reports_say_what_is_given() -> None:
    assert (
        words.strategy_name("partial_finetune:unfreeze=0.25,weight_decay=0.01")
        == "partial fine-tuning (unfreeze 0.25 and weight decay 0.01)"
    )
    assert words.strategy_name("my.module:Class:x=1") == "Class (x 1)"
