"""The few-shot protocol in the report: table, answer, intervals, and what other commands say to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest

from bench.errors import RequestError
from bench.records import Cell, Record
from bench.runs import load
from bench.store import Store
from reports.few_shot import (
    difference,
    few_shot_answers,
    few_shot_tables,
    half_width,
    is_few_shot,
    measurements,
)
from reports.html import render
from reports.notebook import fragment

SETTINGS = [(5, 1, "all"), (20, 1, "all"), (20, 5, "all"), (20, 1, "within")]
TRUTH = {
    "prototypical": [0.95, 0.85, 0.95, 0.8],
    "siamese": [0.93, 0.81, 0.94, 0.75],
    "nearest_pixel": [0.6, 0.4, 0.5, 0.35],
}
COUNT = 400


def made(
    folder: Path, seeds: int = 3, predictions: bool = True, truth: dict[str, list[float]] = TRUTH
) -> list[Record]:
    """Records of these accuracies; episodes that are hard for one are hard for all."""
    hard = np.random.default_rng(0).normal(0, 0.06, (len(SETTINGS), COUNT))
    hard -= hard.mean(axis=1, keepdims=True)
    records = []
    for strategy, means in truth.items():
        trains = strategy != "nearest_pixel"
        for seed in range(seeds if trains else 1):
            cell = Cell(
                strategy=strategy, strategy_version=1, dataset="/data/characters.csv", dataset_name="characters",
                fingerprint="ab" * 8, modality="image", backbone="Conv4" if trains else "", weights="",
                weights_sha256="", fraction=0.0, seed=seed, image_size=32, resizing="crop", augmentation="light",
                flip=False, epochs=12, batch_size=256, threads=1, head={"pooling": "avg"},
                tuning={"algorithm": "random", "trials": 1},
                few_shot={"ways": [5, 20], "shots": [1, 5], "episodes": COUNT, "queries": 5},
            )  # fmt: skip
            own = np.random.default_rng([seed, len(strategy)]).normal(0, 0.02, hard.shape)
            own -= own.mean(axis=1, keepdims=True)
            values = np.array(means)[:, None] + hard + own + 0.002 * (seed - 1) * trains
            entries = [
                {
                    "ways": w,
                    "shots": s,
                    "scope": scope,
                    "accuracy": float(v.mean()),
                    "deviation": float(v.std()),
                }
                for (w, s, scope), v in zip(SETTINGS, values, strict=True)
            ]
            records.append(
                Record(
                    cell.id, asdict(cell), "ok", n_test=1340, episodes=entries,
                    metrics={"verification_auc": 0.9}, trials=[{"trial": 0, "status": "ok"}],
                    costs={"total_seconds": 60.0, "trainable_params": 111_000.0 * trains},
                )
            )  # fmt: skip
            if predictions:
                (folder / "predictions").mkdir(parents=True, exist_ok=True)
                np.savez(folder / "predictions" / f"{cell.id}.npz", accuracies=values.astype(np.float32))
    return records


def page(folder: Path, records: Sequence[Record]) -> str:
    return render(records, {}, "", folder).read_text()


def test_the_page_has_the_table_with_intervals_floor_and_chance(tmp_path: Path) -> None:
    records = made(tmp_path)
    text = page(tmp_path, records)
    assert is_few_shot(records)
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
    ):
        assert shown in text
    assert "New classes by a few labels each" in text
    for other in ("Would more labels help?", "What did the transfer bring?", "All cells"):
        assert other not in text
    frame = pd.read_csv(tmp_path / "few_shot.csv")
    assert len(frame) == len(records) * len(SETTINGS)
    assert page(tmp_path, records) == text  # the same records, the same bytes


def test_the_answer_is_about_most_classes_and_fewest_labels(tmp_path: Path) -> None:
    (answer,) = few_shot_answers(measurements(made(tmp_path), tmp_path), 0.01)
    assert answer.claim == "better"
    assert answer.headline.startswith(
        "Prototypical networks tells 20 new classes apart by 1 label each with 85.0%"
    )
    text = " ".join(answer.sentences)
    assert "siamese networks (81.0%)" in text
    assert "Chance is 5.0%, nearest pixels reaches 40.0%" in text
    assert "superclass" in text
    assert "80.0%" in text


def test_what_is_nearly_the_same_is_tied_and_one_seed_is_provisional(tmp_path: Path) -> None:
    near = {**TRUTH, "siamese": [x - 0.001 for x in TRUTH["prototypical"]]}
    (tied,) = few_shot_answers(measurements(made(tmp_path / "a", truth=near), tmp_path / "a"), 0.01)
    assert tied.claim == "tied"
    (single,) = few_shot_answers(measurements(made(tmp_path / "b", seeds=1), tmp_path / "b"), 0.01)
    assert single.claim == "provisional"
    assert "Only 1 seed" in " ".join(single.sentences)


def test_intervals_are_those_of_episodes_and_seeds(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    alone = rng.normal(0.5, 0.1, (1, 900))
    assert half_width(alone) == pytest.approx(1.96 * alone.std(ddof=1) / 30, rel=1e-3)
    several = alone + np.array([[-0.05], [0.0], [0.05]]) + rng.normal(0, 0.01, (3, 900))
    assert half_width(several) > 3 * half_width(alone)
    same = np.repeat(alone, 3, axis=0)  # nothing trained, run three times: no seeds to speak of
    assert half_width(same) == pytest.approx(half_width(alone))


def test_differences_are_paired_on_episodes(tmp_path: Path) -> None:
    found = {m.strategy: m for m in measurements(made(tmp_path), tmp_path) if m.setting == ("all", 20, 1)}
    lead, half = difference(found["prototypical"], found["siamese"])
    assert lead == pytest.approx(0.04)
    width = found["prototypical"].high - found["prototypical"].low
    assert half < width / 2
    lead, half = difference(found["prototypical"], found["nearest_pixel"])
    assert lead == pytest.approx(0.45)
    assert np.isfinite(half)


def test_without_the_files_of_episodes_there_still_are_intervals(tmp_path: Path) -> None:
    found = measurements(made(tmp_path, predictions=False), tmp_path)
    assert all(m.low < m.accuracy < m.high for m in found)
    (answer,) = few_shot_answers(found, 0.01)
    assert answer.claim == "undecided"


def test_the_best_of_each_column_is_marked(tmp_path: Path) -> None:
    (table,) = few_shot_tables(measurements(made(tmp_path), tmp_path))
    best = {name: [cell["best"] for cell in cells] for _, name, cells in table["rows"]}
    assert best["Prototypical networks"] == [True] * 4 + [False]
    assert not any(best["Nearest pixels"])
    assert [name for _, name, _ in table["rows"]][-2:] == ["Nearest pixels", "Chance"]


def test_failed_and_skipped_cells_are_told(tmp_path: Path) -> None:
    records = made(tmp_path)
    records[0].status, records[0].episodes = "failed", []
    records[0].error = {"type": "ValueError", "message": "it broke", "traceback": ""}
    text = page(tmp_path, records)
    assert "it broke" in text
    for record in records:
        record.status, record.episodes = "skipped", []
    assert "There is no answer yet." in page(tmp_path, records)


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


def test_other_commands_refuse_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for record in made(tmp_path):
        store.write(record)
    run = load(tmp_path)
    with pytest.raises(RequestError, match="few-shot"):
        run.recommend()
    for command in ("export", "compare"):
        with pytest.raises(RequestError, match=f"protocol fractions, for {command}"):
            run.check_fractions(command)
