"""Figures: their numbers and structure, not their pixels."""

from __future__ import annotations

import os
import re
import signal
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import fake
import joblib
import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from bench.records import Record
from reports import drawing, figure_files, words
from reports.questions import accuracy, learning
from reports.questions.cost import COSTS, cost_numbers, cost_plan
from reports.tables import curves_frame, results_frame


def _draw(records: list[Record], out: Path) -> list[figure_files.FigureInfo]:
    results, curves = results_frame(records), curves_frame(records)
    figures = (
        lambda mine: accuracy.accuracy_plan(mine, words.IMAGES),
        lambda mine: cost_plan(mine, words.IMAGES),
        lambda mine: learning.curves_plan(mine, curves, words.IMAGES),
    )
    plans = [plan for figure in figures for plan in drawing.of_each_dataset(results, figure)]
    return [*figure_files.Drawing(plans, out).finish().values()]


def test_three_figures_with_files_alt_text_and_conclusion(tmp_path: Path) -> None:
    found = _draw(fake.records(backbones=("A", "B")), tmp_path)
    assert [figure.name for figure in found] == ["accuracy", "cost", "curves"]
    assert [len(figure.svgs) for figure in found] == [2, 1, 2]
    for figure in found:
        assert figure.path.read_bytes().startswith(b"\x89PNG")
        assert figure.path.with_suffix(".svg").exists()
        assert len(pd.read_csv(figure.path.with_suffix(".csv"))) == len(figure.numbers)
        assert len(figure.alt) > 40
        assert figure.conclusion.endswith(".")


