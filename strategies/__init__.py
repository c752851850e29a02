"""The strategies: one small file each, named here by one line each.

Nothing is imported until it is asked for, and no strategy imports Keras at module level.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "source_only": "strategies.source_only:SourceOnly",
    "source_then_target": "strategies.source_then_target:SourceThenTarget",
    "adabn": "strategies.adabn:AdaptiveBatchNorm",
    "deep_coral": "strategies.deep_coral:DeepCoral",
    "mmd": "strategies.mmd:MeanDiscrepancy",
    "dann": "strategies.dann:DomainAdversarial",
    "cycle_gan": "strategies.cycle_gan:CycleGan",
    "multi_task": "strategies.multi_task:MultiTask",
    "majority": "strategies.majority:Majority",
}
"""Name to ``module:class``."""


def get_strategy(text: str) -> Strategy:
    """The strategy that a text names: ``name``, or ``name:hyperparameter=value,...`` for values not to be searched.

    Args:
        text: the name is one in ``STRATEGIES`` or ``package.module:Class``.

    Raises:
        RequestError: there is none of this name, it cannot be imported, or it has no such hyperparameter or value.
    """
    from bench.errors import RequestError, did_you_mean
    from strategies.fixed import parse_fixed

    name, _, options = text.partition(":")
    path = STRATEGIES.get(name)
    if path is None:
        attribute, _, options = options.partition(":")
        name = path = f"{name}:{attribute}"
        if not attribute:
            raise RequestError(
                "strategy",
                text,
                f"one of {', '.join(STRATEGIES)}, or package.module:Class",
                did_you_mean(text, STRATEGIES),
            )
    module, _, attribute = path.partition(":")
    try:
        strategy: Strategy = getattr(import_module(module), attribute)()
    except Exception as error:  # the code of others
        raise RequestError(
            "strategy", text, "a class that can be imported", f"{type(error).__name__}: {error}."
        ) from error
    strategy.fixed = parse_fixed(text, strategy, options)
    strategy.text = ":".join([name, *([spelled(strategy.fixed)] if strategy.fixed else [])])
    return strategy


def spelled(fixed: dict[str, Any]) -> str:
    """Hyperparameters with their values in the one way that records hold: ``learning_rate=0.003,unfreeze=0.5``."""
    return ",".join(f"{name}={value}" for name, value in sorted(fixed.items()))
