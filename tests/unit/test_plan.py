"""Plans: what may be written, what is refused and how, and that a plan survives its own TOML file."""

from __future__ import annotations

import math
import re
import threading
import tomllib
from pathlib import Path
from typing import Any, Never

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.plans.loading import QUICKSTART, load_plan, parse_assignment, set_key
from bench.plans.plan import DEFAULT_STRATEGIES, NUMBERLESS, Plan, budget_seconds
from bench.plans.plan_file import read_toml
from bench.runs.prepare import _Resolving, prepare

DIGITS: dict[str, Any] = {"datasets": ["digits"]}

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=4, unique=True)


def one_or_several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3)


rates = st.floats(0, 1, exclude_max=True)
plans = st.fixed_dictionaries(
    {"datasets": lists(texts)},
    optional={
        "backbones": lists(texts),
        "strategies": lists(texts),
        "fractions": lists(st.floats(0, 1, exclude_min=True)),
        "seeds": st.integers(1, 1000),
        "image_size": st.integers(8, 2048),
        "resizing": st.sampled_from(["stretch", "crop", "pad"]),
        "epochs": st.integers(1, 10**6),
        "batch_size": st.integers(1, 10**6),
        "augmentation": st.sampled_from(["none", "light", "strong", "affine"]),
        "flip": st.sampled_from([True, False, "auto"]),
        "threads": st.integers(1, 64),
        "backend": st.sampled_from(["tensorflow", "torch", "jax"]),
        "precision": st.sampled_from(["float32", "mixed_bfloat16", "mixed_float16"]),
        "head": st.fixed_dictionaries(
            {},
            optional={
                "pooling": st.sampled_from(["avg", "max"]),
                "hidden_units": one_or_several(st.integers(0, 4096)),
                "dropout": one_or_several(rates),
            },
        ),
        "tuning": st.fixed_dictionaries(
            {},
            optional={
                "algorithm": st.sampled_from(["random", "bayesian", "hyperband", "grid"]),
                "trials": st.integers(1, 1000),
            },
        ),
        "limits": st.fixed_dictionaries(
            {}, optional={"cell_seconds": st.floats(0, exclude_min=True, allow_nan=False)}
        ),
    },
)


@given(plans)
@example({"datasets": ["digits"], "limits": {"cell_seconds": math.inf}})
@example({"datasets": ["~0"]})  # a user that there is not
def test_round_trip_through_toml(content: dict[str, Any]) -> None:
    plan = load_plan(content)
    text = plan.to_toml()
    again = load_plan(tomllib.loads(text))
    assert again == plan
    assert again.hash() == plan.hash()
    assert again.to_toml() == text


def test_a_file_is_read_like_a_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    plan = load_plan({"datasets": ["digits", "ünï/cødé"], "fractions": [1, 0.5]})
    path.write_text(plan.to_toml(), encoding="utf-8")
    assert load_plan(path) == load_plan(str(path)) == load_plan(read_toml(path)) == plan


def test_defaults_are_the_contract() -> None:
    plan = load_plan(DIGITS)
    assert plan.strategies == list(DEFAULT_STRATEGIES)
    assert set(plan.strategies) == {
        "scratch", "feature_extraction", "partial_finetune", "full_finetune", "majority",
    }  # fmt: skip
    assert (plan.fractions, plan.seeds, plan.tuning.trials) == ([0.1, 0.25, 0.5, 1.0], 3, 4)
    assert (plan.epochs, plan.image_size, plan.batch_size, plan.threads) == (20, 96, 32, 1)
    assert (plan.augmentation, plan.tuning.algorithm, plan.limits.cell_seconds) == ("light", "random", 3600)
    assert (plan.head.pooling, plan.head.hidden_units) == ("avg", 0)


