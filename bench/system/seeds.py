"""Random numbers that depend on what they are for, and on nothing else."""

from __future__ import annotations

import hashlib

import numpy as np


def derived_seed(*parts: object) -> int:
    """A seed in [1, 2**31) from the text of ``parts``: never 0, which keras-tuner takes for "no seed"."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % (2**31 - 1) + 1


def generator(*parts: object) -> np.random.Generator:
    """A numpy generator seeded from ``parts``."""
    return np.random.default_rng(derived_seed(*parts))
