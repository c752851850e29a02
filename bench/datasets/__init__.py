"""Datasets: from a folder, manifest, array file or name to rows, divided into pool and test.

``open_dataset`` reads on first use and keeps the result in the cache. Nothing here imports TensorFlow; what
only Keras or TensorFlow Datasets can download is fetched once, by a short-lived child process.

===========  ========================================================================================
dataset      what the rest of the harness sees
source       what a source offers
adapters     the sources, a file each
parts        words for train, validation and test
labels       labels that are the same to a person, several in one, ids
specs        the list of adapters; how a text names a dataset
prepare      from a source to a dataset, by way of the cache
examples     reading what a source lists
division     pool and test, with identical examples on one side
splits       test part, nested subsets, validation: pure functions
findings     what is told of a dataset
file_groups  groups that file names give away
entry        the layout of a cache entry
===========  ========================================================================================
"""

from __future__ import annotations

from bench.datasets.dataset import Dataset, Part
from bench.datasets.prepare import cached_dataset, decoding_versions, open_dataset
from bench.datasets.specs import canonical_spec, known_datasets

__all__ = [
    "Dataset",
    "Part",
    "cached_dataset",
    "canonical_spec",
    "decoding_versions",
    "known_datasets",
    "open_dataset",
]
