"""The card: what the exported model is, how good it is, and what it was made from, for people."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.backbones.own import read_source
from bench.commands.export.formats import INT8, KERAS, Converted
from bench.commands.export.front_matter import front_matter
from bench.commands.export.inputs import writer_of
from bench.commands.export.recipe import PlannedStage, Recipe
from bench.commands.export.spelled import TEMPLATES
from bench.modalities.nouns import Noun
from bench.records import MULTI_LABEL, SINGLE_LABEL, Cell
from bench.runs.results import Run
from bench.system.names import PREFIX
from bench.system.templates import template
from reports import words
from reports.claims import floor_said, gives_up
from reports.phrases import absence, who
from reports.recommend import Recommendation
from reports.statistics.label_curves import label_curves
from reports.statistics.pairs import Candidate

AGREEMENT = 1e-3
"""Mean absolute difference of probabilities up to which two models are called the same."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: holds ``model.keras``, ``train.py``, ``card.md`` and what ``train.py`` reads.
        candidate: the configuration.
        noun: what its examples are called.
        metric: that decides.
        value: of it, of the model on the test examples.
        of_seed: of the cell whose recipe it is; what the report says is the candidate's, a mean over seeds.
        labels: labelled examples of that cell.
        difference: mean absolute difference of the test probabilities between the two; NaN where the cell was
            trained on fewer labels or its predictions are missing.
        formats: what was measured of each format; empty where ``model.keras`` alone was asked for.
    """

    folder: Path
    candidate: Candidate
    noun: Noun
    metric: str
    value: float
    of_seed: float
    labels: int
    difference: float
    formats: tuple[Converted, ...] = ()


def card(run: Run, recipe: Recipe, found: Recommendation, exported: Exported, files: Path | None) -> str:
    """The card of an export in Markdown."""
    cell, dataset, chosen = recipe.cell, recipe.dataset, exported.candidate
    counts = dataset.class_counts(dataset.pool)
    return template(TEMPLATES, f"card_{dataset.modality}.md.j2").render(
        sentence=f"{words.capital(who(chosen))} for {len(dataset.class_names)} {dataset.task.told}. "
        f"{_claim(found)}",
        many_labels=cell.task == MULTI_LABEL,
        parameters=words.magnitude(chosen.params),
        latency=f"{chosen.latency_ms:.3g}" if math.isfinite(chosen.latency_ms) else "",
        made_with=f"keras {version('keras')}, {cell.backend} {version(cell.backend)}",
        quality=_quality(run, recipe, found, exported),
        recipe=_recipe(recipe),
        dataset=_text(dataset.name),
        fingerprint=dataset.fingerprint,
        pool=words.count(recipe.labels),
        test=words.count(len(dataset.test.ids)),
        groups=[_text(line, 400) for line in counted.sentences(recipe.noun)]
        if (counted := dataset.group_counts)
        else [],
        warnings=[_text(finding.text, 400) for finding in dataset.warnings],
        classes=[
            (_text(name), words.count(count)) for name, count in zip(dataset.class_names, counts, strict=True)
        ],
        limits=_limits(recipe, counts) + [_text(caution, 400) for caution in run.cautions],
        noun=recipe.noun,
        formats=[_format(measured) for measured in exported.formats if not measured.reason],
        said_of_formats=[_text(line, 400) for line in of_formats(exported)],
        threads=words.plural(cell.threads, "thread"),
        **front_matter(recipe, exported.metric, exported.value, exported.formats),
        **writer_of(recipe).describe_input(recipe, files),
    )


def _text(text: str, limit: int = 80) -> str:
    """A user's text, not too long."""
    return words.clean(text, limit)


def _claim(found: Recommendation) -> str:
    """What may be said of it beside all else that was tried."""
    return {
        "floor": f"{floor_said(found.decision)}: do not use it." if found.decision.claim == "floor" else "",
        "alone": "Nothing else was tried, or kept to the constraints.",
        "provisional": "Provisional: fewer than three seeds make no comparison.",
    }.get(found.decision.claim) or _bound(found)


def _bound(found: Recommendation) -> str:
    among = "that were asked for and keep to the constraints" if found.limited else "tried"
    said = f"{words.capital(gives_up(found.decision, among))} (95% confidence)."
    missing = absence(found.decision) if found.decision.claim == "incomplete" else ""
    return f"{said} {words.capital(missing)}." if missing else said


# --- how good it is -------------------------------------------------------------------------------------------


def _quality(run: Run, recipe: Recipe, found: Recommendation, exported: Exported) -> list[str]:
    test = words.count(len(recipe.dataset.test.ids))
    lines = [
        _expected(recipe, found, exported.candidate),
        f"This very model on the {test} test {recipe.noun.many}, which neither tuning nor training has seen: "
        f"{words.measured(exported.metric, exported.value)}.",
    ]
    if not recipe.whole:
        return [*lines, _more_labels(recipe, found), *_ahead(run, recipe, found, exported.candidate)]
    return [*lines, _agreement(exported)] if math.isfinite(exported.difference) else lines


