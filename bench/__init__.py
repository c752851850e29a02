"""Which transfer strategy, on which backbone, and would more labels help? Measured on your own images.

``bench.load_plan(path_or_dict)``, ``bench.run(plan, out)`` and ``bench.load(out)`` do what the command line does.
Everything is imported when it is first used: ``import bench`` loads neither Keras nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.plan import Plan as Plan
    from bench.plan import load_plan as load_plan
    from bench.ranking import rank as rank
    from bench.runs import Run as Run
    from bench.runs import load as load
    from bench.runs import run as run

_HOMES = {
    "Plan": "bench.plan",
    "load_plan": "bench.plan",
    "rank": "bench.ranking",
    "Run": "bench.runs",
    "run": "bench.runs",
    "load": "bench.runs",
}
__all__ = ["Plan", "Run", "load", "load_plan", "rank", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
