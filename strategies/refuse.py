"""What the harness refuses of a strategy, in words: stages that mean nothing, predictions that are none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

import numpy as np

from strategies import ALIGNMENTS
from strategies.base import Stage

TOLERANCE = 1e-3
"""How far the probabilities of an example may be from adding up to 1."""

_HINTS = get_type_hints(Stage)
_CHOICES = {
    **{name: get_args(_HINTS[name]) for name in ("weights", "batch_norm", "only", "decay_to", "data")},
    "align": ("none", *ALIGNMENTS),
    **{name: get_args(_HINTS[name]) for name in ("statistics", "auxiliary_images")},
}


def stage_problems(stages: Any) -> list[str]:
    """What is wrong with a schedule of stages, a sentence each; none if it can be trained."""
    if not isinstance(stages, Sequence) or not stages:
        return [f"stages() must give a list of at least one Stage (got {stages!r})."]
    strange = next((stage for stage in stages if not isinstance(stage, Stage)), None)
    if strange is not None:
        return [f"stages() must give a list of strategies.base.Stage (got {strange!r} in it)."]
    found = [f"Stage {stage.name!r}: {problem}." for stage in stages for problem in _problems(stage)]
    names = [stage.name for stage in stages]
    found += [
        f"Two stages are called {name!r}: curves tell them apart by their names."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    found += [
        f"Stage {stage.name!r}: weights={stage.weights!r}, but only the first stage says where weights come from, "
        "and later ones go on from there."
        for stage in stages[1:]
        if stage.weights != stages[0].weights
    ]
    for before, stage in itertools.pairwise(stages) if not found else ():
        if _share(stage) < _share(before):
            found.append(
                f"Stage {stage.name!r}: cut={stage.cut!r} lies above that of the stage before it. Layers below "
                "a cut must be as they were before the first stage."
            )
    return found


def _share(stage: Stage) -> float:
    """How much of the backbone trains."""
    return {"top": 0.0, "input": 1.0}[stage.cut] if isinstance(stage.cut, str) else float(stage.cut)


def _problems(stage: Stage) -> list[str]:
    """What is wrong with one stage, without its name and the full stop."""
    cut, rate, decay = stage.cut, stage.learning_rate, stage.weight_decay
    expected = {
        "name": (isinstance(stage.name, str) and stage.name.strip() != "", "a word"),
        "cut": (
            cut in ("top", "input") or (_is_number(cut) and 0 < float(cut) < 1),
            "'top', 'input' or a share between 0 and 1",
        ),
        "learning_rate": (_is_number(rate) and rate > 0, "a number above 0"),
        "weight_decay": (_is_number(decay) and decay >= 0, "a number of at least 0"),
        "epochs": (
            stage.epochs is None or _is_count(stage.epochs, 1),
            "a whole number of at least 1, or None",
        ),
        "steps": (_is_count(stage.steps, 0), "a whole number of at least 0"),
        "warmup": (_is_number(stage.warmup) and 0 <= stage.warmup < 1, "a share, at least 0 and below 1"),
        "blocks": (_is_count(stage.blocks, 0), "a whole number of at least 0"),
        "rank": (_is_count(stage.rank, 0), "a whole number of at least 0"),
        "align_weight": (
            _is_number(stage.align_weight) and stage.align_weight >= 0,
            "a number of at least 0",
        ),
        "auxiliary": (
            stage.auxiliary == "learned" or (_is_number(stage.auxiliary) and stage.auxiliary >= 0),
            "a number of at least 0, or 'learned'",
        ),
        "rate_decay": (_is_number(stage.rate_decay) and stage.rate_decay > 0, "a number above 0"),
        "mix": (_is_number(stage.mix) and 0 <= stage.mix <= 1, "a share from 0 to 1"),
        **{
            name: (getattr(stage, name) in values, " or ".join(map(repr, values)))
            for name, values in _CHOICES.items()
        },
    }
    found = [
        f"{name} must be {what} (got {getattr(stage, name)!r})"
        for name, (ok, what) in expected.items()
        if not ok
    ]
    return found or _contradiction(stage)


def _contradiction(stage: Stage) -> list[str]:
    """What a stage says that does not go together, the first of it."""
    idle = {"blocks": 0, "only": "all", "rank": 0, "align": "none"}
    body = [name for name, value in idle.items() if getattr(stage, name) != value]
    if stage.cut == "top" and body:
        return [f"{body[0]} is about the backbone, of which nothing trains with cut='top'"]
    if stage.weights == "random" and stage.cut != "input":
        return [f"weights='random' needs cut='input' (got {stage.cut!r}): layers below a cut are pretrained"]
    if stage.align != "none" and stage.data == "target":
        return [f"align={stage.align!r} needs two domains, so data must not be 'target'"]
    if stage.auxiliary and stage.data != "target":
        return [f"auxiliary={stage.auxiliary!r} needs data='target' (got {stage.data!r})"]
    if stage.rank and set(body) & {"blocks", "only"}:
        return [f"with rank nothing of the backbone itself trains, so {body[0]} would do nothing"]
    return []


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def prediction_problem(probabilities: Any, count: int, classes: int, one_each: bool = True) -> str:
    """What is wrong with what ``predict`` gave, as a sentence; empty if nothing is.

    That a value is not finite is no mistake of the code but a training that diverged, and told elsewhere.

    Args:
        probabilities: what it gave.
        count: how many examples it was given.
        classes: how many there are.
        one_each: whether each example has one class, so that probabilities add up to 1.
    """
    expected = f"an array of class probabilities, ({count}, {classes})"
    if not isinstance(probabilities, np.ndarray) or probabilities.dtype.kind != "f":
        kind = getattr(probabilities, "dtype", None) or type(probabilities).__name__
        return f"predict() must give {expected} of floating-point numbers (got {kind})."
    if probabilities.shape != (count, classes):
        return f"predict() must give {expected} (got an array of shape {probabilities.shape})."
    if not np.isfinite(probabilities).all():
        return ""
    if (probabilities < 0).any():
        return f"predict() must give no probability below 0 (got {probabilities.min():.3g})."
    if not one_each:
        worst = probabilities.max()
        return (
            f"predict() must give no probability above 1 (got {worst:.3g})." if worst > 1 + TOLERANCE else ""
        )
    sums = probabilities.sum(axis=1)
    worst = sums[np.argmax(np.abs(sums - 1))]
    if abs(worst - 1) > TOLERANCE:
        return f"predict() must give probabilities that add up to 1 (got {worst:.4g} for an example)."
    return ""
