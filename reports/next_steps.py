"""What to type next: the commands that carry out what the report advises."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from bench.records import FRACTIONS
from reports.results import Results
from reports.statistics.decisions import Decision, decide
from reports.statistics.intervals import MINIMUM_SEEDS


def more_seeds_command(directory: Path, seeds: int, trust: bool = False) -> str:
    """The command that grows a run to so many seeds; every finished cell of it is kept.

    Args:
        directory: the run directory, as the user types it.
        seeds: in all, those that it has among them.
        trust: whether the run has strategies ``module:Class``, which its plan alone does not import.
    """
    words = ["python", "-m", "bench", "run", str(directory / "plan.toml"), "--seeds", str(seeds)]
    return shlex.join([*words, "--trust"] if trust else words)


def seeds_to_settle(decision: Decision) -> int | None:
    """With how many seeds a decision would be settled, if the differences stay as they are; None: not by seeds."""
    if decision.claim == "provisional":
        return MINIMUM_SEEDS
    return decision.more_seeds if decision.claim == "undecided" else None


def advised_seeds(run: Results) -> int | None:
    """How many seeds would settle the answers of a run; None where it has as many, or more would not."""
    results = run.frame
    if results.empty or run.protocol != FRACTIONS:
        return None
    largest = results[results["fraction"] == results.groupby("dataset")["fraction"].transform("max")]
    advised = [seeds_to_settle(decision) for decision in decide(largest, run.directory, run.region)]
    return _more_than(int(results["seed"].max()) + 1, advised)


def _more_than(now: int, advised: Sequence[int | None]) -> int | None:
    most = max((seeds for seeds in advised if seeds is not None), default=now)
    return most if most > now else None
