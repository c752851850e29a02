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
    """An instance of the strategy called ``name``: a name in ``STRATEGIES``, or ``package.module:Class``.

    Raises:
        RequestError: there is none of this name, or it cannot be imported.
    """
    from bench.errors import RequestError, did_you_mean

    known = STRATEGIES.get(name, name)
    module, colon, attribute = known.partition(":")
    if not colon:
        raise RequestError(
            "strategy",
            name,
            f"one of {', '.join(STRATEGIES)}, or package.module:Class",
            did_you_mean(name, STRATEGIES),
        )
    try:
        found = getattr(import_module(module), attribute)()
    except Exception as error:  # the code of others
        raise RequestError(
            "strategy", name, "a class that can be imported", f"{type(error).__name__}: {error}."
        ) from error
    strategy: Strategy = found
    return strategy
