"""Where the recommended configuration fails: numbers that follow from known answers, and what is shown of them."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import fake
import numpy as np
import pytest
from PIL import Image

from bench.modalities.image.preview import thumbnail
from bench.tasks.single_label import expected_calibration_error
from reports.figure_files import Drawing
from reports.html import render
from reports.questions import mistakes
from reports.statistics import predictions
from reports.statistics.decisions import decide
from reports.statistics.predictions import Predictions
from reports.tables import results_frame


def _answers(
    probabilities: np.ndarray, labels: list[int], names: tuple[str, ...] = ("a", "b", "c")
) -> Predictions:
    return Predictions(
        dataset="data",
        fingerprint="f",
        who="full fine-tuning",
        n=100,
        class_names=names,
        class_sizes=np.array([50.0, 30.0, 20.0]),
        ids=tuple(f"image {i}" for i in range(len(labels))),
        labels=np.array(labels),
        probabilities=probabilities,
    )


TWO_SEEDS = np.array(
    [
        [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.1, 0.0, 0.9]],
        [[0.7, 0.2, 0.1], [0.2, 0.2, 0.6], [0.8, 0.1, 0.1], [0.1, 0.0, 0.9]],
    ]
)
LABELS = [0, 1, 1, 0]


def test_confusion_is_the_mean_over_seeds() -> None:
    numbers = predictions.confusion_numbers(_answers(TWO_SEEDS, LABELS)).set_index(["true", "predicted"])
    assert numbers["images"].sum() == 4
    assert numbers.loc[("a", "a"), "images"] == 1
    assert numbers.loc[("a", "c"), "images"] == 1
    assert numbers.loc[("b", "a"), "share"] == 0.5
    assert numbers.loc[("b", "b"), "share"] == numbers.loc[("b", "c"), "share"] == 0.25
    assert numbers.loc["c", "share"].isna().all()  # no test image of class c


def test_accuracy_by_class() -> None:
    numbers = predictions.class_numbers(_answers(TWO_SEEDS, LABELS)).set_index("class")
    assert numbers["accuracy"].tolist()[:2] == [0.5, 0.25]
    assert np.isnan(numbers.loc["c", "accuracy"])
    assert numbers["test"].tolist() == [2, 2, 0]
    assert (numbers["low"] < numbers["accuracy"]).tolist() == [True, True, False]


def test_the_interval_of_a_class_counts_a_group_as_one_draw() -> None:
    rng, right = np.random.default_rng(0), np.repeat([1, 0, 1, 1, 1, 1, 0, 1, 1, 1], 10)
    chosen = np.stack([right, 1 - right, 0 * right], axis=1)[None].astype(float)
    alone = _answers(chosen, [0] * 100)
    alike = replace(alone, groups=np.arange(100) // 10)  # right or wrong together
    mixed = replace(alone, groups=rng.permutation(100) // 10)
    widths = [
        (numbers["high"] - numbers["low"])["a"]
        for numbers in (predictions.class_numbers(p).set_index("class") for p in (alone, alike, mixed))
    ]
    assert widths[1] > 2.5 * widths[0]
    assert widths[2] < 1.6 * widths[0]
    one = predictions.class_numbers(replace(alone, groups=np.zeros(100, np.int64))).set_index("class")
    assert one.loc["a", "high"] - one.loc["a", "low"] > 0.6  # a single group is one draw


def test_calibration_is_that_of_the_records() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), (1, 500))
    labels = rng.integers(3, size=500)
    numbers = predictions.calibration_numbers(_answers(probabilities, labels.tolist()))
    assert numbers["share"].sum() == pytest.approx(1)
    ece = ((numbers["confidence"] - numbers["accuracy"]).abs() * numbers["share"]).sum()
    assert ece == pytest.approx(expected_calibration_error(probabilities[0], labels))
    assert predictions.calibration_error(_answers(probabilities, labels.tolist()))[0] == pytest.approx(ece)


def test_calibration_is_judged_by_what_chance_gives() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(3), (1, 150))
    honest = np.array([rng.choice(3, p=p) for p in probabilities[0]])
    ece, chance = predictions.calibration_error(_answers(probabilities, honest.tolist()))
    assert 0.03 < ece < chance  # far from zero, and no reason to doubt it
    sure = np.where(probabilities == probabilities.max(axis=2, keepdims=True), 0.98, 0.01)
    ece, chance = predictions.calibration_error(_answers(sure, honest.tolist()))
    assert ece > 2 * chance


def test_classes_that_only_attract_mistakes_are_shown(tmp_path: Path) -> None:
    classes, names = 20, tuple(f"c{i}" for i in range(20))
    labels = np.arange(200) % classes
    taken = np.where(labels % 2 == 0, 19, labels)
    answers = Predictions(
        "data", "f", "scratch", 100, names, np.full(classes, np.nan), tuple(map(str, range(200))), labels,
        np.eye(classes)[taken][None],
    )  # fmt: skip
    confusion = Drawing(mistakes.mistake_plans(answers, 0), tmp_path).finish()["confusion"]
    assert confusion.svgs[0].count(">c19<") == 2  # a row and a column


@pytest.mark.parametrize(
    ("sizes", "right", "said"),
    [
        ([100, 100, 110, 105], [9, 8, 7, 6], "All classes have about as many labels (100 to 110)"),
        ([10, 20, 90, 100], [2, 4, 8, 10], "with the most labels (90 to 100) reach 90.0%. So few"),
        ([10, 20, 30, 40, 50, 60], [1, 2, 3, 4, 5, 6], "Classes with fewer labels do worse (rank correlation 1.00"),
        ([10, 20, 30, 40, 50, 60], [6, 5, 4, 3, 2, 1], "Classes with more labels do worse (rank correlation -1.00"),
        ([10, 20, 30, 40, 50, 60], [5, 6, 5, 6, 5, 6], "That may be chance (rank correlation"),
        ([np.nan] * 4, [5, 6, 5, 6], ""),
    ],
)  # fmt: skip
def test_how_accuracy_goes_with_the_size_of_a_class(sizes: list[float], right: list[int], said: str) -> None:
    classes = len(sizes)
    labels = np.repeat(np.arange(classes), 10)
    taken = np.concatenate([[c] * r + [(c + 1) % classes] * (10 - r) for c, r in enumerate(right)])
    answers = Predictions(
        "data", "f", "scratch", 100, tuple(map(str, range(classes))), np.array(sizes, float),
        tuple(map(str, range(len(labels)))), labels, np.eye(classes)[taken][None],
    )  # fmt: skip
    (plan,) = [plan for plan in mistakes.mistake_plans(answers, 0) if plan.name == "classes"]
    assert said in plan.conclusion
    assert said or "labels" not in plan.conclusion


def test_the_surest_mistake_comes_first_and_right_answers_are_none() -> None:
    found = mistakes.most_confident(_answers(TWO_SEEDS, LABELS), None)
    # Image 1 is right on average over the seeds.
    assert [(m.id, m.true, m.predicted) for m in found] == [("image 3", "a", "c"), ("image 2", "b", "a")]
    assert [m.confidence for m in found] == pytest.approx([0.9, 0.7])
    assert not any(m.preview for m in found)


def test_previews_are_small_and_only_of_what_is_at_hand() -> None:
    asked: list[tuple[str, list[str]]] = []

    def previews(fingerprint: str, ids: object) -> dict[str, str]:
        asked.append((fingerprint, list(ids)))  # type: ignore[call-overload]
        return {"image 3": thumbnail(np.full((400, 200, 3), 200, np.uint8))}

    found = mistakes.most_confident(_answers(TWO_SEEDS, LABELS), previews)
    assert asked == [("f", ["image 3", "image 2"])]
    assert [bool(m.preview) for m in found] == [True, False]
    with Image.open(io.BytesIO(base64.b64decode(found[0].preview.partition(",")[2]))) as picture:
        assert picture.size == (48, 96)


def test_many_classes_stay_readable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = 120
    names = tuple(f"{fake.HOSTILE} {i}" for i in range(classes))
    answers = Predictions(
        "data", "f", "scratch", 100, names, np.full(classes, np.nan), tuple(map(str, range(600))),
        rng.integers(classes, size=600), rng.dirichlet(np.ones(classes), (2, 600)),
    )  # fmt: skip
    figures = Drawing(mistakes.mistake_plans(answers, 0), tmp_path).finish()
    assert set(figures) == {"confusion", "classes", "calibration"}
    assert len(figures["confusion"].numbers) == classes**2
    assert sum(len(svg) for figure in figures.values() for svg in figure.svgs) < 300_000
    assert f"{mistakes.SHOWN_CLASSES} of {classes} classes" in figures["confusion"].conclusion


def test_the_answers_are_those_of_the_recommended_configuration(tmp_path: Path) -> None:
    records = fake.records()
    fake.write_predictions(records, tmp_path)
    decision = decide(results_frame(records), tmp_path)[-1]
    mine = [record for record in records if record.cell["fraction"] == 1.0]
    answers = predictions.predictions_of(decision, mine, fake.run_info(records), tmp_path, "it")
    assert answers is not None
    right = (answers.probabilities.argmax(axis=2) == answers.labels).mean()
    assert right == pytest.approx(decision.recommended.value)
    (tmp_path / "predictions" / f"{mine[0].cell_id}.npz").write_bytes(b"torn")
    for record in mine:
        (tmp_path / "predictions" / f"{record.cell_id}.npz").write_bytes(b"torn")
    assert predictions.predictions_of(decision, mine, {}, tmp_path, "it") is None


def test_private_images_stay_out_of_the_page(tmp_path: Path) -> None:
    records = fake.records()
    fake.write_predictions(records, tmp_path)
    page = render(records, fake.run_info(records), "", tmp_path).read_text()
    assert "data:image" not in page
    assert "predicted as" in page
    page = render(
        records,
        fake.run_info(records),
        "",
        tmp_path,
        images=lambda f, ids: {i: thumbnail(np.zeros((8, 8, 3), np.uint8)) for i in ids},
    ).read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == mistakes.SHOWN_MISTAKES