def test_the_quickstart_is_a_plan_as_large_as_promised() -> None:
    plan = load_plan(QUICKSTART)
    assert (plan.datasets, plan.backbones) == (["digits"], ["EfficientNetLite0"])
    assert set(plan.strategies) >= set(DEFAULT_STRATEGIES)
    assert len(plan.fractions) >= 4
    assert plan.fractions[-1] * 1438 == pytest.approx(230, abs=30)
    assert plan.seeds >= 3
    assert budget_seconds(plan.budget) <= 300
    assert plan.length >= 0.2
    assert 32 <= plan.image_size <= 48


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("image_sise", "image_size"),
        ("fraction", "fractions"),
        ("dataset", "datasets"),
        ("Epochs", "epochs"),
        ("tuning.trails", "trials"),
        ("limits.cell_second", "cell_seconds"),
        ("head.hidden_unit", "hidden_units"),
        ("image-size", "image_size"),
        ("tuning.max-trials", "trials"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(key: str, near: str) -> None:
    with pytest.raises(RequestError) as caught:
        load_plan(set_key(DIGITS, key, 3))
    assert caught.value.field == key
    assert f"Did you mean {near!r}?" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("fractions", [0], "0"),
        ("fractions", [0.1, 1.5], "1.5"),
        ("fractions", [-0.1], "-0.1"),
        ("fractions", [float("nan")], "nan"),
        ("fractions", [True], "True"),
        ("fractions", ["0.1"], "'0.1'"),
        ("fractions", 0.1, "0.1"),
        ("fractions", [], "[]"),
        ("fractions", [0.1, 0.1], "0.1"),
        ("fractions", [1, 1.0], "1.0"),
        ("datasets", [], "[]"),
        ("datasets", "digits", "'digits'"),
        ("datasets", [3], "3"),
        ("datasets", ["digits", "digits"], "'digits'"),
        ("backbones", [], "[]"),
        ("backbones", ["A", "A"], "'A'"),
        ("strategies", [], "[]"),
        ("strategies", ["scratch", "scratch"], "'scratch'"),
        ("seeds", "3", "'3'"),
        ("seeds", 0, "0"),
        ("seeds", 1.5, "1.5"),
        ("seeds", True, "True"),
        ("epochs", 0, "0"),
        ("image_size", 0, "0"),
        ("image_size", 10**6, "1000000"),
        ("batch_size", 0, "0"),
        ("threads", 0, "0"),
        ("precision", "float16", "'float16'"),
        ("resizing", "squash", "'squash'"),
        ("augmentation", "lite", "'lite'"),
        ("flip", "yes", "'yes'"),
        ("tuning", "random", "'random'"),
        ("tuning.algorithm", "Random", "'Random'"),
        ("tuning.trials", -1, "-1"),
        ("tuning.trials", "4", "'4'"),
        ("limits.cell_seconds", 0, "0"),
        ("limits.cell_seconds", float("nan"), "nan"),
        ("head.pooling", "mean", "'mean'"),
        ("head.hidden_units", -1, "-1"),
        ("head.hidden_units", [], "[]"),
        ("head.dropout", 1.0, "1.0"),
        ("head.dropout", [0.1, 1.5], "1.5"),
    ],
)
def test_a_bad_value_is_refused_with_its_field(key: str, value: Any, shown: str) -> None:
    with pytest.raises(RequestError) as caught:
        load_plan(set_key(DIGITS, key, value))
    assert caught.value.field == key
    assert caught.value.exit_code == 2
    assert f"{key} must " in str(caught.value)
    assert shown in str(caught.value)
    assert "\n" not in str(caught.value)
    assert re.search(r" must (be|have|hold) \S.* \(got .*\)\.", str(caught.value))


@pytest.mark.parametrize(
    ("value", "near"), [("bayes", "bayesian"), ("Random", "random"), ("hyper", "hyperband")]
)
def test_the_nearest_word_is_suggested(value: str, near: str) -> None:
    with pytest.raises(RequestError, match=re.escape(f"Did you mean {near!r}?")):
        load_plan(set_key(DIGITS, "tuning.algorithm", value))


def test_without_a_dataset() -> None:
    with pytest.raises(RequestError, match="datasets"):
        load_plan({"seeds": 2})


def test_equal_plans_written_differently_have_one_hash() -> None:
    first = load_plan({**DIGITS, "fractions": [1, 0.1], "head": {"dropout": 0}})
    second = load_plan({"head": {"dropout": 0.0}, "fractions": [0.1, 1.0], **DIGITS})
    assert first == second
    assert first.hash() == second.hash()
    assert first.fractions == [0.1, 1.0]
    assert all(isinstance(fraction, float) for fraction in first.fractions)


def test_keys_that_came_later_are_written_where_they_are_not_as_usual() -> None:
    usual = {"metric": "accuracy", "class_weight": "none"}
    assert load_plan({**DIGITS, **usual}).hash() == load_plan(DIGITS).hash()
    assert not set(usual) & set(load_plan(DIGITS).model_dump())
    other = load_plan({**DIGITS, "metric": "auroc", "class_weight": "balanced"})
    assert 'metric = "auroc"' in other.to_toml()
    assert 'class_weight = "balanced"' in other.to_toml()
    with pytest.raises(RequestError, match=r"metric must be .*'acuracy'.*'accuracy'"):
        load_plan({**DIGITS, "metric": "acuracy"})


