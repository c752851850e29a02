"""The recipe to take home: the recommended model, trained on all labels, and the code that trains it.

``train.py`` is plain Keras and does what the protocol's refit does, with the same random numbers. It is not a
copy of what was run: it *is* what is run here, in a process of its own, and ``model.keras`` is what it wrote. The
card says how that model's test predictions agree with those that the harness measured.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.commands.export import formats as formats_of
from bench.commands.export.card import Exported, card
from bench.commands.export.code import train_py
from bench.commands.export.conversion import convert, measured
from bench.commands.export.formats import Converted
from bench.commands.export.inputs import writer_of
from bench.commands.export.processes import run_script
from bench.commands.export.recipe import Recipe, recipe_of
from bench.errors import RequestError
from bench.plans.strategies import ask_for, ask_for_any
from bench.runs.results import Run, load
from bench.store import Store
from reports.phrases import who
from reports.recommend import Constraints, recommend
from reports.statistics.pairs import Candidate


def export(
    directory: str | Path,
    out: str | Path | None = None,
    constraints: Constraints | None = None,
    dataset: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    trust: bool = False,
    formats: str | Sequence[str] = (),
) -> Exported:
    """Trains the recommended recipe on the whole pool, never on a test example, and writes it for good.

    The hyperparameters are those of the seed that did best on its validation part.

    Args:
        directory: the run directory.
        out: a folder that does not exist yet; default: ``export`` in the run directory.
        constraints: see ``Run.recommend``; its ``labels`` are all there are.
        dataset: its name, if the run has several.
        say: called with what is being done.
        trust: whether a strategy ``module:Class`` is imported that the run names and ``constraints`` do not.
        formats: of ``formats.FORMATS``, beside ``keras``; names, or one text with commas between them.

    Raises:
        RequestError: nothing can be recommended, train.py cannot spell out the recommended strategy, the data or
            weights have changed since, ``out`` exists, or a format cannot be written here.
        BenchError: the exported ``train.py`` failed.
    """
    names = formats_of.asked_for(formats)
    run = load(directory)
    run.check_fractions("export")
    folder = Path(out) if out is not None else Path(directory) / "export"
    if os.path.lexists(folder):
        expected = "a folder that does not exist yet"
        raise RequestError("out", str(folder), expected, "Delete it, or choose another.")
    kept = constraints or Constraints()
    ask_for_any() if trust else ask_for(*kept.strategies)
    found = recommend(run.results, run.directory, kept, dataset, run.settings.region, run.noun)
    chosen, recipe = found.decision.recommended, recipe_of(run, found)
    formats_of.check(names, recipe.cell.backend)
    say(f"Recipe: {who(chosen)}, hyperparameters of seed {recipe.cell.seed}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as temporary:
        made = Path(temporary) / "export"
        made.mkdir()
        files = writer_of(recipe).write_examples(recipe, made)
        (made / "train.py").write_text(train_py(recipe, made, files), encoding="utf-8")
        say("Training on all labels with the exported train.py.")
        run_script(made / "train.py", recipe.cell, say)
        keras, converted = measured(recipe, made), []
        for name in names if len(names) > 1 else ():
            say(f"Checking {formats_of.FORMATS[name].title} on the test {recipe.noun.many}.")
            converted.append(convert(recipe, keras, name, made))
        exported = _exported(run, recipe, chosen, keras.probabilities, folder, tuple(converted))
        (made / "card.md").write_text(card(run, recipe, found, exported, files), encoding="utf-8")
        os.replace(made, folder)
    return exported


def _exported(
    run: Run,
    recipe: Recipe,
    chosen: Candidate,
    probabilities: np.ndarray,
    folder: Path,
    converted: tuple[Converted, ...],
) -> Exported:
    """An export that is to lie in ``folder``, with what its model says of the test examples."""
    metric = recipe.cell.metric
    return Exported(
        folder,
        chosen,
        recipe.noun,
        metric=metric,
        value=recipe.dataset.task.score(probabilities, recipe.dataset.test.labels)[metric],
        of_seed=recipe.record.metrics[metric],
        labels=recipe.record.n or 0,
        difference=_difference(run, recipe, probabilities),
        formats=converted,
    )


def _difference(run: Run, recipe: Recipe, probabilities: np.ndarray) -> float:
    """How far test probabilities are from the cell's, on average; NaN where they cannot be compared."""
    arrays = Store(run.directory).arrays(recipe.cell.id) or {}
    stored = arrays.get("probabilities", np.empty(0))
    if not recipe.whole or stored.shape != probabilities.shape:
        return math.nan
    return float(np.abs(stored - probabilities).mean())
