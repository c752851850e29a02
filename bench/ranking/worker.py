"""What a worker finds out of a backbone without training: its features of labelled examples, and their scores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bench.backbones.heads import NoClassifier, imagenet_classifier
from bench.backbones.weights import resolve_weights
from bench.datasets import Dataset
from bench.datasets.splits import nested_order
from bench.errors import BenchError
from bench.execution.jobs import Place
from bench.modalities.registry import input_of, size_of
from bench.ranking import scores as transferability
from bench.system.files import rows_of
from bench.training.engine import Engine, Network, spec_of
from bench.training.examples import PartExamples
from bench.training.prefixes import BATCH
from bench.training.workplace import workplace


def run(place: Place, dataset: str, fingerprint: str, groups: str, **job: Any) -> dict[str, Any]:
    """See ``bench.execution.jobs.Rank``."""
    here = workplace(place)
    opened = here.dataset(dataset, input_of(job["input"], job["modality"]), fingerprint, groups)
    return rank(job, opened, here.engine, place.tick)


def rank(
    job: dict[str, Any], dataset: Dataset, engine: Engine, tick: Callable[[str], None]
) -> dict[str, Any]:
    """Scores of one backbone on examples of the pool. Features are stored, and shared with the cells of a run.

    Args:
        job: ``backbone`` (architecture), ``weights``, ``weights_sha256``, ``modality``, ``input``,
            ``pooling``, and ``images``: how many to take at most, by class.
        dataset: opened at this size.
        engine: the worker's networks.
        tick: called with what is being done.

    Returns:
        ``scores`` by name (None: not available), ``missing`` (why, by name), ``params`` of the backbone, ``width``
        of its features, ``feature_map`` before they were pooled, and ``ms_per_image`` that they took, None if they
        were not stored.
    """
    pool = dataset.pool
    rows = nested_order(pool.labels, pool.groups, 0, dataset.fingerprint)[: job["images"]]
    network = _network(job, engine)
    examples = PartExamples.in_dataset(dataset, "pool", rows).read_by(network.reader)
    tick("features")
    features, seconds = _features(network, examples, job["pooling"])
    groups = None if pool.groups is None else pool.groups[examples.index]
    scores: dict[str, float | None] = {}
    for name, score in transferability.SCORES.items():
        tick(name)
        value = score(features, examples.labels, groups)
        scores[name] = value if math.isfinite(value) else None
    missing = {name: "its features are not finite" for name, value in scores.items() if value is None}
    try:
        classifier = imagenet_classifier(network.spec, network.size, network.weights, network.model)
        average = features if job["pooling"] == "avg" else _features(network, examples, "avg")[0]
        probabilities = classifier(average)
        scores["leep"] = transferability.leep(probabilities, examples.labels)
        scores["nce"] = transferability.nce(probabilities.argmax(axis=1), examples.labels)
    except NoClassifier as reason:
        scores |= {"leep": None, "nce": None}
        missing |= {"leep": str(reason), "nce": str(reason)}
    return {
        "scores": scores,
        "missing": missing,
        "params": network.params,
        "width": features.shape[1],
        "feature_map": network.feature_map,
        "ms_per_image": seconds * 1000 or None,
    }


def _features(network: Network, examples: PartExamples, pooling: str) -> tuple[np.ndarray, float]:
    """float32 (N, D), and the seconds an example."""
    store = network.prefixes(None, pooling)
    if network.weights.kind != "none":
        prefix = store.get(examples, None, 1)
        return prefix.batch(np.arange(len(examples)), None)[0], prefix.seconds_per_example
    # No cell extracts features with random weights, and stored prefixes are rounded: what comes through a deep
    # network as it is initialised may be 1e-8, which is zero in half precision.
    batch = np.zeros((BATCH, *examples.data.shape[1:]), examples.data.dtype)
    found, seconds = [], 0.0
    for first in range(0, len(examples), BATCH):
        rows = rows_of(examples.data, examples.index[first : first + BATCH])
        batch[: len(rows)] = rows
        start = time.perf_counter()
        found.append(store.compute(*examples.tensors(batch))[0][: len(rows)])
        seconds += time.perf_counter() - start if first else 0.0  # the first one is traced
    return np.concatenate(found), seconds / max(len(examples) - BATCH, 1)


def _network(job: dict[str, Any], engine: Engine) -> Network:
    backbone, weights = job["backbone"], job["weights"]
    size = size_of(job["input"], job["modality"])
    if weights == "none":  # one of its own: the same random weights, whatever this worker did before
        keras.utils.set_random_seed(0)
        spec = spec_of(backbone, weights)
        return Network(spec, size, resolve_weights(spec, size), engine.threads)
    network = engine.network(backbone, weights, size)
    if network.weights.sha256 != job["weights_sha256"]:
        raise BenchError(f"the weights of {backbone} have changed since they were found")
    return network
