"""The strategies: one small file each, named here by one line each.

Nothing is imported until it is asked for, and no strategy imports Keras at module level.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strategies.base import Strategy

STRATEGIES: dict[str, str] = {
    "scratch": "strategies.scratch:Scratch",
    "feature_extraction": "strategies.feature_extraction:FeatureExtraction",
    "partial_finetune": "strategies.partial_finetune:PartialFinetune",
    "full_finetune": "strategies.full_finetune:FullFinetune",
    "majority": "strategies.majority:Majority",
}
"""Name to ``module:class``."""


def get_strategy(name: str) -> Strategy:
    """An instance of the strategy called ``name``.

    Raises:
        RequestError: there is none of this name.
    """
    if name not in STRATEGIES:
        from bench.errors import RequestError, did_you_mean

        raise RequestError(
            "strategy", name, f"one of {', '.join(STRATEGIES)}", did_you_mean(name, STRATEGIES)
        )
    module, _, attribute = STRATEGIES[name].partition(":")
    strategy: Strategy = getattr(import_module(module), attribute)()
    return strategy
