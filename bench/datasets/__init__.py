"""Datasets: from a folder, manifest, array file or name to decoded images, divided into pool and test.

``open_dataset`` decodes on first use and keeps the result in the cache. Nothing here imports TensorFlow; what
only Keras or TensorFlow Datasets can download is fetched once, by a short-lived child process.

=============  ==========================================================================================
dataset        what the rest of the harness sees
source         what a source offers; how a spec names one
folder, manifest, arrays, fetched      the sources, a file each
decode         any image to a square of RGB
prepare        cache, checks, fingerprint
duplicates     the same picture twice: exactly, or nearly
findings       what is told of a dataset
splits         test part, nested subsets, validation: pure functions
=============  ==========================================================================================
"""

from __future__ import annotations

from bench.datasets.dataset import Dataset, Part
from bench.datasets.prepare import cached_dataset, decoding_versions, open_dataset
from bench.datasets.specs import canonical_spec, known_names

__all__ = [
    "Dataset",
    "Part",
    "cached_dataset",
    "canonical_spec",
    "decoding_versions",
    "known_datasets",
    "open_dataset",
]


def known_datasets() -> list[tuple[str, str]]:
    """(name, one-line summary) of all that can be given as a dataset, for listings."""
    return known_names()
