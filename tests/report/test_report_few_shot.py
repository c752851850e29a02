"""The few-shot protocol in the report: table, answer, intervals, and what other commands say to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pandas as pd
import pytest

from bench.errors import RequestError
from bench.records import Cell, Record
from bench.runs.results import load
from bench.store import Store
from reports.html import render
from reports.notebook import fragment
from reports.questions.few_shot.accuracy import few_shot_tables
from reports.questions.few_shot.answer import few_shot_answers, section
from reports.questions.few_shot.measurements import (
    MeasuredByClass,
    Measurement,
    Shares,
    decided,
    measurements,
)
from reports.questions.few_shot.method import few_shot_method
from reports.questions.few_shot.verification import verified
from reports.results import Results

SETTINGS = [(5, 1, "all"), (20, 1, "all"), (20, 5, "all"), (20, 1, "within")]
TRUTH = {
    "prototypical": [0.95, 0.85, 0.95, 0.8],
    "siamese": [0.93, 0.81, 0.94, 0.75],
    "nearest_pixel": [0.6, 0.4, 0.5, 0.35],
}
COUNT, CLASSES = 400, 40


def made(
    folder: Path,
    seeds: int = 3,
    predictions: bool = True,
    truth: dict[str, list[float]] = TRUTH,
    seconds: dict[str, float] | None = None,
) -> list[Record]:
    """Records of these accuracies; classes that are hard for one are hard for all."""
    hard = np.random.default_rng(0).normal(0, 0.06, (len(SETTINGS), CLASSES))
    hard -= hard.mean(axis=1, keepdims=True)
    records = []
    for strategy, means in truth.items():
        trains = strategy != "nearest_pixel"
        for seed in range(seeds if trains else 1):
            cell = Cell(
                strategy=strategy, strategy_version=1, dataset="/data/characters.csv", dataset_name="characters",
                fingerprint="ab" * 8, modality="image", backbone="Conv4" if trains else "", weights="",
                weights_sha256="", fraction=0.0, seed=seed,
                examples={"image_size": 32, "resizing": "crop", "augmentation": "light", "flip": False},
                epochs=12, batch_size=256, threads=1, head={"pooling": "avg"},
                tuning={"algorithm": "random", "trials": 1},
                protocol="few-shot",
                protocol_settings={"ways": [5, 20], "shots": [1, 5], "episodes": COUNT, "queries": 5},
            )  # fmt: skip
            own = np.random.default_rng([seed, len(strategy)]).normal(0, 0.02, hard.shape)
            own -= own.mean(axis=1, keepdims=True)
            values = np.array(means)[:, None] + hard + own + 0.002 * (seed - 1) * trains
            entries = [
                {"ways": w, "shots": s, "scope": scope, "accuracy": float(v.mean()), "deviation": 0.1}
                for (w, s, scope), v in zip(SETTINGS, values, strict=True)
            ]
            records.append(
                Record(
                    cell.id, asdict(cell), "ok", n_test=1340, episodes=entries,
                    metrics={"verification_auc": 0.9}, trials=[{"trial": 0, "status": "ok"}],
                    costs={
                        "total_seconds": (seconds or {}).get(strategy, 60.0),
                        "trainable_params": 111_000.0 * trains,
                    },
                )
            )  # fmt: skip
            if predictions:
                (folder / "predictions").mkdir(parents=True, exist_ok=True)
                weights = np.full(values.shape, 1 / CLASSES, np.float32)
                shares = values.astype(np.float32)
                path = folder / "predictions" / f"{cell.id}.npz"
                np.savez(path, class_accuracies=shares, class_weights=weights)
    return records


def with_pairs(folder: Path, **given: Any) -> list[Record]:
    """The same, with what pairs of new classes gave."""
    records, rng = made(folder, **given), np.random.default_rng(3)
    for record in records:
        error = 0.05 if record.cell["strategy"] == "prototypical" else 0.2
        record.metrics |= {"verification_eer": error}
        if record.cell["strategy"] != "nearest_pixel":
            record.metrics |= {"verification_false_accepts": 0.04, "verification_false_rejects": 0.1}
        path = folder / "predictions" / f"{record.cell_id}.npz"
        if path.exists():
            x = np.logspace(-3, 0, 61, dtype=np.float32)
            errors = rng.normal(error, 0.05, CLASSES).astype(np.float32)
            np.savez(path, **np.load(path), accepts=np.stack([x, x ** (error / 2)]), class_errors=errors)
    return records


def hardest(records: Sequence[Record], folder: Path) -> dict[str, Measurement]:
    """By strategy, in the setting that the answer is about."""
    return {m.strategy: m for m in measurements(records, folder) if m.setting == ("all", 20, 1)}


def page(folder: Path, records: Sequence[Record]) -> str:
    return render(records, {}, "", folder).read_text()


def test_the_page_has_the_table_with_intervals_floor_and_chance(tmp_path: Path) -> None:
    records = made(tmp_path)
    text = page(tmp_path, records)
    assert Results(records, {}, "", tmp_path).protocol == "few-shot"
    for column in ("5-way 1-shot", "20-way 1-shot", "20-way 5-shot", "20-way 1-shot, within"):
        assert f">{column}<" in text
    for shown in (
        "Prototypical networks",
        "Nearest pixels",
        "Chance",
        "5.0%",
        "20.0%",
        "85.0%",
        "nothing trained",
        "to tune and train",
        "60 s",
    ):
        assert shown in text
    assert "Accuracy on new classes" in text
    for other in ("Would more labels help?", "Did transfer help?", "All cells"):
        assert other not in text
    frame = pd.read_csv(tmp_path / "few_shot.csv")
    assert len(frame) == len(records) * len(SETTINGS)
    assert page(tmp_path, records) == text  # the same records, the same bytes


def test_the_drawing_of_episodes_stands_beside_the_interval_as_in_papers(tmp_path: Path) -> None:
    records = made(tmp_path)
    half = 1.96 * 0.1 / COUNT**0.5
    assert np.allclose([m.by_episodes for m in measurements(records, tmp_path)], half)
    (table,) = few_shot_tables(measurements(records, tmp_path))
    cell = {name: cells for _, name, cells in table.rows}["Siamese networks"][0]
    assert cell.sub.endswith("· 3 seeds · ± 1.0 by episodes")
    page(tmp_path, records)
    frame = pd.read_csv(tmp_path / "few_shot.csv")
    assert np.allclose(frame["by_episodes"], half)
    assert "over episodes alone" in (tmp_path / "report.html").read_text()
    assert "the drawing of episodes alone" in " ".join(few_shot_method(records, {}))


def test_accuracy_by_shots_and_learning_curves_are_drawn(tmp_path: Path) -> None:
    records = made(tmp_path)
    for record in records:
        if record.costs["trainable_params"]:
            point = {"run": "search", "stage": "embedding", "train_accuracy": 0.5, "val_accuracy": 0.7}
            record.curves = [
                {
                    **point,
                    "epoch": e,
                    "images": 100 * e,
                    "seconds": float(e),
                    "train_accuracy": 0.5,
                    "val_accuracy": 0.7,
                }
                for e in (1, 2)
            ]
    text = page(tmp_path, records)
    shots = pd.read_csv(tmp_path / "figures" / "shots.csv")
    assert len(shots) == len(TRUTH) * len(SETTINGS)
    assert (tmp_path / "figures" / "shots.png").is_file()
    best = shots[(shots["strategy"] == "prototypical") & (shots["ways"] == 20) & (shots["scope"] == "all")]
    assert best.set_index("shots")["accuracy"].to_dict() == pytest.approx({1: 0.85, 5: 0.95}, abs=1e-3)
    assert (
        "With 20 classes and 1 label of each, prototypical networks reaches 85.0%, and 95.0% with 5." in text
    )
    assert set(pd.read_csv(tmp_path / "figures" / "curves.csv")["strategy"]) == {"prototypical", "siamese"}
    assert "Accuracy during training" in text
    assert "labelled images, the head" not in text  # what learning curves are of elsewhere
    for strategy in TRUTH:
        assert f'data-strategy="{strategy}"' in (tmp_path / "figures" / "shots.svg").read_text()


def test_without_curves_and_intervals_there_is_still_a_figure(tmp_path: Path) -> None:
    page(tmp_path, made(tmp_path, predictions=False))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "shots.csv",
        "shots.png",
        "shots.svg",
    ]


def test_the_answer_is_about_most_classes_and_fewest_labels(tmp_path: Path) -> None:
    (answer,) = few_shot_answers(measurements(made(tmp_path), tmp_path), 0.01)
    assert answer.claim == "better"
    assert answer.headline == "Use prototypical networks: 85.0% correct among 20 new classes"
    assert answer.about == ["20 classes", "1 label each", "400 episodes", "3 seeds"]
    assert answer.forest is not None
    assert [row.value for row in answer.forest.rows] == ["85.0%", "81.0%", "40.0%"]
    text = " ".join(answer.sentences)
    assert "prototypical networks is 4.0 points ahead of siamese networks: a clear difference" in text
    assert "Chance is 5.0%, nearest pixels reaches 40.0%" in text
    assert "superclass" in text
    assert "80.0%" in text


def first_screen(folder: Path, records: Sequence[Record], **info: Any) -> tuple[list[str], str]:
    """The texts of the tiles, and the first command to go on with; empty if there is none."""
    content = section(Results(list(records), info, "", folder)).content
    (answer,) = content["answers"]
    return [tile.text for tile in answer.tiles], next((command for command, _ in content["next"]), "")


def test_the_first_screen_says_whether_more_labels_help_and_what_to_type(tmp_path: Path) -> None:
    (more,), command = first_screen(tmp_path, made(tmp_path))
    assert more == "5 labels for each class in place of 1 adds 10 points (85.0% to 95.0%)."
    assert "--shots 1,5,10 --out" in command
    (_, command) = first_screen(tmp_path, made(tmp_path, seeds=1))
    assert command.endswith("plan.toml --seeds 3")


def test_with_one_number_of_labels_nothing_is_known_of_more(tmp_path: Path) -> None:
    records = made(tmp_path, predictions=False)
    for record in records:
        record.episodes = [entry for entry in record.episodes if entry["shots"] == 1]
    (more,), _ = first_screen(tmp_path, records)
    assert more == "Not known: every episode had 1 label for each class."


def test_no_more_labels_are_advised_than_a_class_has_images(tmp_path: Path) -> None:
    few = {"ab": {"class_counts": [11, 10, 40]}}
    assert first_screen(tmp_path, made(tmp_path), datasets=few)[1] == ""


def test_what_is_nearly_the_same_is_tied_and_the_cheaper_is_taken(tmp_path: Path) -> None:
    near = {**TRUTH, "siamese": [x - 0.001 for x in TRUTH["prototypical"]]}
    records = made(tmp_path, truth=near, seconds={"siamese": 10.0})
    (tied,) = few_shot_answers(measurements(records, tmp_path), 0.01)
    assert tied.claim == "decided"
    assert tied.headline.startswith("Use siamese networks: 84.9%")
    assert "cheaper: 10 s instead of 60 s" in " ".join(tied.sentences)


def test_one_seed_is_provisional_whoever_leads(tmp_path: Path) -> None:
    (single,) = few_shot_answers(measurements(made(tmp_path / "a", seeds=1), tmp_path / "a"), 0.01)
    assert single.claim == "provisional"
    assert single.line.startswith("1 seed cannot tell a difference from chance")
    floor_leads = {**TRUTH, "nearest_pixel": [0.99] * 4}
    (untrained,) = few_shot_answers(
        measurements(made(tmp_path / "b", seeds=1, truth=floor_leads), tmp_path / "b"), 0.01
    )
    assert untrained.claim == "provisional"


def test_all_others_are_compared_and_corrected_for(tmp_path: Path) -> None:
    many = {**TRUTH, **{f"siamese:turns={i}": [x - 0.02 for x in TRUTH["prototypical"]] for i in range(4)}}
    found = hardest(made(tmp_path, truth=many), tmp_path)
    decision = decided([*found.values()], 0.01)
    assert len(decision.comparisons) == len(many) - 1
    pair = decided([found["prototypical"], found["siamese"]], 0.01).comparisons[0]
    among = next(c for c in decision.comparisons if c.candidate.strategy == "siamese")
    assert among.p > pair.p


def test_who_lost_seeds_does_not_lead(tmp_path: Path) -> None:
    lost = [r for r in made(tmp_path) if (r.cell["strategy"], r.cell["seed"]) != ("prototypical", 0)]
    decision = decided([*hardest(lost, tmp_path).values()], 0.01)
    assert decision.leader.strategy == "siamese"
    assert decision.claim == "incomplete"


def test_seeds_are_paired_whatever_the_order_of_records(tmp_path: Path) -> None:
    records = made(tmp_path)
    one, other = (
        decided([*hardest(some, tmp_path).values()], 0.01).comparisons for some in (records, records[::-1])
    )
    assert [(c.low, c.high, c.p) for c in one] == [(c.low, c.high, c.p) for c in other]
    # The first seed of one and the last of the other have none in common.
    apart = [
        r for r in records if r.cell["seed"] != {"prototypical": 0, "siamese": 2}.get(r.cell["strategy"])
    ]
    found = hardest(apart, tmp_path)
    assert decided([found["prototypical"], found["siamese"]], 0.01).comparisons[0].seeds == 1


@pytest.mark.parametrize(("classes", "seeds"), [(5, 3), (5, 1), (20, 3), (60, 5)])
def test_intervals_cover_new_classes_and_new_seeds(classes: int, seeds: int) -> None:
    rng, times, hits = np.random.default_rng(classes + seeds), 1500, 0
    cells = pd.DataFrame({"accuracy": np.zeros(seeds), "n_test": 100.0})
    for _ in range(times):
        of_seeds = rng.normal(0, 0.02 if seeds > 1 else 0, (seeds, 1))
        shares = 0.5 + rng.normal(0, 0.1, classes) + of_seeds + rng.normal(0, 0.03, (seeds, classes))
        ids = np.arange(classes).astype(str)
        by_seed = {seed: Shares(ids, row[None], None, examples=10_000) for seed, row in enumerate(shares)}
        hits += abs(shares.mean() - 0.5) <= MeasuredByClass(cells, by_seed).half_width
    assert 0.93 < hits / times < 0.975


def test_an_interval_does_not_shrink_to_nothing_where_all_is_right() -> None:
    cells = pd.DataFrame({"accuracy": [1.0], "n_test": 50.0})
    right = Shares(np.arange(5).astype(str), np.ones((1, 5)), None, examples=50)
    assert 0.05 < MeasuredByClass(cells, {0: right}).half_width < 0.15


def test_what_trains_nothing_is_compared_with_every_seed(tmp_path: Path) -> None:
    found = hardest(made(tmp_path), tmp_path)
    assert found["nearest_pixel"].seeds == 0
    comparison = decided([found["prototypical"], found["nearest_pixel"]], 0.01).comparisons[0]
    assert comparison.paired
    assert comparison.seeds == 3
    assert comparison.difference == pytest.approx(0.45)
    width = found["prototypical"].high - found["prototypical"].low
    assert comparison.high - comparison.low < 0.8 * width  # what is hard for both cancels out


def test_a_single_seed_of_what_trains_is_not_taken_for_all(tmp_path: Path) -> None:
    records = [r for r in made(tmp_path) if r.cell["strategy"] != "siamese" or r.cell["seed"] == 0]
    found = hardest(records, tmp_path)
    comparison = decided([found["prototypical"], found["siamese"]], 0.01).comparisons[0]
    assert (comparison.seeds, comparison.verdict) == (1, "unknown")


def test_without_files_there_are_no_intervals_and_no_claim(tmp_path: Path) -> None:
    records = made(tmp_path, predictions=False)
    found = measurements(records, tmp_path)
    assert all(np.isnan([m.low, m.high]).all() for m in found)
    (answer,) = few_shot_answers(found, 0.01)
    assert answer.claim == "undecided"
    assert "nan%" not in fragment(records, tmp_path)
    assert "no interval" in fragment(records, tmp_path)


def test_the_best_of_each_column_is_marked(tmp_path: Path) -> None:
    (table,) = few_shot_tables(measurements(made(tmp_path), tmp_path))
    best = {name: [cell.best for cell in cells] for _, name, cells in table.rows}
    assert best["Prototypical networks"] == [True] * 4 + [False] * 2
    assert not any(best["Nearest pixels"])
    assert [name for _, name, _ in table.rows][-2:] == ["Nearest pixels", "Chance"]


def test_failed_and_skipped_cells_are_told(tmp_path: Path) -> None:
    records = made(tmp_path)
    records[0].status, records[0].episodes = "failed", []
    records[0].error = {"type": "ValueError", "message": "it broke", "traceback": ""}
    text = page(tmp_path, records)
    assert "it broke" in text
    for record in records:
        record.status, record.episodes = "skipped", []
    assert "There is no answer yet" in page(tmp_path, records)


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    records = made(tmp_path)
    for record in records:
        record.cell["dataset_name"] = fake.HOSTILE
    text = page(tmp_path, records)
    assert "<script>alert" not in text
    assert "{{ 7*7 }}" in text


def test_a_notebook_shows_it(tmp_path: Path) -> None:
    shown = fragment(made(tmp_path), tmp_path)
    assert "20-way 1-shot" in shown
    assert "85.0%" in shown


def test_without_a_source_nothing_is_said_to_be_tuned(tmp_path: Path) -> None:
    records = made(tmp_path)
    assert "there is no source" in " ".join(few_shot_method(records, {}))
    source = {"name": "old", "n": 100, "targets": {"ab": {"left_out": 3}}}
    with_source = " ".join(few_shot_method(records, {"source_dataset": source}))
    assert "held out whole" in with_source
    assert "there is no source" not in with_source


def test_other_commands_refuse_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for record in made(tmp_path):
        store.write(record)
    run = load(tmp_path)
    with pytest.raises(RequestError, match="few-shot"):
        run.recommend()
    for command in ("export", "compare"):
        with pytest.raises(RequestError, match=f"protocol fractions .*{command} compares"):
            run.check_fractions(command)


def test_pairs_have_an_equal_error_rate_with_its_interval_and_a_curve(tmp_path: Path) -> None:
    records = with_pairs(tmp_path)
    by_strategy = {v.strategy: v for v in verified(records, tmp_path)}
    first = by_strategy["prototypical"]
    assert (first.error, first.seeds) == (pytest.approx(0.05), 3)
    assert 0 < first.half < 0.05  # forty classes with a deviation of 0.05, three seeds
    assert first.accuracy == pytest.approx(0.93)
    assert by_strategy["nearest_pixel"].seeds == 0
    assert np.isnan(by_strategy["nearest_pixel"].accuracy)  # it searched nothing
    text = page(tmp_path, records)
    for shown in (
        "Same class or not",
        "equal error rate",
        "5.0%",
        "93.0%",
        "false accepts 4.0% · false rejects 10.0%",
        "no search, no threshold",
        "ROC curve",
    ):
        assert shown in text
    assert set(pd.read_csv(tmp_path / "few_shot.csv")["verification_eer"]) == {0.05, 0.2}
    assert (tmp_path / "figures" / "roc.csv").exists()


def test_without_files_pairs_have_no_interval_and_no_curve(tmp_path: Path) -> None:
    records = with_pairs(tmp_path, predictions=False)
    found = verified(records, tmp_path)
    assert all(np.isnan(v.half) and v.curve is None for v in found)
    assert "no interval · 3 seeds" in page(tmp_path, records)


def test_records_of_before_have_no_pairs(tmp_path: Path) -> None:
    records = made(tmp_path)
    assert verified(records, tmp_path) == []
    assert "Same class or not" not in page(tmp_path, records)
