"""Which transfer strategy, on which backbone, and would more labels help? Measured on your own images.

``bench.load_plan(path_or_dict)``, ``bench.run(plan, out)``, ``bench.load(out)`` and ``bench.pretrain(dataset,
backbone, out)`` do what the command line does, and ``bench.check_strategy(name_or_class)`` tells the author of a
strategy what is wrong with it.
Everything is imported when it is first used: ``import bench`` loads neither Keras nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.plan import Plan as Plan
    from bench.plan import load_plan as load_plan
    from bench.pretraining import pretrain as pretrain
    from bench.ranking import rank as rank
    from bench.runs import Run as Run
    from bench.runs import load as load
    from bench.runs import run as run
    from bench.strategy_check import StrategyCheck as StrategyCheck
    from bench.strategy_check import check_strategy as check_strategy

_HOMES = {
    "Plan": "bench.plan",
    "load_plan": "bench.plan",
    "pretrain": "bench.pretraining",
    "rank": "bench.ranking",
    "Run": "bench.runs",
    "run": "bench.runs",
    "load": "bench.runs",
    "check_strategy": "bench.strategy_check",
    "StrategyCheck": "bench.strategy_check",
}
__all__ = [
    "Plan",
    "Run",
    "StrategyCheck",
    "check_strategy",
    "load",
    "load_plan",
    "pretrain",
    "rank",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
