"""Which transfer strategy, on which backbone, and would more labels help? Measured on your own images.

``bench.load_plan(path_or_dict)``, ``bench.run(plan, out)``, ``bench.load(out)`` and ``bench.pretrain(dataset,
backbone, out)`` do what the command line does. ``bench.check_strategy(name_or_class)`` checks a strategy.
Everything is imported when it is first used: ``import bench`` loads neither Keras nor pandas.
"""

# Nothing is imported here that Python has not imported by itself: "python -m bench" comes by before ``__main__``
# takes the current folder, in which a typing.py may lie, off the path.
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bench.cli.python import run as run
    from bench.commands.pretraining.pretrain import pretrain as pretrain
    from bench.commands.strategy_check.check import StrategyCheck as StrategyCheck
    from bench.commands.strategy_check.check import check_strategy as check_strategy
    from bench.plans.loading import load_plan as load_plan
    from bench.plans.plan import Plan as Plan
    from bench.ranking.rank import rank as rank
    from bench.runs.results import Run as Run
    from bench.runs.results import load as load

_HOMES = {
    "Plan": "bench.plans.plan",
    "load_plan": "bench.plans.loading",
    "pretrain": "bench.commands.pretraining.pretrain",
    "rank": "bench.ranking.rank",
    "Run": "bench.runs.results",
    "run": "bench.cli.python",
    "load": "bench.runs.results",
    "check_strategy": "bench.commands.strategy_check.check",
    "StrategyCheck": "bench.commands.strategy_check.check",
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


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