def test_the_same_records_give_the_same_bytes_and_leave_no_global_state(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    records = fake.records(seeds=2)
    _draw(records, tmp_path / "a")
    _draw(records, tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 9
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_other_processes_draw_the_same_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = fake.records()
    alone = _draw(records, tmp_path / "alone")
    monkeypatch.setattr(figure_files, "_MANY", 1)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    with matplotlib.rc_context({"axes.linewidth": 9}):  # as a notebook may have set
        together = _draw(records, tmp_path / "together")
    assert [figure.svgs for figure in together] == [figure.svgs for figure in alone]
    for path in (tmp_path / "alone").iterdir():
        assert path.read_bytes() == (tmp_path / "together" / path.name).read_bytes()


def test_few_panels_are_drawn_here_and_many_elsewhere_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)

    def says_where(axes: Axes) -> None:
        axes.set_title(str(os.getpid()))

    for panels, elsewhere in ((1, False), (figure_files._MANY, True)):
        plan = drawing.Plan("where", "", "", "", [says_where] * panels, pd.DataFrame())
        drawings = figure_files.Drawing([plan], tmp_path)
        drawings.add([replace(plan, name=f"again-{i}") for i in range(9)])
        if elsewhere:
            drawings._futures[0].result()
        figures = drawings.finish()
        assert [*figures] == ["where", *(f"again-{i}" for i in range(9))]
        assert (f">{os.getpid()}<" not in figures["where"].svgs[0]) == elsewhere
        assert f">{os.getpid()}<" in figures["again-8"].svgs[0]  # the last is drawn by who asks for it


def test_if_another_process_is_killed_figures_are_drawn_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    here = os.getpid()

    def killed(axes: Axes) -> None:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        axes.set_title("drawn")

    plan = drawing.Plan("a", "", "", "", [killed] * figure_files._MANY, pd.DataFrame())
    found = figure_files.Drawing([plan, replace(plan, name="b")], tmp_path).finish()
    assert [">drawn<" in figure.svgs[0] for figure in found.values()] == [True, True]
    assert (tmp_path / "b.png").exists()


def test_svg_is_well_formed_with_ids_of_its_own_and_colours_of_the_page(tmp_path: Path) -> None:
    svgs = [svg for figure in _draw(fake.records(backbones=("A", "B")), tmp_path) for svg in figure.svgs]
    ids = [match for svg in svgs for match in re.findall(r' id="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in svgs:
        ElementTree.fromstring(svg)
        own = set(re.findall(r' id="([^"]+)"', svg))
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= own
        assert drawing.INK not in svg
        assert "var(--ink)" in svg
        assert "DejaVu" not in svg


@pytest.mark.parametrize("name", [fake.HOSTILE, "$x_1$ $", "\\frac{", "猫の写真", "</svg><script>"])
def test_names_are_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    records = fake.records(
        datasets=(name,), backbones=(name,), strategies=("majority", "scratch", name), seeds=1
    )
    for figure in _draw(records, tmp_path):
        for svg in figure.svgs:
            root = ElementTree.fromstring(svg)
            assert not [element for element in root.iter() if element.tag.endswith("script")]
        assert "\n" not in figure.alt
        assert "\x00" not in figure.alt


def test_bands_need_three_seeds() -> None:
    assert accuracy.accuracy_numbers(results_frame(fake.records(seeds=2)))["half_width"].isna().all()
    assert accuracy.accuracy_numbers(results_frame(fake.records(seeds=3)))["half_width"].notna().all()


def test_the_front_holds_who_is_not_beaten() -> None:
    numbers = cost_numbers(results_frame(fake.records(backbones=("A", "B"))))
    assert "majority" not in set(numbers["strategy"])
    assert set(numbers["fraction"]) == {1.0}
    for cost in COSTS:
        for row in numbers.to_dict("records"):
            cheaper = (numbers[cost] < row[cost]) & (numbers["accuracy"] >= row["accuracy"])
            better = (numbers[cost] <= row[cost]) & (numbers["accuracy"] > row["accuracy"])
            assert row[f"front_{cost}"] == (not (cheaper | better).any())


def test_curves_are_those_of_the_winning_trial_at_the_largest_count_stages_in_order() -> None:
    records = fake.records(seeds=1)
    numbers = learning.curve_numbers(results_frame(records), curves_frame(records))
    assert set(numbers["fraction"]) == {1.0}
    assert set(numbers["strategy"]) == {s for s in fake.STRATEGIES if s != "majority"}
    for _, cell in numbers.groupby("cell_id"):
        assert cell["images"].is_monotonic_increasing
        stages = list(cell["stage"])
        assert stages == sorted(stages, key=["head", "finetune", "train"].index)


def test_strategies_keep_their_colours() -> None:
    known = {name: drawing.style_of(name) for name in fake.STRATEGIES}
    assert len({colour for colour, _ in known.values()}) == 5
    others = [f"method_{i}" for i in range(24)]
    for beside in ([], ["scratch"], ["scratch", "majority"], list(known)):
        everyone = [*others, *beside]
        styles = [drawing.style_of(name, everyone) for name in others]
        assert not {colour for colour, _ in styles} & {known[name][0] for name in beside}
        assert len({drawing.style_of(name, everyone)[0] for name in everyone} - {drawing.GREY}) <= 8
        back = [drawing.stands_back(name, everyone) for name in others]
        assert back == sorted(back)  # the first, which matter most, have the colours
        assert len(set(styles[: back.index(True)])) == back.index(True) >= 3
    alone = {drawing.style_of(name, ["a", "b", "c", "d", "e", "f"])[0] for name in "abcdef"}
    assert len(alone) == 6


def test_short_names_still_tell_variants_apart() -> None:
    assert words.strategy_name("multi_task:auxiliary=body", 22) == "multi-task (body)"
    assert words.strategy_name("partial_finetune:unfreeze=0.25", 22) == "partial (0.25)"
    assert words.strategy_name("surgical:depth=0.2", 40) == words.strategy_name("surgical:depth=0.2")
    assert words.strategy_name("full_finetune", 22) == "full fine-tuning"
    many = "lora:rank=4,learning_rate=0.00012345678,weight_decay=0.001"
    assert len(words.strategy_name(many, 22)) <= 22


def test_names_break_between_words() -> None:
    assert words.wrapped("full fine-tuning", 26) == "full fine-tuning"
    assert (
        words.wrapped("full fine-tuning on EfficientNetLite0", 26) == "full fine-tuning on\nEfficientNetLite0"
    )
    assert words.wrapped("a" * 40, 26) == "a" * 26 + "\n" + "a" * 14


def test_the_lead_changes_where_lines_cross() -> None:
    lines = {"a": {100: 0.5, 10_000: 0.7}, "b": {100: 0.4, 10_000: 0.8}, "c": {100: 0.1, 10_000: 0.2}}
    (change,) = accuracy.lead_changes(lines)
    assert (change.leader, change.n, change.value) == ("b", pytest.approx(1000), pytest.approx(0.6))
    assert not [*accuracy.lead_changes({"a": lines["a"], "c": lines["c"]})]
    # One that is not there all along cannot be overtaken where it is missing.
    assert not [*accuracy.lead_changes({"a": {100: 0.5}, "b": lines["b"]})]
    twice = {"a": {1: 0.9, 10: 0.1}, "b": {1: 0.6, 10: 0.6}, "c": {1: 0.1, 10: 0.9}}
    assert [c.leader for c in accuracy.lead_changes(twice)] == ["b", "c"]


def test_points_say_their_values_and_crossings_are_marked(tmp_path: Path) -> None:
    found = _draw(fake.records(), tmp_path)
    figure, cost, curves = (drawn.svgs[0] for drawn in found)
    (values,) = re.findall(r'data-strategy="full_finetune" data-values="([^"]*)"', figure)
    first, *_, last = values.split(drawing.VALUE)
    assert first.startswith("full fine-tuning, 341 labels: 5")
    assert last.startswith("full fine-tuning, 3,409 labels: 80.")
    assert last.endswith("(3 seeds)")
    assert "from 1,900: full fine-tuning" in figure
    assert "Rings mark" in found[0].conclusion
    assert 'data-values="full fine-tuning: 80.' in cost
    assert 'data-values="full fine-tuning: validation' in curves


@given(st.lists(st.floats(-0.5, 1.5), max_size=30), st.floats(0.001, 0.2))
def test_labels_do_not_overlap(wanted: list[float], gap: float) -> None:
    placed = drawing.spread_labels(wanted, gap, 0.0, 1.0)
    room = min(gap, 1.0 / max(1, len(wanted) - 1))
    assert len(placed) == len(wanted)
    assert all(-1e-9 <= p <= 1 + 1e-9 for p in placed)
    assert (np.diff(sorted(placed)) >= room - 1e-9).all()
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= 0).all()


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert drawing.spread_labels([0.9, 0.1, 0.5], 0.1, 0, 1) == pytest.approx([0.9, 0.1, 0.5])
    assert drawing.spread_labels([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])


@given(st.floats(0.001, 1e5), st.floats(1.5, 1e4))
def test_time_ticks_lie_in_range(low: float, ratio: float) -> None:
    ticks = drawing.time_ticks(low, low * ratio)
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    "records",
    [
        [],
        fake.records(strategies=("majority",)),
        fake.records(strategies=("scratch",), fractions=(1.0,), seeds=1, points=1),
        fake.records(spoil=fake.fail),
        fake.records(backbones=("A", "B"), strategies=fake.STRATEGIES[:4],
                     spoil=lambda r: fake.fail(r) if r.cell["backbone"] == "A" else None),
    ],
    ids=["none", "majority", "one", "all failed", "one backbone failed"],
)  # fmt: skip
def test_whatever_there_is_can_be_drawn(records: list[Record], tmp_path: Path) -> None:
    _draw(records, tmp_path)
