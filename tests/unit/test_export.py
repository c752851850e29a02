"""What of an export needs no training: which files train.py may read itself, and names as code and Markdown."""

from __future__ import annotations

import ast
import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.commands.export import export as exporting
from bench.commands.export import spelled
from bench.errors import RequestError
from bench.plans.strategies import get_strategy
from bench.runs.repeat import _of_predictions
from bench.system import templates as cards
from bench.system.spreadsheets import defused
from strategies import STRATEGIES
from strategies.base import Fitted, Stage, Strategy, Task
from strategies.logistic import Logistic

HOSTILE = ['"""', "'", "\\", "\n", "{{ x }}", "é", "\udcff", "]", "\u2028"]


def test_names_are_literals() -> None:
    for names in (HOSTILE, HOSTILE * 9):
        assert ast.literal_eval(cards.literal(names)) == names


def test_comments_cannot_end() -> None:
    assert set(cards.comment("".join(HOSTILE))) <= set("? x")


def test_markdown_stays_text() -> None:
    escaped = cards.markdown("| <b> [x](y) `code` # *a* _b_ &amp; $1$")
    assert escaped == r"\| \<b\> \[x\](y) \`code\` \# \*a\* \_b\_ \&amp; \$1\$"


def test_every_field_of_a_stage_can_be_spelled_out() -> None:
    of_two_domains = {"data", "align", "align_weight", "statistics"}
    of_several_tasks = {"auxiliary", "auxiliary_images"}
    assert {field.name for field in dataclasses.fields(Stage)} - of_two_domains - of_several_tasks == {
        *spelled.SIMPLE_FIELDS,
        *spelled.macros("train_fields.py.j2"),
    }


def test_only_fields_with_an_effect_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("finetune", cut="input", learning_rate=0.1, warmup=0.3)
    assert spelled.fields_of(stage, "x") == []
    stage = dataclasses.replace(stage, blocks=2, only="bias", rate_decay=0.5, mix=0.5)
    assert spelled.fields_of(stage, "x") == ["blocks", "only", "rate_decay", "mix"]
    assert spelled.fields_of(dataclasses.replace(stage, cut="top", blocks=0, only="all"), "x") == ["mix"]
    monkeypatch.setattr(spelled, "macros", lambda name: ["blocks"])
    with pytest.raises(RequestError, match="Its stage 'finetune' sets 'only'"):
        spelled.fields_of(stage, "x")


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_can_be_spelled_out_but_the_floor_and_those_with_other_labels(name: str) -> None:
    strategy = get_strategy(name)
    refusal = "source dataset" if strategy.uses_backbone else "uses no network"
    refusal = "auxiliary labels" if strategy.needs_auxiliary else refusal
    refusal = "code of its own" if strategy.uses_source else refusal
    if refusal != "source dataset" or strategy.needs_source:
        with pytest.raises(RequestError, match=refusal):
            spelled.method_of(get_strategy(name), name)
    else:
        is_schedule = type(get_strategy(name)).fit is Strategy.fit
        assert spelled.method_of(get_strategy(name), name) == ("" if is_schedule else name)


def test_strategies_of_others_are_spelled_out_where_their_learning_is_known() -> None:
    class Named(Logistic):
        name = "named"

    class Learning(Logistic):
        def learn(self, *arguments: Any) -> Any:
            return super().learn(*arguments)

    class Fitting(Logistic):
        def fit(self, task: Task, hp: Any) -> Fitted:
            return super().fit(task, hp)

    assert spelled.method_of(Named(), "package:Named") == "logistic"
    for strategy in (Learning(), Fitting()):
        with pytest.raises(RequestError, match="code of its own"):
            spelled.method_of(strategy, "package:Other")


def test_nothing_of_keras_is_loaded_before_it_is_needed() -> None:
    code = "import sys, bench.commands.export.export; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.text(st.sampled_from("'=-\t\r\n a\uff1d\u3000") | st.characters(codec="utf-8"), max_size=8))
def test_train_py_reads_the_texts_of_its_list_as_they_were(text: str) -> None:
    template = (spelled.TEMPLATES / "train_image.py.j2").read_text(encoding="utf-8")
    (function,) = re.findall(
        r"^def as_written.*?(?=^\S)", template.partition("\ndef load")[0] + "\n#", re.M | re.S
    )
    found: dict[str, Any] = {}
    exec(function, found)
    assert found["as_written"](defused(text)) == text


@pytest.mark.parametrize("others", [(7, 4), (60, 9), (0, 0)])
def test_predictions_of_other_examples_are_no_difference(tmp_path: Path, others: tuple[int, int]) -> None:
    """A directory of somebody else may hold them; all has been trained by then."""
    (tmp_path / "predictions").mkdir()
    count, classes = others
    if count:
        np.savez(
            tmp_path / "predictions" / "0123.npz",
            probabilities=np.full(others, 1 / classes),
            labels=np.zeros(count, int),
            ids=np.arange(count).astype(str),
        )
    else:
        (tmp_path / "predictions" / "0123.npz").write_bytes(b"damaged")
    recipe: Any = SimpleNamespace(whole=True, cell=SimpleNamespace(id="0123"))
    run: Any = SimpleNamespace(directory=tmp_path)
    assert math.isnan(exporting._difference(run, recipe, np.full((60, 4), 0.25)))
    assert _of_predictions(np.zeros(others), np.zeros((60, 4))).keys() == {"predictions"}
