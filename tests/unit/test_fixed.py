"""Hyperparameters that are given with a strategy's name."""

from __future__ import annotations

import pytest

from bench.errors import RequestError
from bench.plans.given import declared
from bench.plans.plan import Plan
from bench.plans.resolved import resolve
from bench.plans.strategies import get_strategy
from reports import words
from strategies import STRATEGIES


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
        ("partial_finetune:unfreeze=5", "have unfreeze from 0.01 to 0.99 (got"),
        ("partial_finetune:unfreeze=1", "For everything, use full_finetune"),
        ("surgical:depth=1.5", "0 is the first block"),
        (
            "knn:neighbours=0",
            "neighbours of 1 or more (got 'knn:neighbours=0'). Left out, it is searched: 1|3|5|10|20|50.",
        ),
        ("knn:neighbours=-3", "neighbours of 1 or more"),
        ("logistic:penalty=0", "penalty from 1e-09"),
        ("logistic:penalty=-1", "penalty from 1e-09"),
        ("feature_extraction:penalty=0", "penalty from 1e-09"),
        ("nearest_mean:sharpness=-5", "sharpness from 0.001"),
        ("siamese:sharpness=0", "sharpness from 0.001"),
        ("siamese:turns=5", "turns from 1 to 4"),
        ("prototypical:learning_rate=5", "learning_rate from 1e-06 to 1"),
        (
            "all_layer_probe:kept=-2",
            "kept from 1e-06 to 1 (got 'all_layer_probe:kept=-2'). Left out, it is searched: 0.05|0.2|0.5|1.",
        ),
        ("all_layer_probe:kept=2", "kept from 1e-06 to 1"),
        ("lora:rank=0", "rank of 1 or more"),
        ("discriminative_lr:rate_decay=3", "rate_decay from 0.01 to 1"),
        ("wise_ft:mix=1.1", "mix from 0 to 1"),
        ("lp_ft:head_weight_decay=-1", "head_weight_decay from 0 to 30"),
        (
            "l2_sp:learning_rate=5",
            "learning_rate from 1e-06 to 1 (got 'l2_sp:learning_rate=5'). Left out, it is searched: 0.0005..0.01.",
        ),
        ("full_finetune:weight_decay=-1", "weight_decay from 0 to 50"),
        ("dann:align_weight=-1", "align_weight must be a number of at least 0 (got -1.0)"),
        ("lora:rank=2.5", "rank as a whole number"),
        ("l2_sp:learning_rate=-1", "learning_rate from 1e-06 to 1"),
        ("majority:a=1", "no hyperparameters"),
        ("hyperrule:learning_rate=1", "no hyperparameters"),
        ("partial_finetun", "Did you mean 'partial_finetune'"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        get_strategy(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("strategy must ")
    assert caught.value.received == text


@pytest.mark.parametrize(
    "text",
    ["full_finetune:weight_decay=0", "knn:neighbours=200", "surgical:depth=0", "surgical:depth=1", "wise_ft:mix=0",
     "logistic:penalty=10", "discriminative_lr:rate_decay=1", "partial_finetune:unfreeze=0.9", "lora:rank=64"],
)  # fmt: skip
def test_what_is_not_searched_may_be_given(text: str) -> None:
    assert get_strategy(text).text == get_strategy(get_strategy(text).text).text


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_value_that_is_searched_may_be_given(name: str) -> None:
    strategy = get_strategy(name)
    for few_shot in (False, True) if strategy.few_shot else (False,):
        for hyperparameter, found in declared(
            strategy.few_shot_space if few_shot else strategy.space
        ).searched.items():
            for value in found.replace("..", "|").split("|"):
                assert value in get_strategy(f"{name}:{hyperparameter}={value}").text.lower()


def test_the_plan_holds_the_one_spelling_once() -> None:
    plan = Plan(datasets=["digits"], strategies=["partial_finetune:unfreeze=.5", "partial_finetune"])
    assert resolve(plan).plan.strategies == ["partial_finetune:unfreeze=0.5", "partial_finetune"]
    twice = Plan(datasets=["digits"], strategies=["lora:rank=4", "lora:rank=04"])
    with pytest.raises(RequestError, match="named once"):
        resolve(twice)


def test_reports_say_what_is_given() -> None:
    assert (
        words.strategy_name("partial_finetune:unfreeze=0.25,weight_decay=0.01")
        == "partial fine-tuning (unfreeze 0.25 and weight decay 0.01)"
    )
    assert words.strategy_name("my.module:Class:x=1") == "Class (x 1)"
