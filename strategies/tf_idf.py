"""Counts of words, weighted by how rare they are, and a linear classifier: what any language model has to beat.

Words alone count, and C is 10: the best of eight C, and of words, pairs and triples of them, by cross-validation
within the training part of three datasets (see ``tests/benchmarks/README.md``, "Texts"). A logistic regression for
each class tells it from all others, which takes a fifth of the time of one for all classes and is as accurate. With
``class_weight = "balanced"`` the loss of each example is weighted.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from strategies.base import Examples, Fitted, Limit, Limits, Strategy, Task
from strategies.class_weight import balanced

IMPOSSIBLE = 1e-6
"""Probability of a class without an example."""


class TfIdf(Strategy):
    name = "tf_idf"
    version = 2
    summary = "Logistic regression on TF-IDF of words: the baseline without a network."
    when = "Always, with texts: a language model that does not beat it knows too little of their words."
    cost = "Next to nothing, and no accelerator: seconds for thousands of texts."
    reference = "Wang & Manning 2012, Baselines and Bigrams, aclanthology.org/P12-2018 (its linear models)"
    modalities = frozenset({"text"})
    uses_backbone = False
    uses_weights = False
    limits = Limits(C=Limit(1e-6, 1e6))

    def space(self, hp: Any) -> None:
        hp.Choice("C", [10.0, 1.0, 100.0], default=10.0)

    def fit(self, task: Task, hp: Any) -> Fitted:
        from sklearn.feature_extraction.text import TfidfVectorizer

        start = time.perf_counter()
        labels, classes = task.train.labels, task.info.classes
        words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")
        known = words.fit_transform(task.train.texts())
        weights = balanced(labels)[labels] if task.info.class_weight == "balanced" else None
        models = {c: _one_against_all(known, labels == c, hp.get("C"), weights) for c in np.unique(labels)}
        learnt = len(models) * (known.shape[1] + 1)
        seconds = time.perf_counter() - start
        predictor = _Predictor(words, models, classes)
        return Fitted(predictor, params=learnt, trainable_params=learnt, seconds=seconds)


def _one_against_all(known: Any, chosen: np.ndarray, strength: float, weights: np.ndarray | None) -> Any:
    """A model of one class; None: there is no other."""
    from sklearn.linear_model import LogisticRegression

    if chosen.all():
        return None
    model = LogisticRegression(
        C=strength, solver="liblinear", dual=True, tol=0.1, max_iter=1000, random_state=0
    )
    return model.fit(known, chosen, weights)


class _Predictor:
    def __init__(self, words: Any, models: dict[int, Any], classes: int) -> None:
        self.words, self.models, self.classes = words, models, classes

    def predict(self, examples: Examples) -> np.ndarray:
        seen = self.words.transform(examples.texts())
        found = np.full((len(examples), self.classes), IMPOSSIBLE, np.float32)
        for label, model in self.models.items():
            found[:, label] = 1 if model is None else model.predict_proba(seen)[:, 1]
        return np.asarray(found / found.sum(axis=1, keepdims=True))
