"""Which configurations have no result where others have one."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Absent:
    """A configuration without a result where others have one. An empty ``backbone`` or ``strategy`` is any that was
    planned: nothing of it was run."""

    strategy: str
    backbone: str
    weights: str
    status: str
    """What became of most of its cells; ``missing`` if they were not run, ``budget`` if the time was up before."""


class Missing:
    """Which configurations of a run have no result where others have one.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for what was planned; None: what has no record at all is not known.
    """

    def __init__(self, results: pd.DataFrame, directory: Path | None) -> None:
        self._statuses: dict[str, dict[tuple[str, str, str], dict[float, list[str]]]] = {}
        columns = ("dataset", "strategy", "backbone", "weights", "fraction", "status")
        for dataset, strategy, backbone, weights, fraction, status in zip(
            *(results[column] for column in columns), strict=True
        ):
            of_dataset = self._statuses.setdefault(dataset, {})
            if strategy != "majority":
                of_configuration = of_dataset.setdefault((strategy, backbone, weights), {})
                of_configuration.setdefault(fraction, []).append(status)
        self._planned = _planned(results, directory)

    def at(self, dataset: str, *fractions: float) -> tuple[Absent, ...]:
        """Those of a dataset that have no result at one of these fractions (default: any of it). What is skipped
        cannot be run there, and is not missed."""
        found = []
        known = self._statuses.get(dataset, {})
        fractions = fractions or tuple({f for by_fraction in known.values() for f in by_fraction})
        for configuration, by_fraction in known.items():
            elsewhere = any(status != "skipped" for some in by_fraction.values() for status in some)
            for fraction in fractions:
                here = [status for status in by_fraction.get(fraction, []) if status != "skipped"]
                if "ok" not in here and (here or (fraction not in by_fraction and elsewhere)):
                    status = max(here, key=here.count) if here else "missing"
                    found.append(Absent(*configuration, status))
                    break
        strategies, backbones, status = self._planned
        seen = {strategy for strategy, _, _ in known}, {backbone for _, backbone, _ in known}
        found += [Absent(name, "", "", status) for name in strategies if name not in {*seen[0], "majority"}]
        found += [Absent("", name, "", status) for name in backbones if name not in seen[1]]
        return tuple(found)


def _planned(results: pd.DataFrame, directory: Path | None) -> tuple[list[str], list[str], str]:
    """The strategies and backbones that a run was to have, and what became of those without any record; none if all
    its cells have one."""
    if directory is None:
        return [], [], ""
    try:
        info = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        plan = tomllib.loads((directory / "plan.toml").read_text(encoding="utf-8"))
        status = "budget" if info.get("course") else "missing"
        if status == "missing" and set(info["cells"]) <= set(results["cell_id"]):
            return [], [], ""
        # Weights are no part of a backbone's name in results.
        backbones = [re.split("[:,]weights=", name)[0] for name in plan["backbones"]]
        return list(plan["strategies"]), backbones, status
    except (OSError, ValueError, KeyError, TypeError):  # a run without these files, or another's
        return [], [], ""
