"""The few-shot protocol in plans, and what its source may not share with the new classes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.datasets import open_dataset
from bench.datasets.companions.source import SourceCompanion, SourceDomain, pair
from bench.errors import RequestError
from bench.modalities.findings import Finding
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan
from bench.plans.protocol import protocol
from bench.plans.strategies import get_strategy
from bench.protocols.few_shot.episodes import findings_of_new, superclass
from bench.protocols.few_shot.held_out import held_out
from bench.records import Cell
from bench.runs.prepare import prepare
from strategies import STRATEGIES

Make = Callable[..., str]
FLAGS: dict[str, Any] = {
    "protocol": "few-shot",
    "image_size": 16,
    "backbones": ["Conv4"],
    "seeds": 3,
}
EPISODES = {"ways": [2, 3], "shots": [1], "episodes": 10}
FEW_SHOT: dict[str, Any] = {**EPISODES, "ways": [2], "queries": 5}


@pytest.fixture
def manifest(tmp_path: Path) -> Make:
    """Writes a manifest of classes with images of their own, in groups; returns its path."""

    def make(
        name: str, classes: tuple[str, ...], group: Callable[[int], str] = lambda i: "", images: int = 8
    ) -> str:
        root = tmp_path / name
        root.mkdir()
        with (root / "list.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "group"])
            for c, of in enumerate(classes):
                for i in range(images):
                    rng = np.random.default_rng([len(name), ord(name[0]), c, i])
                    path = f"{name}{c}-{i}.png"
                    Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(root / path)
                    writer.writerow([path, of, group(i)])
        return str(root / "list.csv")

    return make


@pytest.fixture
def new(manifest: Make) -> str:
    return manifest("new", ("x/a", "x/b", "y/c"))


@pytest.fixture
def source(manifest: Make) -> str:
    return manifest("source", ("d", "e", "f", "g"))


def test_a_plan_without_it_is_what_it_was() -> None:
    content = load_plan({"datasets": ["digits"]}).model_dump(mode="json")
    assert not {"protocol", "few_shot"} & set(content)
    assert "fractions" in content


def test_a_plan_is_read_back_equal(tmp_path: Path) -> None:
    plan = load_plan({"datasets": ["digits"], "protocol": "few-shot", "few_shot": {"ways": [20, 5]}})
    assert plan.strategies == list(protocol("few-shot").strategies)
    assert plan.protocol_settings["ways"] == [5, 20]
    (tmp_path / "plan.toml").write_text(plan.to_toml())
    assert "fractions" not in plan.to_toml()
    again = load_plan(tmp_path / "plan.toml")
    assert again == plan
    assert again.hash() == plan.hash() != load_plan({"datasets": ["digits"]}).hash()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "few-shot", "fractions": [1.0]}, "fractions"),
        ({"few_shot": {"ways": [5]}}, "without --protocol few-shot"),
        ({"protocol": "one-shot"}, "protocol"),
        ({"protocol": "few-shot", "few_shot": {"ways": [1]}}, "ways"),
        ({"protocol": "few-shot", "few_shot": {"shots": [1, 1]}}, "without repetition"),
        ({"protocol": "few-shot", "few_shot": {"way": [5]}}, "ways"),
    ],
)
def test_mistakes_are_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        load_plan({"datasets": ["digits"], **changes})


def test_what_trains_or_searches_runs_with_each_seed_and_the_rest_once(new: str, source: str) -> None:
    plan = {"datasets": [new], "source_dataset": source, **FLAGS, "few_shot": EPISODES}
    given = ["nearest_mean", "logistic:penalty=0.01"]
    cells = prepare(load_plan({**plan, "strategies": [*protocol("few-shot").strategies, *given]})).cells
    once = {cell.strategy for cell in cells} - {cell.strategy for cell in cells if cell.seed}
    assert once == {"nearest_pixel", *given}
    assert all(
        len([c for c in cells if c.strategy == name]) == 3 for name in {"siamese", "feature_extraction"}
    )
    # Without a source there is nothing to choose on.
    alone = prepare(load_plan({**plan, "source_dataset": "", "strategies": ["feature_extraction"]})).cells
    assert [cell.seed for cell in alone] == [0]


@pytest.mark.parametrize(
    ("protocol", "given", "message"),
    [
        (
            "fractions",
            "feature_extraction:penalty=0.1",
            "learning_rate, weight_decay.*penalty would do nothing",
        ),
        (
            "few-shot",
            "feature_extraction:learning_rate=0.1",
            "few-shot: penalty.*learning_rate would do nothing",
        ),
    ],
)
def test_hyperparameters_of_the_other_protocol_are_refused(
    protocol: str, given: str, message: str, new: str
) -> None:
    plan = {"datasets": [new], **FLAGS, "protocol": protocol, "strategies": [given]}
    with pytest.raises(RequestError, match=message):
        prepare(load_plan(plan))


def test_cells_hold_the_protocol(new: str, source: str) -> None:
    plan = {"datasets": [new], "source_dataset": source, **FLAGS, "few_shot": EPISODES}
    cells = prepare(load_plan(plan)).cells
    pixel = next(c for c in cells if c.strategy == "nearest_pixel")
    assert not pixel.companions  # it would be the same with any
    assert all(c.companions["source"] for c in cells if c is not pixel)
    assert pixel.protocol_settings == {**EPISODES, "queries": 5}
    assert "few_shot" in pixel.identity
    other = prepare(load_plan({**plan, "few_shot": {**EPISODES, "episodes": 11}})).cells
    assert not {c.id for c in cells} & {c.id for c in other}


def test_classes_of_the_target_are_never_learned_from(new: str, manifest: Make) -> None:
    overlapping = manifest("overlap", ("d", "X/A", "e", "f", "g"))
    plan = {"datasets": [new], "source_dataset": overlapping, **FLAGS, "few_shot": EPISODES}
    with pytest.raises(RequestError, match="Both have 'x/a'"):
        prepare(load_plan(plan))


def test_too_few_classes_to_learn_from_are_refused(new: str, manifest: Make) -> None:
    plan = {"datasets": [new], "source_dataset": manifest("two", ("d", "e")), **FLAGS, "few_shot": EPISODES}
    with pytest.raises(RequestError, match="at least 4 classes"):
        prepare(load_plan(plan))


def test_groups_of_any_new_image_are_left_out(manifest: Make) -> None:
    def group(i: int) -> str:
        return f"drawer {i}"

    target = open_dataset(manifest("new", ("a", "b", "c"), group), ImageInput(16))
    source = open_dataset(
        manifest("source", ("d", "e", "f", "g"), lambda i: f"drawer {i + 4}"), ImageInput(16)
    )
    domain = pair(source, target, classes="other")
    left = {source.pool.group_names[row] for row in domain.rows}  # type: ignore[index]
    assert left == set(map(group, range(8, 12))) & set(source.pool.group_names or ())
    # Where only the test part counts, those of the pool stay.
    assert domain.left_out > pair(source, target, classes="any").left_out
    assert domain.class_names == source.class_names


def source_of(manifest: Make, new: str, classes: tuple[str, ...], **options: Any) -> SourceDomain:
    return pair(
        open_dataset(manifest("held", classes, **options), ImageInput(16)),
        open_dataset(new, ImageInput(16)),
        classes="other",
    )


def test_classes_are_held_out_whole(manifest: Make, new: str) -> None:
    domain = source_of(manifest, new, tuple("defghijk"))
    found = set()
    for seed in range(8):
        apart = held_out(domain, FEW_SHOT, seed)
        labels = domain.part.labels
        assert not set(labels[apart.train]) & set(labels[apart.val])
        assert sorted([*apart.train, *apart.val]) == domain.rows.tolist()
        assert len(set(labels[apart.val])) == 2
        found |= set(labels[apart.val])
    assert len(found) > 2


@pytest.mark.parametrize("alphabets", [4, 5, 10])
def test_whole_superclasses_are_held_out_where_there_are_enough(
    alphabets: int, manifest: Make, new: str
) -> None:
    names = tuple(f"{a}/{i}" for a in range(alphabets) for i in range(3))
    domain = source_of(manifest, new, names, images=5)
    for seed in range(4):
        apart = held_out(domain, FEW_SHOT, seed)
        learned, kept = (
            {superclass(domain.class_names[c]) for c in domain.part.labels[rows]}
            for rows in (apart.train, apart.val)
        )
        assert bool(learned & kept) == (alphabets == 4)
        assert alphabets == 4 or len(kept) == alphabets // 5


def test_groups_of_held_out_classes_are_not_learned_from_in_tuning(manifest: Make, new: str) -> None:
    # A drawer who drew all classes drew the held-out ones too: nothing would be left.
    domain = source_of(manifest, new, tuple("defgh"), group=lambda i: f"drawer {i}")
    apart = held_out(domain, FEW_SHOT, 0)
    assert len(apart.train) + len(apart.val) == len(domain.rows)
    assert "share groups" in apart.warnings[0]
    # Some drawers drew one class, and others two.
    pairs = replace(
        domain, groups=np.where(np.arange(len(domain.groups)) % 4, np.arange(len(domain.groups)), -1)
    )
    apart = held_out(pairs, FEW_SHOT, 0)
    assert not apart.warnings
    assert not set(pairs.groups[apart.train]) & set(pairs.groups[apart.val])
    assert len(apart.train) + len(apart.val) < len(domain.rows)


def test_a_source_with_few_images_tunes_with_fewer_shots(manifest: Make, new: str) -> None:
    domain = source_of(manifest, new, tuple("defg"), images=5)  # four are in the pool
    apart = held_out(domain, {**FEW_SHOT, "ways": [2], "shots": [1, 5]}, 0)
    assert [(s.ways, s.shots) for s in apart.episodes] == [
        (2, 1),
        (2, 3),
    ]  # in one order, whatever the process
    assert "2-way 5-shot; tuning used 2-way 1-shot, 2-way 3-shot" in apart.warnings[0]


def test_a_source_that_cannot_tune_is_refused_before_anything_runs(
    new: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_drawer_a_class(*arguments: Any) -> SourceDomain:
        domain = pair(*arguments)
        return replace(domain, groups=domain.part.labels)

    monkeypatch.setattr("bench.datasets.companions.source.pair", one_drawer_a_class)
    plan = {"datasets": [new], "source_dataset": source, **FLAGS, "few_shot": EPISODES}
    with pytest.raises(RequestError, match=r"source_dataset.*held out to tune on"):
        prepare(load_plan(plan))


def test_ways_are_checked_before_anything_runs(new: str, source: str) -> None:
    plan = {"datasets": [new], "source_dataset": source, **FLAGS, "few_shot": {**EPISODES, "ways": [4]}}
    with pytest.raises(RequestError, match="at most 3, the number of classes"):
        prepare(load_plan(plan))


def test_too_many_ways_or_shots_come_with_a_remedy(new: str) -> None:
    plan = {"datasets": [new], **FLAGS}
    with pytest.raises(
        RequestError,
        match=r"few_shot.ways must be at most 3, .* classes of list .* 1 image,.*20.*--ways 3\.",
    ):
        prepare(load_plan(plan))
    with pytest.raises(
        RequestError, match=r"few_shot.shots must be 7 or less .*9.*list has 0 classes.*--shots 1,7"
    ):
        prepare(load_plan({**plan, "few_shot": {"ways": [2], "shots": [1, 9]}}))


@pytest.mark.parametrize("given", [["--protocol", "few-shot"], ["--set", "protocol=few-shot"]])
def test_it_asks_for_a_dataset(given: list[str]) -> None:
    from typer.testing import CliRunner

    from bench.cli.app import app

    error = CliRunner().invoke(app, ["plan", *given]).exception
    assert isinstance(error, RequestError)
    assert "--dataset" in str(error)
    assert "--source-dataset" in str(error)


def test_no_alert_speaks_of_new_images_that_are_learned_from(new: str) -> None:
    across = Finding("identical_across_splits", "validity", "3 of 9 test images with the same pixels as a training "
                     "image.")  # fmt: skip
    untested = Finding("classes_without_test", "validity", "1 of 3 classes have no test image.")
    dataset = replace(open_dataset(new, ImageInput(16)), findings=(across, untested))
    (found,) = findings_of_new(dataset).findings
    assert "learned" not in found.text
    assert "may meet in one episode" in found.text


def test_what_is_left_out_of_a_source_is_said_of_all_new_images(manifest: Make) -> None:
    target = open_dataset(manifest("new", ("a", "b", "c"), lambda i: f"drawer {i}"), ImageInput(16))
    source = open_dataset(
        manifest("source", ("d", "e", "f", "g"), lambda i: f"drawer {i + 4}"), ImageInput(16)
    )
    domains = {target.fingerprint: pair(source, target, classes="other")}
    (text,) = SourceCompanion(source, domains, True, bool).notes(target)
    assert "in a group with images of" in text


def test_strategies_that_cannot_are_refused(new: str, source: str) -> None:
    plan = {"datasets": [new], "source_dataset": source, **FLAGS, "few_shot": EPISODES}
    with pytest.raises(RequestError, match=r"full_finetune.*nearest_pixel"):
        prepare(load_plan({**plan, "strategies": ["siamese", "full_finetune"]}))


def test_another_source_serves_fractions_too_but_not_what_adapts(new: str, source: str) -> None:
    plan = {**FLAGS, "protocol": "fractions", "datasets": [new], "source_dataset": source, "fractions": [1.0]}
    cells = prepare(load_plan({**plan, "strategies": ["siamese", "scratch"]})).cells
    assert {bool(c.companions) for c in cells if c.strategy == "siamese"} == {True}
    assert {bool(c.companions) for c in cells if c.strategy == "scratch"} == {False}
    with pytest.raises(RequestError, match="the same class names"):
        prepare(load_plan({**plan, "strategies": ["siamese", "source_only"]}))
    with pytest.raises(RequestError, match="siamese"):
        prepare(load_plan({**plan, "strategies": ["scratch"]}))


def test_a_cell_is_called_few_shot(new: str) -> None:
    cell = prepare(load_plan({"datasets": [new], **FLAGS, "few_shot": EPISODES})).cells[0]
    assert isinstance(cell, Cell)
    assert cell.label.endswith("few-shot seed 0")


def test_whatever_can_says_so() -> None:
    able = {name for name in STRATEGIES if get_strategy(name).few_shot}
    assert {*protocol("few-shot").strategies, "nearest_mean", "logistic", "knn"} <= able
    assert get_strategy("siamese:loss=contrastive").fixed == {"loss": "contrastive"}
    assert get_strategy("feature_extraction:penalty=0.1").fixed == {"penalty": 0.1}