def _expected(recipe: Recipe, found: Recommendation, chosen: Candidate) -> str:
    """What was measured, with its interval where there is one."""
    many, measured = recipe.noun.many, words.percent(chosen.value)
    metric = words.metric_name(found.decision.metric)
    labelled = f"{words.count(found.labels)} labelled {many}"
    if not math.isfinite(chosen.low):
        return (
            f"{words.capital(metric)} measured: {measured}, mean of {words.plural(chosen.seeds, 'seed')} with "
            f"{labelled}. That is too few seeds for an interval."
        )
    return (
        f"Expected {metric} on new {many} like the test {many}: {measured}, 95% CI "
        f"{words.percent(chosen.low)} to {words.percent(chosen.high)}. Mean of {chosen.seeds} seeds with "
        f"{labelled}; the interval covers new labelled {many}, new initial weights and new test {many}."
    )


def _more_labels(recipe: Recipe, found: Recommendation) -> str:
    return (
        f"It was trained on {words.count(recipe.labels)} labelled {recipe.noun.many}, more than were measured "
        f"({words.count(found.labels)}): it should be no worse."
    )


def _ahead(run: Run, recipe: Recipe, found: Recommendation, chosen: Candidate) -> Iterator[str]:
    """What its learning curve says of that many labels, unless they are far beyond it."""
    curves, _ = label_curves(run.results[run.results["dataset"] == found.dataset], run.directory)
    mine = (chosen.backbone, chosen.weights, chosen.strategy)
    for curve in curves:
        if curve.key[1:] == mine and recipe.labels <= 4 * curve.n[-1]:
            ahead = curve.predict(recipe.labels)
            yield (
                f"By its learning curve: {words.percent(ahead.value)} ({words.percent(ahead.low)} to "
                f"{words.percent(ahead.high)})."
            )


def _agreement(exported: Exported) -> str:
    """Whether it is the model that was measured."""
    if exported.difference <= AGREEMENT:
        return (
            "It agrees with the model that was measured: "
            f"its test probabilities differ by {exported.difference:.1g} on average."
        )
    return (
        "It is not the very model that was measured, though its recipe is the same: its test probabilities differ "
        f"by {exported.difference:.2g} on average, as after other rounding on other hardware or with other "
        f"threads. The measured one, of one seed, had {words.percent(exported.of_seed)} "
        f"{words.metric_name(exported.metric)}."
    )


def _format(measured: Converted) -> list[str]:
    """A row of the table of formats."""
    is_it = measured.name == KERAS
    return [
        measured.format.file,
        f"{measured.megabytes:.3g} MB",
        f"{measured.milliseconds:.3g} ms",
        "" if is_it else f"{measured.difference:.1g}",
        "" if is_it else words.percent(measured.agreement),
        words.percent(measured.accuracy),
    ]


def of_formats(exported: Exported) -> Iterator[str]:
    """What int8 costs in accuracy, and which formats there are not."""
    for measured in exported.formats:
        if measured.reason:
            yield f"There is no {measured.format.file}: {measured.reason}."
        elif measured.name == INT8:
            mean, low, high = measured.change
            yield (
                f"In {measured.format.file} {measured.how}. "
                f"It changes accuracy by {words.in_points(mean, sign=True)} "
                f"(95% CI {words.points(low, sign=True)} to {words.points(high, sign=True)})."
            )


# --- what it was made from ------------------------------------------------------------------------------------


def _recipe(recipe: Recipe) -> list[str]:
    cell, noun = recipe.cell, recipe.noun
    lines = [
        f"{words.capital(words.strategy_name(cell.strategy))}: {recipe.strategy.summary}",
        f"Hyperparameters, those of seed {cell.seed}, which did best on its validation part: "
        + _hyperparameters(recipe),
        *(_stage(place, planned) for place, planned in enumerate(recipe.stages, 1)),
    ]
    if recipe.method:
        lines.append(
            f"It learns from what the network makes of each {noun.one}; the network itself stays as it was."
        )
    return lines


def _hyperparameters(recipe: Recipe) -> str:
    found = sorted(recipe.record.hyperparameters.items())
    texts = (f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} = {v}" for k, v in found)
    return ", ".join(texts) or "none"


def _stage(place: int, planned: PlannedStage) -> str:
    stage = planned.stage
    return (
        f"Stage {place} ({stage.name}): {words.plural(planned.epochs, 'epoch')} in batches of "
        f"{planned.batch_size}, learning rate {stage.learning_rate:.3g} along a cosine"
        + "".join(f", {name} = {getattr(stage, name)}" for name in planned.fields)
        + "."
    )


_ONE: dict[str, tuple[str, str]] = {
    SINGLE_LABEL: ("class", "accuracy of each class"),
    MULTI_LABEL: ("label", "average precision of each label"),
}


def _limits(recipe: Recipe, counts: np.ndarray) -> list[str]:
    """What it cannot do, and what is not known of it."""
    cell, noun, fewest = recipe.cell, recipe.noun, int(counts.argmin())
    limits = [
        f"The rarest {_ONE[cell.task][0]}, {_text(recipe.dataset.class_names[fewest], 60)}, has "
        f"{words.count(counts[fewest])} labelled {noun.many}; the report shows the {_ONE[cell.task][1]}.",
        "Its probabilities are not calibrated; the report shows how sure it is and how often it is right.",
    ]
    if cell.weights not in ("", "none"):
        limits.append(f"It began with {_start(cell, noun.many)}, whose licence and biases it inherits.")
    return limits


def _start(cell: Cell, nouns: str) -> str:
    """What the network began with, in words."""
    name = words.weights_name(cell.weights)
    if not cell.weights.startswith(PREFIX):
        return name
    data = read_source(cell.weights).data
    trained = f"{words.count(data.n)} {nouns} of {_text(data.name)}"
    return f"{name} (trained on {trained}, fingerprint {data.fingerprint})"
