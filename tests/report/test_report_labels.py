"""Learning curves over labels: simulated truth, limits, back-test."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from reports.questions.labels import labels_table
from reports.statistics import label_curves as lb
from reports.statistics.decisions import CONFIGURATION
from reports.tables import COLUMNS

COUNTS = [100, 200, 400, 800, 1600, 3200]


def power(n: np.ndarray, a: float = 3.0, b: float = 0.5, c: float = 0.05) -> np.ndarray:
    return 1 - (c + a * n**-b)


def simulated(
    folder: Path, truth: dict[str, np.ndarray], seeds: int = 4, images: int = 1500, entropy: int = 0
) -> pd.DataFrame:
    """Results of strategies with these accuracies at COUNTS, with predictions for the same images."""
    rng = np.random.default_rng(entropy)
    (folder / "predictions").mkdir(parents=True)
    hard = rng.standard_normal(images)
    rows = []
    for strategy, accuracies in truth.items():
        for n, accuracy in zip(COUNTS, accuracies, strict=False):
            for seed in range(seeds):
                shifted = ndtri(np.clip(accuracy + 0.01 * rng.standard_normal(), 0.01, 0.99))
                right = 0.8 * hard + 0.6 * rng.standard_normal(images) < shifted
                cell_id = f"{strategy}-{n}-{seed}"
                np.savez(folder / "predictions" / f"{cell_id}.npz", ids=np.arange(images).astype(str),
                         probabilities=np.eye(2)[right.astype(int)], labels=np.ones(images, int))  # fmt: skip
                row = (
                    dict.fromkeys(COLUMNS, math.nan)
                    | dict.fromkeys(CONFIGURATION, "x")
                    | {"metric": "accuracy"}
                )
                rows.append(row | {"cell_id": cell_id, "status": "ok", "strategy": strategy, "n": n, "seed": seed,
                                   "fraction": n / 3200, "accuracy": right.mean(), "n_test": images})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("form", "truth"),
    [
        (0, lambda n: 1 - (0.1 + 2 * n**-0.4)),
        (1, lambda n: 1 - (0.2 + 0.5 * np.exp(-n / 700))),
        (2, lambda n: 0.1 + 0.09 * np.log(n)),
    ],
)
def test_each_form_is_found_again(form: int, truth: object) -> None:
    n = np.array(COUNTS, float)
    accuracy = truth(n)[None]  # type: ignore[operator]
    fitted = lb.fit(n, accuracy)
    assert fitted.form[0] == form
    np.testing.assert_allclose(fitted.at(n), accuracy, atol=0.004)
    far = np.array([6400.0, 12800.0])
    np.testing.assert_allclose(fitted.at(far)[0], np.clip(truth(far), 0, 1), atol=0.02)  # type: ignore[operator]


def test_a_curve_never_falls_nor_exceeds_one() -> None:
    rng = np.random.default_rng(0)
    fitted = lb.fit(COUNTS, rng.uniform(0, 1, (200, 6)))
    values = fitted.at(np.geomspace(100, 12800, 50))
    assert (np.diff(values, axis=1) >= -1e-12).all()
    assert (values <= 1).all()


def test_predictions_hold_what_comes(tmp_path: Path) -> None:
    inside = backs = 0
    runs = 12
    for i in range(runs):
        truth = power(np.array(COUNTS, float))
        (curve,), reason = lb.label_curves(
            simulated(tmp_path / f"{i}", {"a": truth}, entropy=i), tmp_path / f"{i}"
        )
        assert reason == ""
        ahead = curve.predict(6400)
        inside += ahead.low <= power(np.array([6400.0]))[0] <= ahead.high
        assert ahead.high - ahead.low < 0.15
        assert curve.back_test is not None
        predicted, measured = curve.back_test
        backs += predicted.low - 0.01 <= measured <= predicted.high + 0.01
    assert inside >= runs - 2
    assert backs >= runs - 2


@pytest.mark.parametrize(
    "truth",
    [
        lambda n: 0.98 - 0.5 * (n / 100) ** -0.26,
        lambda n: 0.98 - 0.58 * (n / 100) ** -0.32,
        lambda n: 0.8 - 0.5 * np.exp(-n / 900),
    ],
    ids=["slow power law", "power law", "exponential"],
)
def test_three_seeds_promise_neither_too_much_nor_too_little(tmp_path: Path, truth: Any) -> None:
    ahead, back = [], []
    for i in range(24):
        folder = tmp_path / f"{i}"
        results = simulated(folder, {"a": truth(np.array(COUNTS, float))}, seeds=3, images=400, entropy=i)
        (curve,), _ = lb.label_curves(results, folder)
        assert curve.back_test is not None
        predicted, measured = curve.back_test
        ahead.append(curve.predict(12800).value - truth(12800))
        back.append(predicted.value - measured)
    # 400 images determine a mean of 24 runs to about half a point.
    assert abs(np.mean(ahead)) < 0.025
    assert abs(np.mean(back)) < 0.015


def test_labels_needed_and_where_one_overtakes_the_other(tmp_path: Path) -> None:
    n = np.array(COUNTS, float)
    slow, fast = power(n, 0.9, 0.2, 0.0), power(n, 12, 0.7, 0.02)
    results = simulated(tmp_path, {"slow": slow, "fast": fast}, images=4000)
    curves, _ = lb.label_curves(results, tmp_path)
    assert [curve.strategy for curve in curves] == ["slow", "fast"]
    target = power(np.array([1000.0]), 12, 0.7, 0.02)[0]
    needed = curves[1].needed(target)
    assert needed.low < 1000 < needed.high
    assert needed.high / needed.low < 3
    assert curves[0].needed(0.99).value == math.inf
    truth = np.geomspace(100, 12800, 1000)
    where = truth[(power(truth, 0.9, 0.2, 0.0) < power(truth, 12, 0.7, 0.02)).argmax()]
    found = lb.crossing(*curves)
    assert found is not None
    share, place = found
    assert share > 0.9
    assert place.low < where < place.high
    assert lb.crossing(curves[0], curves[0]) is None
    assert lb.crossing(*curves, region=0.5) is None  # further ahead than that it never gets


def one_draw(strategy: str, form: int, shape: float, level: float, slope: float) -> lb.LabelCurve:
    """A curve that is known for certain."""
    n = np.array(COUNTS, float)
    fitted = lb.Fit(np.array([form]), *(np.array([x]) for x in (shape, level, slope)), n[-1])
    return lb.LabelCurve(("d", "b", "w", strategy), tuple(n), tuple(fitted.at(n)[0]), fitted)


POWER, EXPONENTIAL, LOGARITHM = 0, 1, 2


def test_who_is_ahead_in_between_only_overtakes_nobody() -> None:
    steady = one_draw("steady", POWER, 0.4, 0.9, 0.08)
    sudden = one_draw("sudden", EXPONENTIAL, 20.0, 0.82, 0.5)
    lead = steady.along[1][0] - sudden.along[1][0]
    assert lead[0] > 0 > lead.min()
    assert lead[-1] > 0.01
    assert lb.crossing(steady, sudden) is None


def test_an_overtaking_that_was_measured_stays_one_whatever_comes_later() -> None:
    steady = one_draw("steady", LOGARITHM, 0.0, 0.74, 0.08)
    sudden = one_draw("sudden", EXPONENTIAL, 2.0, 0.85, 0.5)
    assert sudden.values[-1] - steady.values[-1] > 0.04
    assert steady.predict(12800).value > sudden.predict(12800).value
    found = lb.crossing(steady, sudden)
    assert found is not None
    share, place = found
    assert share == 1
    ahead = sudden.predict(place.value).value - steady.predict(place.value).value
    assert 0 <= ahead < 0.01
    assert place.value < 3200
    assert lb.crossing(steady, sudden, region=0.05) is None


def test_a_crossing_beyond_what_was_measured_is_said_to_be_one() -> None:
    slow = one_draw("slow", LOGARITHM, 0.0, 0.7, 0.05)
    fast = one_draw("fast", LOGARITHM, 0.0, 0.68, 0.09)  # level at exp(0.5) times the most labels
    (said,) = [text for text in labels_table([slow, fast], "", False).conclusions if "overtakes" in text]
    assert said.startswith("Fast overtakes slow, at about 5,")
    assert said.endswith(", more than were measured.")
    near = one_draw("near", LOGARITHM, 0.0, 0.72, 0.09)
    (said,) = [text for text in labels_table([slow, near], "", False).conclusions if "overtakes" in text]
    assert "more than" not in said


def test_no_curve_without_enough_and_no_wild_guess(tmp_path: Path) -> None:
    n = np.array(COUNTS, float)
    results = simulated(tmp_path / "a", {"a": power(n)[:3]})
    assert lb.label_curves(results, tmp_path / "a") == (
        [], "A learning curve needs at least 4 label counts, and there are 3: run more fractions."
    )  # fmt: skip
    few = simulated(tmp_path / "b", {"a": power(n)}, seeds=2)
    assert (
        lb.label_curves(few, tmp_path / "b")[1]
        == "A learning curve needs 3 seeds at every label count, and there are 2."
    )
    assert "missing" in lb.label_curves(simulated(tmp_path / "c", {"a": power(n)}), None)[1]
    (curve,), _ = lb.label_curves(simulated(tmp_path / "d", {"a": power(n)}), tmp_path / "d")
    with pytest.raises(ValueError, match="out of reach"):
        curve.predict(50_000)
