"""Cells and records: an id names all that can change a number; what is no record is not taken for one."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RecordError
from bench.plans.plan import Head, Tuning
from bench.plans.values import check_cell
from bench.records import AGAIN, FINAL, SCHEMA_VERSION, STATUSES, Cell, Record
from bench.system.files import digest

CELL = Cell(
    strategy="scratch", strategy_version=1, dataset="/data/photos", dataset_name="photos",
    fingerprint="0123456789abcdef", modality="image", backbone="MobileNet:alpha=0.25", weights="/w/a.weights.h5",
    weights_sha256="ab" * 32, fraction=0.1, seed=0,
    examples={"image_size": 32, "resizing": "stretch", "augmentation": "light", "flip": True},
    epochs=2, batch_size=32, threads=1, head={"pooling": "avg", "hidden_units": 0, "dropout": 0.0},
    tuning={"algorithm": "random", "trials": 2},
)  # fmt: skip

OTHERS: dict[str, Any] = {
    "strategy": "majority", "strategy_version": 2, "dataset": "/elsewhere", "dataset_name": "other",
    "fingerprint": "f123456789abcdef", "modality": "text", "backbone": "MobileNet", "weights": "/w/b.weights.h5",
    "weights_sha256": "cd" * 32, "fraction": 0.10000000000000002, "seed": 1,
    "examples": {"image_size": 33, "resizing": "stretch", "augmentation": "light", "flip": True},
    "epochs": 3, "length": 2.0, "batch_size": 31, "threads": 2,
    "head": {"pooling": "avg", "hidden_units": 0, "dropout": 0.1},
    "tuning": {"algorithm": "random", "trials": 3}, "backend": "torch", "precision": "bfloat16",
    "metric": "auroc", "class_weight": "balanced", "groups": "auto", "task": "multi_label",
    "protocol_version": 10**6, "plugins": {"strategy": "gentle 1.0 source 0123456789ab"},
    "protocol": "few-shot", "protocol_settings": {"ways": [5]},
    "companions": {"source": {"fingerprint": "e123456789abcdef"}},
}  # fmt: skip

NAMES_ONLY = {"dataset", "dataset_name"}
"""Where data lie and what they are called: the fingerprint is what counts."""

NESTED = ("examples", "protocol", "protocol_settings", "companions")

FLAT: dict[str, Any] = {
    **{key: value for key, value in OTHERS.items() if key not in NESTED},
    "image_size": 33, "resizing": "pad", "augmentation": "none", "flip": False,
    "source_dataset": "/data/drawings", "source_name": "drawings",
    "source_fingerprint": "e123456789abcdef", "source_groups": "names",
    "auxiliary_columns": {"body": "a123456789abcdef"}, "auxiliary_dataset": "/data/birds",
    "auxiliary_name": "birds", "auxiliary_fingerprint": "b123456789abcdef", "auxiliary_groups": "names",
    "few_shot": {"ways": [5], "shots": [1], "episodes": 100, "queries": 5},
}  # fmt: skip
"""A cell as records held it until schema 5."""


def test_settings_that_came_later_are_no_part_of_it_by_default() -> None:
    assert {"metric", "class_weight"}.isdisjoint(CELL.identity)
    changed = replace(CELL, metric="auroc", class_weight="balanced")
    assert (changed.identity["metric"], changed.identity["class_weight"]) == ("auroc", "balanced")


def test_every_field_is_tested() -> None:
    assert set(OTHERS) == {field.name for field in fields(Cell)}


@pytest.mark.parametrize("name", OTHERS)
def test_the_id_changes_with_every_field_that_matters(name: str) -> None:
    changed = replace(CELL, **{name: OTHERS[name]})
    # One weights file is one source, wherever it lies; and the protocol of fractions has no settings.
    matters = name not in NAMES_ONLY | {"weights", "protocol_settings"}
    assert (changed.id != CELL.id) == matters


def test_without_a_hash_the_weights_are_told_apart_by_name() -> None:
    assert (
        replace(CELL, weights="none", weights_sha256="").id != replace(CELL, weights="", weights_sha256="").id
    )


@pytest.mark.parametrize("name", ["head", "tuning", "examples"])
@given(data=st.data())
def test_the_id_changes_with_every_key_of_a_section_but_not_with_their_order(
    name: str, data: st.DataObject
) -> None:
    section = getattr(CELL, name)
    items = data.draw(st.permutations(list(section.items())))
    assert replace(CELL, **{name: dict(items)}).id == CELL.id
    key = data.draw(st.sampled_from(sorted(section)))
    assert replace(CELL, **{name: {**section, key: "another"}}).id != CELL.id


@given(st.permutations([field.name for field in fields(Cell)]))
def test_the_id_is_stable_under_key_order_and_json(order: list[str]) -> None:
    content = {name: getattr(CELL, name) for name in order}
    assert Cell(**content).id == CELL.id
    assert Cell(**json.loads(json.dumps(content))).id == CELL.id


def test_ids_stay_what_they_were() -> None:
    # An id that changes without reason makes every stored run start again.
    pinned = replace(CELL, protocol_version=1)
    assert pinned.id == "9d0f4aa43f8ab272"


def test_a_cell_of_an_older_record_keeps_its_id() -> None:
    cell = Cell.of(FLAT)
    # As identities were before schema 6.
    identity = {key: value for key, value in FLAT.items() if not key.endswith(("dataset", "_name"))}
    del identity["weights"]
    assert cell.id == digest(identity)
    assert cell.examples == {"image_size": 33, "resizing": "pad", "augmentation": "none", "flip": False}
    assert (cell.protocol, cell.protocol_settings) == ("few-shot", FLAT["few_shot"])
    assert cell.companions == {
        "source": {
            "dataset": "/data/drawings", "name": "drawings", "fingerprint": "e123456789abcdef", "groups": "names",
        },
        "auxiliary": {
            "columns": {"body": "a123456789abcdef"}, "dataset": "/data/birds", "name": "birds",
            "fingerprint": "b123456789abcdef", "groups": "names",
        },
    }  # fmt: skip
    assert Cell.of(asdict(cell)) == cell


def test_a_cell_of_an_older_record_without_companions_has_none() -> None:
    beside = {key: type(FLAT[key])() for key in FLAT if key.startswith(("source_", "auxiliary_", "few_shot"))}
    cell = Cell.of(FLAT | beside)
    assert (cell.companions, cell.protocol, cell.protocol_settings) == ({}, "fractions", {})
    with pytest.raises(TypeError):
        Cell.of(FLAT | {"unheard_of": 1})


@pytest.mark.parametrize("kind", ["source", "auxiliary"])
def test_where_a_companion_lies_does_not_matter(kind: str) -> None:
    stamp = {"dataset": "/here", "name": "here", "fingerprint": "e123456789abcdef", "groups": "names"}
    cell = replace(CELL, companions={kind: stamp})
    assert replace(CELL, companions={kind: stamp | {"dataset": "/there", "name": "there"}}).id == cell.id
    assert replace(CELL, companions={kind: stamp | {"groups": "none"}}).id != cell.id


def test_the_label_reads_well() -> None:
    assert CELL.label == "scratch MobileNet:alpha=0.25 (weights: a.weights.h5) photos 10% seed 0"
    assert replace(CELL, backbone="", fraction=0.333).label == "scratch photos 33.3% seed 0"


def test_statuses() -> None:
    assert sorted(STATUSES) == ["crashed", "failed", "killed", "ok", "oom", "skipped", "timeout"]
    assert sorted(FINAL) == ["ok", "skipped"]
    assert sorted(AGAIN) == ["crashed", "killed"]


def record() -> Record:
    cell = {field.name: getattr(CELL, field.name) for field in fields(Cell)}
    return Record(
        cell_id=CELL.id, cell=cell, status="ok", n=10, n_train=8, n_val=2, n_test=5,
        metrics={"accuracy": 0.1 + 0.2, "log_loss": 1e-17}, costs={"fit_seconds": 1 / 3, "params": None},
        trials=[{"trial": 0, "hyperparameters": {"a": 1e-3}}], curves=[{"epoch": 0}], warnings=["w"],
    )  # fmt: skip


def test_a_record_survives_json_exactly() -> None:
    text = json.dumps(record().to_json(), allow_nan=False)
    again = Record.from_json(text, "x.json")
    assert again == record()
    assert Cell(**again.cell) == CELL


def test_an_older_record_without_newer_fields_still_loads() -> None:
    content = record().to_json() | {"schema_version": 1}
    del content["warnings"], content["provenance"], content["batch_size"]
    assert Record.from_json(json.dumps(content), "x.json").warnings == []


def test_a_newer_schema_is_refused_with_advice() -> None:
    content = {**record().to_json(), "schema_version": SCHEMA_VERSION + 1, "a_new_field": 1}
    with pytest.raises(
        RecordError, match=rf"x\.json: schema version {SCHEMA_VERSION + 1} is newer.*Update"
    ) as caught:
        Record.from_json(json.dumps(content), "x.json")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "content",
    [
        None, [], {}, "text", 3, [{}], {"schema_version": 1}, {"schema_version": None}, {"schema_version": "1"},
        {"schema_version": 1, "cell_id": "x", "cell": {}},
        {**record().to_json(), "status": "fine"},
        {**record().to_json(), "status": None},
        {**record().to_json(), "unknown": 1},
        {name: value for name, value in record().to_json().items() if name != "cell"},
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(content: Any) -> None:
    with pytest.raises(RecordError, match=r"x\.json: not a record"):
        Record.from_json(json.dumps(content), "x.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell", []),
        ("cell", {}),
        ("metrics", None),
        ("costs", 3),
        ("curves", {}),
        ("n", "10"),
        ("error", "text"),
    ],
)
def test_a_record_with_a_field_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(RecordError):
        Record.from_json(json.dumps({**record().to_json(), name: value}), "x.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("companions", {"evil": {}}),
        ("companions", {"source": {"name": 5}}),
        ("companions", {"source": {"columns": {}}}),
        ("companions", {"auxiliary": {"columns": ["body"]}}),
        ("companions", {"auxiliary": {"columns": "body"}}),
        ("companions", {"auxiliary": {"fingerprint": ["a"]}}),
        ("plugins", {"evil": "1.0"}),
        ("threads", 10**6),
    ],
)
def test_what_no_cell_can_be_is_named(field: str, value: Any) -> None:
    content = asdict(replace(CELL, **{field: value}))
    cell_id = replace(CELL, **{field: value}).id
    text = json.dumps({"cell_id": cell_id, "cell": content, "status": "skipped"})
    with pytest.raises(RecordError, match=rf"r\.json: .*cell: {field}"):
        Record.from_json(text, "r.json")


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("precision", "evil", "precision"),
        ("protocol_settings", {"x": 1}, "protocol_settings.x"),
        ("companions", {"source": {}}, "companions.source.dataset"),
        (
            "companions",
            {"auxiliary": {"dataset": "d", "name": "d", "fingerprint": "f"}},
            "companions.auxiliary.groups",
        ),
    ],
)
def test_what_no_plan_can_ask_for_is_named(field: str, value: Any, place: str) -> None:
    tuning = Tuning().model_dump()
    sound = replace(CELL, tuning=tuning, head=Head().model_dump())
    check_cell(sound)
    with pytest.raises(RecordError, match=rf"cell\.{place} must|cell\.{place}: "):
        check_cell(replace(sound, **{field: value}))


def test_settings_of_episodes_are_those_of_a_plan() -> None:
    sound = replace(CELL, tuning=Tuning().model_dump(), head=Head().model_dump(), protocol="few-shot")
    settings = {"ways": [5], "shots": [1], "episodes": 100, "queries": 5}
    check_cell(replace(sound, protocol_settings=settings))
    for key, value in {"ways": 5, "shots": ["1"], "episodes": 10**9, "queries": None}.items():
        with pytest.raises(RecordError, match=rf"cell\.protocol_settings\.{key}"):
            check_cell(replace(sound, protocol_settings=settings | {key: value}))
