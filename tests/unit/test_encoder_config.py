"""The shape of encoders of text, without Keras."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.backbones.families.encoder_config import FARTHEST, distances


@pytest.mark.parametrize("buckets", [8, 32, 64])
def test_distances_fall_into_the_buckets_of_the_original(buckets: int) -> None:
    """Those of Raffel et al. 2020 (arXiv:1910.10683), by their own formula, one distance at a time."""

    def original(apart: int) -> int:
        half, far = buckets // 2, abs(apart)
        exact = half // 2
        if far >= exact:
            steps = math.log(far / exact) / math.log(FARTHEST / exact) * (half - exact)
            far = min(exact + int(steps + 1e-9), half - 1)
        return far + half * (apart > 0)

    starts, rows = distances(buckets)
    every = np.arange(-600, 601)
    assert starts == sorted(starts)
    assert [rows[i] for i in np.digitize(every, starts)] == [original(apart) for apart in every]
