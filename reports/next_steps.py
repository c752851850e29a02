"""What to type next: the commands that carry out what the report advises."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from bench.records import FRACTIONS
from reports.results import Results
from reports.statistics.decisions import Decision, decide
from reports.statistics.intervals import MINIMUM_SEEDS
from reports.statistics.looks import UNTIL_DECIDED


def next_steps(run: Results) -> list[tuple[str, str]]:
    """Commands to go on with, and what each is for, the one most worth typing first; none without a result to go on
    from."""
    if run.protocol != FRACTIONS or run.frame.empty or not (run.frame["status"] == "ok").any():
        return []
    where = run.directory
    export = command(run, "export", where), "writes the recommended model and a script that trains it"
    largest = {decision.dataset: decision for decision in run.decisions}.values()
    steps = [export] if all(decision.is_decided for decision in largest) else []
    if (seeds := advised_seeds(run)) is not None:
        grows = seeds > UNTIL_DECIDED[-1]
        way = ["--seeds", str(seeds)] if grows else ["--until", "decided"]
        steps.append((command(run, "run", where / "plan.toml", *way), _what_for(run, seeds)))
    elif any(found.get("ended") == "budget" for found in (run.run_info.get("course") or {}).values()):
        steps.append((command(run, "run", where / "plan.toml", "--budget", "1h"), "goes on for an hour"))
    if export not in steps and any(decision.claim != "floor" for decision in largest):
        steps.append(export)
    steps.append(
        (command(run, "recommend", where, "--max-latency-ms", "10"), "the answer within your limits")
    )
    return steps


def _what_for(run: Results, seeds: int) -> str:
    if int(run.frame["seed"].max()) + 1 < MINIMUM_SEEDS:
        return f"{MINIMUM_SEEDS} seeds allow a comparison"
    return f"{seeds} seeds would probably decide it"


def command(run: Results, *words: str | Path) -> str:
    """A command that can be pasted. A plan alone does not import strategies ``module:Class``."""
    trust = ["--trust"] if any(map(_is_code, run.frame["strategy"].unique())) else []
    return shlex.join(["python", "-m", "bench", *map(str, words), *trust])


def _is_code(strategy: str) -> bool:
    """Whether it is ``module:Class``, with or without hyperparameters, and not ``name:rank=8``."""
    _, *parts = strategy.split(":")
    return bool(parts) and "=" not in parts[0]


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
