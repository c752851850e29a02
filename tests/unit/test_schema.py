"""``bench schema``: it takes every plan that is one, and refuses what the parser refuses."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.errors import RequestError
from bench.plans.loading import QUICKSTARTS
from bench.plans.plan import Head, Limits, Plan, Ranking, Report, Tuning
from bench.plans.schema import plan_schema
from bench.protocols.few_shot.protocol import Episodic

jsonschema = pytest.importorskip("jsonschema")  # Ray brings it along

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
SECTIONS = {
    "head": Head,
    "tuning": Tuning,
    "limits": Limits,
    "ranking": Ranking,
    "report": Report,
    "few_shot": Episodic,
}
SCHEMA = plan_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def is_taken(plan: dict[str, Any]) -> bool:
    return bool(VALIDATOR.is_valid(plan))


def written_plans() -> list[tuple[str, dict[str, Any]]]:
    """The plans in the pages of the docs, and those of run directories among the tests."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        for text in re.findall(r"^```toml\n(?!# pyproject)(.*?)^```$", page.read_text(), re.M | re.S):
            found.append((page.name, tomllib.loads(text)))
    for path in sorted(TESTS.rglob("plan.toml")):
        found.append((path.parent.name, tomllib.loads(path.read_text())))
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_there_are_plans_in_the_docs_and_tests() -> None:
    assert len(written_plans()) >= (6 if DOCS.exists() else 4)


@pytest.mark.parametrize(("where", "plan"), written_plans())
def test_written_plans_are_taken(where: str, plan: dict[str, Any]) -> None:
    bench.load_plan(plan)
    VALIDATOR.validate(plan)


@pytest.mark.parametrize("plan", [*QUICKSTARTS.values(), {"datasets": ["digits"], "protocol": "few-shot"}])
def test_what_a_run_writes_down_is_taken(plan: dict[str, Any]) -> None:
    VALIDATOR.validate(plan)
    VALIDATOR.validate(tomllib.loads(bench.load_plan(plan).to_toml()))


def test_every_key_is_there_with_its_default_and_its_meaning() -> None:
    keys = SCHEMA["properties"]
    assert set(keys) == {*Plan.model_fields, "weights", "few_shot"} - {"protocol_settings"}
    for name, key in keys.items():
        assert key.get("description") or name in SECTIONS, name
        assert "default" in key or name in {"datasets", "weights", "backend", "few_shot"}, name
    for name, section in SECTIONS.items():
        inner = SCHEMA["$defs"][keys[name]["$ref"].rpartition("/")[2]]
        assert set(inner["properties"]) == set(section.model_fields)
        assert all({"description", "default"} <= set(key) for key in inner["properties"].values()), name
        assert inner["additionalProperties"] is False
    assert "``" not in json.dumps(SCHEMA)


# What each key may not be, and what it may; the parser judges both, and the schema has to agree.
ODD: list[Any] = [
    True, False, -1, 0, 1, 2, 3, 5, 8, 20, 50, 101, 1001, 5000, 10**7, -0.5, 0.05, 0.3, 0.5, 1.5, 31.5,
    math.inf, "", "x", "auto", "none", "balanced", "avg", "random", "crop", "light", "float32", "jax", "torch",
    "complete", "fractions", "few-shot", "accuracy", "names", "auto:3", "auto:0", " auto : 3 ", "5", "0s", "5m",
    "1.5 h", ".5h", "1d", [], [""], ["x"], ["x", "x"], ["auto:2"], ["auto:x"], ["auto"], [0], [1], [2, 5], [5, 5],
    [0.5], [0.25, 1], [0.5, 0.5], [1.5], [-0.1], [True], [["x"]], {}, {"x": 1},
]  # fmt: skip

KEYS = [
    *[("", name) for name in SCHEMA["properties"] if name not in SECTIONS],
    *[(section, name) for section, kind in SECTIONS.items() for name in kind.model_fields],
    *[("", "dataset"), ("", "protocol_settings"), ("tuning", "trial"), ("few_shot", "way"), ("", "$schema")],
]


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_schema_refuses_what_the_parser_refuses(section: str, key: str) -> None:
    base: dict[str, Any] = {"datasets": ["digits"], "source_dataset": "x", "auxiliary_dataset": "y"}
    if section == "few_shot":
        base["protocol"] = "few-shot"
    for value in ODD:
        plan = base | ({section: {key: value}} if section else {key: value})
        try:
            bench.load_plan(dict(plan))
            is_plan = True
        except RequestError:
            is_plan = False
        assert is_taken(plan) == is_plan, plan


@pytest.mark.parametrize(
    ("plan", "is_plan"),
    [
        ({}, False),
        ({"protocol": "few-shot", "few_shot": {"shots": [1]}}, True),
        ({"few_shot": {"shots": [1]}}, False),
        ({"protocol": "few-shot", "fractions": [1.0]}, False),
        ({"protocol": "fractions", "fractions": [1.0]}, True),
        ({"tuning": 3}, False),
    ],
)
def test_keys_that_belong_together(plan: dict[str, Any], is_plan: bool) -> None:
    whole = {"datasets": ["digits"], **plan} if plan else plan
    assert is_taken(whole) == is_plan


def test_no_limit_is_what_editors_read_as_null() -> None:
    assert is_taken({"datasets": ["digits"], "limits": {"cell_seconds": None}})
    assert not is_taken({"datasets": ["digits"], "ranking": {"download": None}})


def test_the_command_prints_it() -> None:
    command = [sys.executable, "-m", "bench", "schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == SCHEMA
