"""Which transfer strategy, on which backbone, and would more labels help? Measured on your own images.

``bench.run(data)``, ``check``, ``rank``, ``plan``, ``recommend``, ``export``, ``log`` and ``pretrain`` do what the
commands of these names do. Data may be a path or a Python object: arrays, a ``tf.data.Dataset``, a pandas frame.
``bench.load(out)`` opens a run. ``bench.own_backbone(model)`` makes a backbone of a Keras model.
``bench.check_strategy(name_or_class)`` and ``bench.check_backbone(name_or_model)`` check what you bring.
Everything is imported when it is first used: ``import bench`` loads neither Keras nor pandas.
"""

# Nothing is imported here that Python has not imported by itself: "python -m bench" comes by before ``__main__``
# takes the current folder, in which a typing.py may lie, off the path.
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bench.backbones.given import own_backbone as own_backbone
    from bench.cli.python import check as check
    from bench.cli.python import export as export
    from bench.cli.python import log as log
    from bench.cli.python import plan as plan
    from bench.cli.python import rank as rank
    from bench.cli.python import recommend as recommend
    from bench.cli.python import run as run
    from bench.commands.backbone_check.check import BackboneCheck as BackboneCheck
    from bench.commands.backbone_check.check import check_backbone as check_backbone
    from bench.commands.pretraining.pretrain import pretrain as pretrain
    from bench.commands.strategy_check.check import StrategyCheck as StrategyCheck
    from bench.commands.strategy_check.check import check_strategy as check_strategy
    from bench.plans.loading import load_plan as load_plan
    from bench.plans.plan import Plan as Plan
    from bench.runs.results import Run as Run
    from bench.runs.results import load as load

_HOMES = {
    "Plan": "bench.plans.plan",
    "load_plan": "bench.plans.loading",
    "BackboneCheck": "bench.commands.backbone_check.check",
    "check_backbone": "bench.commands.backbone_check.check",
    "own_backbone": "bench.backbones.given",
    "pretrain": "bench.commands.pretraining.pretrain",
    "Run": "bench.runs.results",
    **dict.fromkeys(("check", "export", "log", "plan", "rank", "recommend", "run"), "bench.cli.python"),
    "load": "bench.runs.results",
    "check_strategy": "bench.commands.strategy_check.check",
    "StrategyCheck": "bench.commands.strategy_check.check",
}
__all__ = [
    "BackboneCheck",
    "Plan",
    "Run",
    "StrategyCheck",
    "check",
    "check_backbone",
    "check_strategy",
    "export",
    "load",
    "load_plan",
    "log",
    "own_backbone",
    "plan",
    "pretrain",
    "rank",
    "recommend",
    "run",
]


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