def test_limits_do_not_change_the_hash_and_all_else_does() -> None:
    plan = load_plan(DIGITS)
    assert load_plan(set_key(DIGITS, "limits.cell_seconds", 7)).hash() == plan.hash()
    assert load_plan(set_key(DIGITS, "report.region", 0.02)).hash() == plan.hash()
    others: dict[str, Any] = {
        "datasets": ["other"], "backbones": ["other"], "strategies": ["other"], "fractions": [0.5], "seeds": 4,
        "image_size": 97, "resizing": "pad", "epochs": 21, "batch_size": 33, "augmentation": "none",
        "flip": True, "threads": 2, "backend": "jax", "precision": "mixed_bfloat16", "head": {"pooling": "max"},
        "tuning": {"trials": 5}, "length": 2.0, "auxiliary": ["body"], "auxiliary_dataset": "other",
        "metric": "macro_f1", "class_weight": "balanced", "groups": "auto", "task": "multi_label",
        "max_tokens": 64,
        "clip_seconds": 2.0,
    }  # fmt: skip
    beside = {"source_dataset", "source_groups", "auxiliary_groups", "protocol", "protocol_settings"}
    assert set(others) == set(Plan.model_fields) - {*NUMBERLESS, *beside}
    hashes = {load_plan({**DIGITS, key: value}).hash() for key, value in others.items()}
    assert len(hashes | {plan.hash()}) == len(others) + 1
    assert all(re.fullmatch("[0-9a-f]{6}", text) for text in hashes)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("seeds=2", "seeds", 2),
        (" seeds = 2 ", "seeds", 2),
        ("tuning.algorithm=grid", "tuning.algorithm", "grid"),
        ('tuning.algorithm="grid"', "tuning.algorithm", "grid"),
        ("fractions=[0.1, 1]", "fractions", [0.1, 1]),
        ("flip=false", "flip", False),
        ("head.dropout=0.5", "head.dropout", 0.5),
        ("head.hidden_units=[0, 128]", "head.hidden_units", [0, 128]),
        ("backbones=MobileNet:weights=none", "backbones", "MobileNet:weights=none"),
        ("resizing=", "resizing", ""),
    ],
)
def test_set_reads_toml_values_and_bare_words(text: str, key: str, value: Any) -> None:
    assert parse_assignment(text) == (key, value)


@pytest.mark.parametrize("text", ["seeds", "=3", "", " =3"])
def test_set_wants_key_and_value(text: str) -> None:
    with pytest.raises(RequestError, match="key=value") as caught:
        parse_assignment(text)
    assert caught.value.field == "--set"


def test_set_key_makes_a_copy() -> None:
    content = {"seeds": 1, "tuning": {"trials": 2}}
    changed = set_key(set_key(content, "tuning.algorithm", "grid"), "epochs", 3)
    assert changed == {"seeds": 1, "epochs": 3, "tuning": {"trials": 2, "algorithm": "grid"}}
    assert content == {"seeds": 1, "tuning": {"trials": 2}}
    with pytest.raises(RequestError, match="'seeds' has no keys"):
        set_key(content, "seeds.more", 1)


@pytest.mark.parametrize("content", [b"seeds = ", b"\xff\xfe\x00", b"seeds = 1\nseeds = 2"])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"plan\.toml") as caught:
        load_plan(path)
    assert caught.value.field == "PLAN"


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(RequestError, match=re.escape(str(path))):
            load_plan(path)


SMALL: dict[str, Any] = {**DIGITS, "backbones": ["MobileNet:weights=none"], "image_size": 32, "seeds": 1}


def test_a_prepared_plan_written_and_read_gives_the_same_cells() -> None:
    prepared = prepare(load_plan({**SMALL, "backbones": ["MobileNet:alpha=1.0,weights=none"]}))
    again = prepare(load_plan(tomllib.loads(prepared.plan.to_toml())))
    assert again.plan == prepared.plan
    assert [cell.id for cell in again.cells] == [cell.id for cell in prepared.cells]


def test_two_spellings_of_one_thing_are_one_or_refused() -> None:
    plan = load_plan({**SMALL, "backbones": ["MobileNet:weights=none", "MobileNet:alpha=1.0,weights=none"]})
    try:
        prepared = prepare(plan)
    except RequestError:
        return
    load_plan(tomllib.loads(prepared.plan.to_toml()))


def test_missing_weights_are_told_before_a_dataset_is_decoded() -> None:
    said: list[str] = []

    def unhurried(text: str) -> None:
        said.append(text)
        for thread in threading.enumerate():
            if isinstance(thread, _Resolving):
                thread.join()

    def missing(*_: object) -> Never:
        raise RequestError("weights", "MobileNet", "a file that is there")

    # A size of its own, so that nothing is in the cache.
    plan = load_plan({**SMALL, "backbones": ["MobileNet"], "image_size": 33})
    with pytest.raises(RequestError, match="a file that is there"):
        prepare(plan, say=unhurried, ask=missing)
    assert said == ["digits: listing the images"]


def test_a_plan_with_a_source_dataset() -> None:
    plain = load_plan(DIGITS)
    plan = load_plan({**DIGITS, "source_dataset": "drawings/", "fractions": [1, 0, -0.0 + 0.5]})
    assert plan.fractions == [0.0, 0.5, 1.0]
    assert load_plan(tomllib.loads(plan.to_toml())) == plan
    assert plan.hash() != load_plan({**DIGITS, "fractions": plan.fractions[1:]}).hash()
    other = load_plan({**DIGITS, "source_dataset": "drawings/", "source_groups": "none"})
    assert len({plain.hash(), load_plan({**DIGITS, "source_dataset": "drawings/"}).hash(), other.hash()}) == 3
    # Runs that were made before there were sources go on.
    assert "source" not in plain.to_toml()


def test_no_labels_need_a_source_dataset() -> None:
    with pytest.raises(RequestError, match="--source-dataset"):
        load_plan({**DIGITS, "fractions": [0, 1]})
    with pytest.raises(RequestError, match="source_groups"):
        load_plan({**DIGITS, "source_groups": "names"})
