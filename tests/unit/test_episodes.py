"""Episodes: what may meet in one, which classes it draws, and how it is scored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.errors import RequestError
from bench.modalities.nouns import Noun
from bench.protocols.few_shot.episodes import (
    Classes,
    Setting,
    check_episodes,
    measure,
    superclass,
)
from strategies.metric import nearest_prototype

ALPHABETS = {"Greek": 8, "Latin": 7, "Tagalog": 4}
DRAWERS = 6
NAMES = [f"{alphabet}/{i}" for alphabet, count in ALPHABETS.items() for i in range(count)]
LABELS = np.arange(len(NAMES)).repeat(DRAWERS)
OF_ALPHABET = np.array([superclass(name) for name in NAMES])
NOUN = Noun("image", "images")


def drawers() -> np.ndarray:
    """Each alphabet has drawers of its own, who drew all of its characters once."""
    alphabets = list(ALPHABETS)
    return np.array(
        [alphabets.index(superclass(name)) * DRAWERS + i for name in NAMES for i in range(DRAWERS)]
    )


@pytest.fixture
def characters() -> Classes:
    return Classes(LABELS, drawers(), NAMES, NOUN)


@pytest.mark.parametrize("shots", [1, 3])
def test_nobody_draws_both_support_and_queries(characters: Classes, shots: int) -> None:
    groups = drawers()
    for episode in characters.episodes(Setting(5, shots), 2, 100, "a"):
        assert not set(groups[episode.support]) & set(groups[episode.queries])
        # Of each alphabet as many drawers as there are shots.
        assert len(set(groups[episode.support])) == shots * len(set(OF_ALPHABET[LABELS[episode.support]]))


def test_an_episode_is_what_its_setting_says(characters: Classes) -> None:
    for episode in characters.episodes(Setting(6, 2), 3, 50, "a"):
        assert len(np.unique(LABELS[episode.support])) == 6
        assert np.bincount(episode.support_labels).tolist() == [2] * 6
        assert np.bincount(episode.query_labels).tolist() == [3] * 6
        of = dict(zip(episode.support_labels.tolist(), LABELS[episode.support].tolist(), strict=True))
        assert [of[label] for label in episode.query_labels.tolist()] == LABELS[episode.queries].tolist()


def test_every_class_is_drawn_and_the_seed_decides(characters: Classes) -> None:
    def drawn(*seed: object) -> list[list[int]]:
        return [e.support.tolist() for e in characters.episodes(Setting(5, 1), 2, 60, *seed)]

    assert drawn("a") == drawn("a") != drawn("b")
    assert set(LABELS[np.concatenate(drawn("a"))]) == set(range(len(NAMES)))


def test_within_stays_in_one_superclass_that_has_enough(characters: Classes) -> None:
    setting = Setting(6, 1, "within")
    found = {frozenset(OF_ALPHABET[LABELS[e.support]]) for e in characters.episodes(setting, 2, 60, "a")}
    assert found == {frozenset({"Greek"}), frozenset({"Latin"})}
    scopes = [(s.ways, s.scope) for s in characters.settings([6, 9], [1])]
    assert scopes == [(6, "all"), (9, "all"), (6, "within")]


def test_without_superclasses_nothing_is_within() -> None:
    plain = Classes(LABELS, None, [name.replace("/", " ") for name in NAMES], NOUN)
    assert {s.scope for s in plain.settings([5], [1])} == {"all"}


def test_images_without_groups_stand_alone() -> None:
    alone = Classes(LABELS, None, NAMES, NOUN)
    for episode in alone.episodes(Setting(5, 5), 5, 20, "a"):
        assert np.bincount(episode.query_labels).tolist() == [1] * 5  # six images, five of them the support
        assert not set(episode.support) & set(episode.queries)


def test_too_many_ways_are_refused(characters: Classes) -> None:
    with pytest.raises(RequestError, match=r"ways.*at most 19, .*20"):
        characters.episodes(Setting(20, 1), 5, 10, "a")
    with pytest.raises(RequestError, match="at most 0, the number of classes that have more than 6"):
        characters.episodes(Setting(2, DRAWERS), 5, 10, "a")


def test_groups_that_leave_no_queries_are_refused() -> None:
    # Two shots of the first class are of both of its groups, which are all that the second has.
    labels, groups = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 1])
    classes = Classes(labels, groups, ["a", "b"], NOUN)
    assert classes.episodes(Setting(2, 1), 1, 5, "a")
    more = Classes(np.append(labels, 0), np.append(groups, 2), ["a", "b"], NOUN)
    labels = np.array([0, 0, 0, 1, 1, 1])
    nested = Classes(labels, np.array([0, 1, 1, 0, 0, 1]), ["a", "b"], NOUN)
    assert more.able(2) == nested.able(2) == [0, 1]
    with pytest.raises(RequestError, match="no image in a group without support"):
        nested.episodes(Setting(2, 2), 1, 5, "a")


def test_all_episodes_are_drawn_before_anything_runs() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(20).repeat(4)
    groups = np.concatenate([rng.choice(8, 2, replace=False).repeat(2) for _ in range(20)])
    part = SimpleNamespace(labels=labels, groups=groups)
    empty = SimpleNamespace(labels=labels[:0], groups=groups[:0])
    names = [*map(str, range(20))]
    data: Any = SimpleNamespace(
        pool=part, test=empty, class_names=names, fingerprint="f", kind=SimpleNamespace(noun=NOUN)
    )
    check_episodes(data, [7], [1], episodes=20, queries=5)
    with pytest.raises(RequestError, match="no image in a group without support"):
        check_episodes(data, [7], [1], episodes=1000, queries=5)


def test_accuracy_is_the_share_of_right_queries(characters: Classes) -> None:
    def classify(support: np.ndarray, labels: np.ndarray, queries: np.ndarray, ways: int) -> np.ndarray:
        return nearest_prototype(support, labels, queries, ways, 1.0)

    episodes = characters.episodes(Setting(5, 2), 3, 40, "a")
    perfect = np.eye(len(NAMES))[LABELS]
    assert measure(episodes, perfect, LABELS, classify, 5).by_episode.tolist() == [1.0] * 40
    noise = np.random.default_rng(0).normal(size=(len(LABELS), 8))
    measured = measure(episodes, noise, LABELS, classify, 5)
    found = measured.by_episode
    assert found.mean() == pytest.approx(0.2, abs=0.06)
    first = episodes[0]
    scores = classify(noise[first.support], first.support_labels, noise[first.queries], 5)
    assert found[0] == (scores.argmax(1) == first.query_labels).mean()
    assert measured.weights.sum() == pytest.approx(1)
    assert np.nansum(measured.weights * measured.by_class) == pytest.approx(found.mean())


def test_accuracy_by_class_is_that_of_its_queries(characters: Classes) -> None:
    def first(support: np.ndarray, labels: np.ndarray, queries: np.ndarray, ways: int) -> np.ndarray:
        return (queries[:, :1] == 3) * np.eye(ways)[0] + 0.5 * np.eye(ways)[1]

    # Only queries of class 3 are ever taken for the first class of an episode, all others for the second.
    episodes = characters.episodes(Setting(5, 1, "within"), 2, 200, "a")
    found = measure(episodes, LABELS[:, None].astype(float), LABELS, first, 5)
    places = [(e.query_labels[LABELS[e.queries] == 3], LABELS[e.queries]) for e in episodes]
    met = [int(place[0]) for place, labels in places if 3 in labels]
    assert found.by_class[3] == pytest.approx(np.mean(np.array(met) == 0))
    assert np.isnan(found.by_class[NAMES.index("Tagalog/0")])  # too few classes for five ways
    assert found.weights[NAMES.index("Tagalog/0")] == 0


def test_nearest_prototype_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    support, labels, queries = rng.normal(size=(6, 4)), np.array([0, 0, 1, 1, 1, 3]), rng.normal(size=(5, 4))
    found = nearest_prototype(support, labels, queries, 4, 2.0)
    means = np.stack([support[labels == c].mean(axis=0) for c in (0, 1, 3)])
    distances = ((queries[:, None] - means) ** 2).sum(-1)
    scores = np.exp(-2 * distances)
    assert np.allclose(found[:, [0, 1, 3]], scores / scores.sum(1, keepdims=True), atol=1e-8)
    assert (found[:, 2] < 1e-8).all()  # of this class there is no image
