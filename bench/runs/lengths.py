"""How long the examples of a cell are, where networks take them as long as they are."""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from bench.backbones.spec import parse_backbone
from bench.backbones.tokenizers import tokenizer_of
from bench.datasets import cached_dataset
from bench.errors import BenchError
from bench.modalities.registry import modality, size_of
from bench.records import Cell
from bench.system.files import rows_of
from bench.system.seeds import generator

SAMPLE = 512
"""Examples that are looked at."""
TOGETHER = 16
"""Of a small batch."""


def typical_lengths(cell: Cell) -> tuple[int, ...]:
    """How long an example is typically for a cell's network, and how long the longest of a small batch.

    Both are medians, filled up as for the network. Empty where all inputs are of one length. Of a dataset that is
    not at hand, examples are taken to be as long as they may be.
    """
    size = size_of(cell.examples, cell.modality)
    if not any(tensor.is_ragged for tensor in modality(cell.modality).inputs(size).values()):
        return ()
    examples = json.dumps(cell.examples, sort_keys=True)
    return _lengths(
        cell.backbone, cell.modality, cell.dataset, cell.fingerprint, examples, cell.groups, cell.task
    )


@cache
def _lengths(
    backbone: str, kind: str, spec: str, fingerprint: str, examples: str, groups: str, task: str
) -> tuple[int, ...]:
    settings = json.loads(examples)
    size = size_of(settings, kind)
    try:
        dataset = cached_dataset(spec, settings, groups, task)
    except BenchError:
        dataset = None
    if dataset is None or dataset.fingerprint != fingerprint:
        return size, size
    reader = modality(kind).reader(tokenizer_of(parse_backbone(backbone)), size)
    chosen = generator("lengths").permutation(len(dataset.pool.ids))[:SAMPLE]
    lengths = reader.lengths(rows_of(dataset.pool.data, chosen))
    assert lengths is not None
    batches = np.resize(lengths, (-(-len(lengths) // TOGETHER), TOGETHER))
    return int(np.median(lengths)), int(np.median(batches.max(axis=1)))
