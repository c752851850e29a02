"""The strategies: one small file each, named here by one line each.

Nothing is imported until it is asked for, and no strategy imports Keras at module level.
"""

from __future__ import annotations

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
    "source_and_target": "strategies.source_and_target:SourceAndTarget",
    "source_then_target": "strategies.source_then_target:SourceThenTarget",
    "adabn": "strategies.adabn:AdaptiveBatchNorm",
    "deep_coral": "strategies.deep_coral:DeepCoral",
    "mmd": "strategies.mmd:MeanDiscrepancy",
    "dann": "strategies.dann:DomainAdversarial",
    "cycle_gan": "strategies.cycle_gan:CycleGan",
    "prototypical": "strategies.prototypical:Prototypical",
    "siamese": "strategies.siamese:Siamese",
    "nearest_pixel": "strategies.nearest_pixel:NearestPixel",
    "multi_task": "strategies.multi_task:MultiTask",
    "majority": "strategies.majority:Majority",
}
"""Name to ``module:class``."""


def get_strategy(text: str) -> Strategy:
    """The strategy that a text names: ``name``, or ``name:hyperparameter=value,...`` for values not to be searched.

    Args:
        text: the name is one of ``STRATEGIES``, of another package's plug-in, or ``package.module:Class``.

    Raises:
        RequestError: there is none of this name, it cannot be used, or it has no such hyperparameter or value.
    """
    from strategies.fixed import parse_fixed

    name, options = divided(text)
    strategy, _ = _made(name)
    strategy.fixed = parse_fixed(text, strategy, options)
    strategy.text = ":".join([name, *([spelled(strategy.fixed)] if strategy.fixed else [])])
    return strategy


def spelled(fixed: dict[str, Any]) -> str:
    """Hyperparameters with their values in the one way that records hold: ``learning_rate=0.003,unfreeze=0.5``."""
    return ",".join(f"{name}={value}" for name, value in sorted(fixed.items()))


def divided(text: str) -> tuple[str, str]:
    """A strategy's name, and the hyperparameters that are given with it."""
    name, _, rest = text.partition(":")
    if name in STRATEGIES or "=" in rest.partition(":")[0]:
        return name, rest
    attribute, _, options = rest.partition(":")
    return (f"{name}:{attribute}" if attribute else name), options


def strategy_origin(text: str) -> str:
    """What names the code of a strategy (see ``bench.plugins.origin``); empty if it is built in.

    Raises:
        RequestError: see ``get_strategy``.
    """
    name, _ = divided(text)
    if name in STRATEGIES or name.startswith("strategies."):
        return ""
    from bench.plugins import origin

    strategy, package = _made(name)
    return origin(type(strategy), package)


def load_strategy(name: str) -> tuple[type[Strategy], str]:
    """The class of a strategy, and the package that declares it if one does.

    Raises:
        RequestError: there is none of this name.
        bench.plugins.Unusable: it cannot be used.
    """
    from bench.errors import RequestError, did_you_mean
    from bench.plugins import find, load, plugins
    from strategies.base import Strategy

    target = STRATEGIES.get(name, name)
    if ":" in target:
        return load(target, Strategy), ""
    plugin = find("strategies", name)
    if plugin is None:
        names = [*STRATEGIES, *(plugin.name for plugin in plugins("strategies", STRATEGIES))]
        expected = f"one of {', '.join(dict.fromkeys(names))}, or package.module:Class"
        raise RequestError("strategy", name, expected, did_you_mean(name, names))
    return plugin.load(Strategy), plugin.package


def _made(name: str) -> tuple[Strategy, str]:
    from bench.errors import RequestError
    from bench.plugins import Unusable

    try:
        kind, package = load_strategy(name)
    except Unusable as error:
        expected = "a class that can be imported" if ":" in name else "a plug-in that works"
        raise RequestError("strategy", name, expected, f"{error}.") from error
    try:
        return kind(), package
    except Exception as error:
        reason = f"{type(error).__name__}: {error}."
        raise RequestError("strategy", name, "a class that is made without arguments", reason) from error
