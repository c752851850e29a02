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
    "knn": "strategies.knn:NearestNeighbours",
    "nearest_mean": "strategies.nearest_mean:NearestMean",
    "logistic": "strategies.logistic:Logistic",
    "all_layer_probe": "strategies.all_layer_probe:AllLayerProbe",
    "plain_finetune": "strategies.plain_finetune:PlainFinetune",
    "lp_ft": "strategies.lp_ft:LinearProbeFinetune",
    "gradual_unfreeze": "strategies.gradual_unfreeze:GradualUnfreeze",
    "discriminative_lr": "strategies.discriminative_lr:DiscriminativeRates",
    "l2_sp": "strategies.l2_sp:PullToStart",
    "norm_only": "strategies.norm_only:NormOnly",
    "bias_only": "strategies.bias_only:BiasOnly",
    "surgical": "strategies.surgical:Surgical",
    "wise_ft": "strategies.wise_ft:WeightSpaceEnsemble",
    "lora": "strategies.lora:LowRank",
    "hyperrule": "strategies.hyperrule:HyperRule",
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
