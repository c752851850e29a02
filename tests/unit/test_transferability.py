"""Scores of features: against definitions, brute force, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from bench.ranking import scores as t


def made(
    n: int = 200, width: int = 12, classes: int = 4, apart: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    return (rng.normal(0, 1, (n, width)) + apart * rng.normal(0, 1, (classes, width))[labels]), labels


@pytest.mark.parametrize("name", t.SCORES)
def test_better_features_score_higher(name: str) -> None:
    scores = [t.SCORES[name](*made(apart=apart)) for apart in (0.0, 0.5, 1.5)]
    assert scores == sorted(scores)
    assert scores[2] > scores[0]


@pytest.mark.parametrize("name", t.SCORES)
def test_order_of_examples_and_names_of_classes_do_not_matter(name: str) -> None:
    x, y = made()
    order = np.random.default_rng(1).permutation(len(y))
    renamed = np.array([7, 3, 11, 5])[y]
    score = t.SCORES[name](x, y)
    assert t.SCORES[name](x[order], y[order]) == pytest.approx(score, rel=1e-6)
    assert t.SCORES[name](x, renamed) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("name", t.SCORES)
def test_constant_columns_and_more_columns_than_examples(name: str) -> None:
    x, y = made(n=40, width=100)
    x[:, 3] = 5.0
    assert np.isfinite(t.SCORES[name](x, y))


def test_leave_one_out_of_the_probe_is_that_of_refitting() -> None:
    x, y = made(n=60, width=5, classes=3)
    x = t.standardised(x)
    targets = np.eye(3)[y]
    found = []
    for penalty in np.geomspace(1e-3, 10, 9) * len(x):
        right = 0
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            a, b = x[rest], targets[rest]
            mean, offset = a.mean(axis=0), b.mean(axis=0)
            w = np.linalg.solve((a - mean).T @ (a - mean) + penalty * np.eye(5), (a - mean).T @ (b - offset))
            right += int(((x[i] - mean) @ w + offset).argmax() == y[i])
        found.append(right / len(x))
    assert t.ridge_probe(x, y) == pytest.approx(max(found), abs=0.02)


def test_leave_one_out_of_means_and_neighbours_is_that_of_leaving_out() -> None:
    x, y = made(n=50, width=6, classes=3, apart=0.7)
    z = t._unit(t.standardised(x))
    means = neighbours = 0
    for i in range(len(z)):
        rest = np.arange(len(z)) != i
        prototypes = np.stack([z[rest & (y == c)].sum(axis=0) for c in range(3)])
        means += int((t._unit(prototypes) @ z[i]).argmax() == y[i])
        similar = np.where(rest, z @ z[i], -np.inf)
        nearest = np.argsort(-similar)[:5]
        votes = np.bincount(y[nearest], np.exp(similar[nearest] / 0.07), 3)
        neighbours += int(votes.argmax() == y[i])
    assert t.nearest_mean(x, y) == means / len(z)
    assert t.nearest_neighbours(x, y) == neighbours / len(z)


def test_h_score_is_its_definition() -> None:
    """tr(S_a^-1 (1 - a) S_z), Ibrahim et al. 2021, eq. 7: S_a is the covariance, shrunk by a (Ledoit & Wolf 2004),
    S_z that of the class means."""
    for n, width in ((120, 6), (40, 60)):
        x, y = made(n=n, width=width, classes=3)
        x = x - x.mean(axis=0)
        covariance = np.cov(x.T, bias=True)
        target = np.trace(covariance) / width * np.eye(width)
        spread = np.mean([np.square(np.outer(row, row) - covariance).sum() for row in x]) / n
        a = min(1.0, spread / np.square(covariance - target).sum())
        means = np.stack([x[y == label].mean(axis=0) for label in y])
        shrunk = (1 - a) * covariance + a * target
        expected = np.trace(np.linalg.inv(shrunk) @ ((1 - a) * np.cov(means.T, bias=True)))
        assert 0 < a < 1
        assert t.h_score(x, y) == pytest.approx(expected, rel=1e-9)


def test_logme_is_the_evidence_at_its_maximum() -> None:
    x, y = made(n=80, width=6, classes=2)

    def evidence(target: np.ndarray, alpha: float, beta: float) -> float:
        """Of a Gaussian linear model, from its definition."""
        covariance = np.eye(len(x)) / beta + x @ x.T / alpha
        _, log_determinant = np.linalg.slogdet(covariance)
        quadratic = target @ np.linalg.solve(covariance, target)
        return float(-0.5 * (log_determinant + quadratic + len(x) * np.log(2 * np.pi)) / len(x))

    grid = [(a, b) for a in np.geomspace(0.5, 500, 40) for b in np.geomspace(0.5, 50, 40)]
    best = [max(evidence((y == label).astype(float), *point) for point in grid) for label in (0, 1)]
    assert t.logme(x, y) == pytest.approx(np.mean(best), abs=2e-3)


@pytest.mark.parametrize("name", t.SCORES)
def test_features_that_say_nothing_have_the_lowest_score(name: str) -> None:
    x, y = made()
    nothing = t.SCORES[name](np.zeros_like(x), y)
    assert np.isfinite(nothing)
    assert nothing < t.SCORES[name](x, y)


@pytest.mark.parametrize("name", t.SCORES)
@pytest.mark.parametrize("scale", [1e-9, 1e4])
def test_the_scale_of_features_does_not_matter(name: str, scale: float) -> None:
    x, y = made()
    assert t.SCORES[name](x * scale, y) == pytest.approx(t.SCORES[name](x, y), rel=1e-3)


def test_images_of_a_group_are_left_out_together() -> None:
    """Every image is there twice: with its twin in the data, leaving one out would be no test at all."""
    x, y = made(n=60, width=40, classes=3, apart=0.0)
    rng = np.random.default_rng(2)
    twins, labels, groups = np.repeat(x, 2, axis=0), np.repeat(y, 2), np.repeat(np.arange(60), 2)
    twins += rng.normal(0, 1e-3, twins.shape)
    assert t.nearest_neighbours(twins, labels) == 1.0
    for score in (t.nearest_neighbours, t.nearest_mean, t.ridge_probe):
        assert score(twins, labels, groups) < score(twins, labels) - 0.1


def test_groups_of_one_are_no_groups() -> None:
    x, y = made()
    for score in t.SCORES.values():
        assert score(x, y, np.arange(len(y))) == pytest.approx(score(x, y, None))


def test_leaving_a_group_out_of_the_probe_is_that_of_refitting() -> None:
    x, y = made(n=60, width=5, classes=3)
    groups = np.random.default_rng(3).integers(0, 15, 60)
    x, targets = t.standardised(x), np.eye(3)[y]
    found = []
    for penalty in t.PENALTIES * len(x):
        right = 0
        for group in np.unique(groups):
            out = groups == group
            a, b = x[~out], targets[~out]
            mean, offset = a.mean(axis=0), b.mean(axis=0)
            w = np.linalg.solve((a - mean).T @ (a - mean) + penalty * np.eye(5), (a - mean).T @ (b - offset))
            right += int((((x[out] - mean) @ w + offset).argmax(axis=1) == y[out]).sum())
        found.append(right / len(x))
    assert t.ridge_probe(x, y, groups) == pytest.approx(max(found), abs=1e-9)


def test_leaving_a_group_out_of_means_and_neighbours_is_that_of_leaving_out() -> None:
    x, y = made(n=50, width=6, classes=3, apart=0.7)
    groups = np.random.default_rng(3).integers(0, 12, 50)
    z = t._unit(t.standardised(x))
    means = neighbours = 0
    for i in range(len(z)):
        rest = groups != groups[i]
        prototypes = np.stack([z[rest & (y == c)].sum(axis=0) for c in range(3)])
        means += int((t._unit(prototypes) @ z[i]).argmax() == y[i])
        similar = np.where(rest, z @ z[i], -np.inf)
        nearest = np.argsort(-similar)[:5]
        neighbours += int(np.bincount(y[nearest], np.exp(similar[nearest] / 0.07), 3).argmax() == y[i])
    assert t.nearest_mean(x, y, groups) == means / len(z)
    assert t.nearest_neighbours(x, y, groups) == neighbours / len(z)


def test_leep_and_nce_by_hand() -> None:
    y = np.array([0, 0, 1, 1])
    sure = np.eye(3)[[0, 0, 1, 1]]
    assert t.leep(sure, y) == pytest.approx(0.0)
    assert t.nce(sure.argmax(axis=1), y) == pytest.approx(0.0)
    blind = np.full((4, 3), 1 / 3)
    assert t.leep(blind, y) == pytest.approx(np.log(0.5))
    assert t.nce(np.zeros(4, int), y) == pytest.approx(np.log(0.5))
    half = np.array([0, 0, 0, 1])  # source class 0 holds two of label 0 and one of label 1
    assert t.nce(half, y) == pytest.approx((2 * np.log(2 / 3) + np.log(1 / 3)) / 4)
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]])
    given = np.array([[1.7 / 2.2, 0.3 / 1.8], [0.5 / 2.2, 1.5 / 1.8]])  # P(label | source class)
    expected = np.mean([np.log(p[i] @ given[y[i]]) for i in range(4)])
    assert t.leep(p, y) == pytest.approx(expected)
