"""Where the recommended configuration fails: which classes, how sure it was, and on which examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.modalities.nouns import Noun
from bench.tasks.multi_label import THRESHOLD
from reports import words
from reports.drawing import GRID, INK, MUTED, PAPER, Frame, Plan, mark
from reports.phrases import has_several, who
from reports.questions.many_labels import label_plan
from reports.results import Previews, Results
from reports.sections import Section
from reports.statistics.decisions import Decision
from reports.statistics.intervals import rank_correlation
from reports.statistics.predictions import (
    Predictions,
    calibration_error,
    calibration_numbers,
    class_numbers,
    confusion_numbers,
    predictions_of,
)
from reports.tables import dataset_names, places
from reports.words import IMAGES

SHOWN_MISTAKES = 18

SHOWN_CLASSES = 16
"""Of the confusion matrix: those with the most mistakes; all are in its CSV file."""

SIZES_DIFFER = 1.25
"""Where the largest class is not by so much larger than the smallest, size is no explanation."""

FEWEST_RELATED = 6
"""Of fewer classes no rank correlation with their size is given."""

_BLUE = "#0072B2"


@dataclass(frozen=True)
class Mistakes:
    """Where the recommended configuration fails on one dataset: figures, and examples that it surely got wrong."""

    dataset: str
    who: str
    plans: list[Plan]
    surest: list[Mistake]
    shows_text: bool
    """Whether previews are texts."""
    many_labels: bool = False
    """Whether an example has any number of labels."""

    @property
    def has_sounds(self) -> bool:
        """Whether there is something to listen to."""
        return any(mistake.sound for mistake in self.surest)


def section(run: Results) -> Section | None:
    """Of the recommended configuration of each dataset, at its largest label count; None without predictions."""
    largest = {decision.dataset: decision for decision in run.decisions}
    found = [mistakes for decision in largest.values() if (mistakes := _mistakes(decision, run)) is not None]
    if not found:
        return None
    return Section(
        "fails",
        "Where does it fail?",
        [plan for mistakes in found for plan in mistakes.plans],
        "Where it fails",
        run.several,
        template="mistakes.html.j2",
        content=found,
    )


def _mistakes(decision: Decision, run: Results) -> Mistakes | None:
    """None where no predictions can be read."""
    names = dataset_names(run.records)
    mine = [
        record
        for record in run.records
        if names[record.cell["fingerprint"]] == decision.dataset
        and record.cell["fraction"] == decision.fraction
    ]
    name = who(decision.recommended, has_several([decision]))
    predictions = predictions_of(decision, mine, run.run_info, run.directory, name)
    if predictions is None:
        return None
    place = places(run.frame)[decision.dataset]
    plans = mistake_plans(predictions, place, run.noun)
    wrong = most_confident(predictions, run.previews, run.sounds)
    return Mistakes(words.clean(decision.dataset, 60), name, plans, wrong, run.shows_text, run.many_labels)


@dataclass(frozen=True)
class Mistake:
    """A test example that was surely taken for another class."""

    id: str
    true: str
    predicted: str
    confidence: float
    """Mean over seeds."""
    preview: str = ""
    """A data URI, or a text; empty where examples are not to be shown or not at hand."""
    sound: str = ""
    """A data URI; empty likewise, and where there is nothing to hear."""


# --- numbers ----------------------------------------------------------------------------------------------


Wrong = tuple[int, str, str, float]
"""A wrong answer: the number of its example, what it is, what it was taken for, and how surely."""


def most_confident(
    predictions: Predictions,
    previews: Previews | None,
    sounds: Previews | None = None,
    count: int = SHOWN_MISTAKES,
) -> list[Mistake]:
    """The test examples that were taken for a wrong class with most confidence: mean probability over seeds."""
    many = predictions.labels.ndim == 2
    wrong = (surest_answers if many else surest_classes)(predictions)[:count]
    ids_of = predictions.ids
    ids = list(dict.fromkeys(ids_of[i] for i, *_ in wrong))
    found, heard = (
        show(predictions.fingerprint, ids) if show is not None and ids else {} for show in (previews, sounds)
    )
    return [
        Mistake(ids_of[i], true, taken_for, sure, found.get(ids_of[i], ""), heard.get(ids_of[i], ""))
        for i, true, taken_for, sure in wrong
    ]


def surest_classes(predictions: Predictions) -> list[Wrong]:
    """The examples that were taken for another class, the most surely first."""
    mean = predictions.probabilities.mean(axis=0)
    predicted, confidence = mean.argmax(axis=1), mean.max(axis=1)
    wrong = np.flatnonzero(predicted != predictions.labels)
    names = predictions.class_names
    return [
        (i, names[predictions.labels[i]], names[predicted[i]], float(confidence[i]))
        for i in wrong[np.argsort(-confidence[wrong], kind="stable")].tolist()
    ]


def surest_answers(predictions: Predictions) -> list[Wrong]:
    """Of any number of labels each: those that were given or missed wrongly, the most surely first."""
    mean, truth = predictions.probabilities.mean(axis=0), predictions.labels > 0
    given = mean >= THRESHOLD
    confidence = np.where(given, mean, 1 - mean)
    rows, labels = np.nonzero(given != truth)
    found: list[Wrong] = []
    for place in np.argsort(-confidence[rows, labels], kind="stable").tolist():
        row, label = int(rows[place]), int(labels[place])
        name = predictions.class_names[label]
        said = (f"not {name}", name) if given[row, label] else (name, f"not {name}")
        found.append((row, *said, float(confidence[row, label])))
    return found


# --- figures ----------------------------------------------------------------------------------------------


def mistake_plans(predictions: Predictions, place: int, noun: Noun = IMAGES) -> list[Plan]:
    """Confusion, accuracy by class and calibration; ``place`` of the dataset, see ``Plan.of``.

    Of any number of labels each there is no confusion: a table of labels stands in its place.
    """
    many = predictions.labels.ndim == 2
    makers = (label_plan, _calibration_plan) if many else (_confusion_plan, _class_plan, _calibration_plan)
    plans = (make(predictions, noun) for make in makers)
    return [plan.of(predictions.dataset, place) for plan in plans if plan is not None]


def _confusion_plan(predictions: Predictions, noun: Noun) -> Plan:
    numbers = confusion_numbers(predictions)
    wrong = numbers[(numbers["true"] != numbers["predicted"]) & (numbers["images"] > 0)]
    # Where classes have the same name in the file of numbers they would add up; names are unique in a dataset.
    mistakes = (
        wrong.groupby("true")["images"].sum().add(wrong.groupby("predicted")["images"].sum(), fill_value=0)
    )
    names = list(predictions.class_names)
    most = sorted(names, key=lambda name: -mistakes.get(name, 0.0))[:SHOWN_CLASSES]
    shown = [name for name in names if name in most]
    worst = wrong.sort_values("images", ascending=False, kind="stable").head(3)
    pairs = [
        f"{words.clean(row['true'], 30)} as {words.clean(row['predicted'], 30)} ({words.percent(row['share'], 0)})"
        for row in worst.to_dict("records")
    ]
    conclusion = f"The most frequent mistakes: {words.listed(pairs)}." if pairs else "It made no mistake."
    if len(shown) < len(names):
        conclusion += f" The figure shows the {len(shown)} of {len(names)} classes with the most mistakes."
    shares = numbers.set_index(["true", "predicted"])["share"]
    longest = max(len(words.clean(name, 20)) for name in shown)

    return Plan(
        "confusion",
        "Confusion matrix",
        f"Confusion matrix of {predictions.who} on {words.clean(predictions.dataset, 60)}. {conclusion}",
        conclusion,
        [lambda axes: _draw_confusion(axes, shown, shares, noun)],
        numbers,
        Frame(
            width=5.8,
            height=5.2,
            left=0.5 + 0.07 * longest,
            right=0.2,
            bottom=0.55 + 0.05 * longest,
            top=0.42,
        ),
    )


def _draw_confusion(axes: Axes, shown: Sequence[str], shares: pd.Series[Any], noun: Noun) -> None:
    for row, true in enumerate(shown):
        for column, predicted in enumerate(shown):
            share = float(shares[true, predicted])
            if not share > 0:
                continue
            field = Rectangle((column, row), 1, 1, facecolor=_BLUE, alpha=0.6 * share**0.5, linewidth=0)
            verdict = f"{true}, rightly" if true == predicted else f"{true}, predicted as {predicted}"
            mark("", axes.add_patch(field), values=[f"{verdict}: {words.percent(share)}"])
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{share * 100:.0f}",
                ha="center",
                va="center",
                fontsize=7 if len(shown) > 10 else 8.5,
                color=INK,
            )
    axes.set_xlim(0, len(shown))
    axes.set_ylim(len(shown), 0)
    places = [i + 0.5 for i in range(len(shown))]
    axes.set_xticks(
        places, [words.clean(n, 20) for n in shown], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(places, [words.clean(n, 20) for n in shown])
    axes.tick_params(labelcolor=INK, length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"percent of the test {noun.many} of each class", pad=10)
    axes.grid(visible=False)


def _class_plan(predictions: Predictions, noun: Noun) -> Plan | None:
    numbers = class_numbers(predictions)
    known = numbers.dropna(subset="accuracy").sort_values("accuracy", ascending=False, kind="stable")
    if known.empty:
        return None
    shown = known if len(known) <= SHOWN_CLASSES else known.tail(SHOWN_CLASSES)
    worst, best = known.iloc[-1], known.iloc[0]

    def with_size(row: pd.Series[Any]) -> str:
        labels = f", {words.count(row['labelled'])} labelled" if math.isfinite(row["labelled"]) else ""
        return f"{words.clean(row['class'], 30)} ({words.percent(row['accuracy'])}{labels})"

    conclusion = f"Best at {with_size(best)}, worst at {with_size(worst)}."
    conclusion += _by_size(known)
    over = f"test {noun.many}" if predictions.groups is None else f"groups of test {noun.many}"
    conclusion += f" Lines are 95% CIs over {over}."
    if len(shown) < len(known):
        conclusion += f" The figure shows the {len(shown)} worst of {len(known)} classes."

    def draw(axes: Axes) -> None:
        for place, row in enumerate(shown.to_dict("records")):
            axes.plot([row["low"], row["high"]], [place, place], color=MUTED, linewidth=1)
            dot = axes.plot(row["accuracy"], place, "o", color=_BLUE, markersize=6, markeredgecolor=PAPER)
            interval = f"{words.percent(row['low'])} to {words.percent(row['high'])}"
            mark("", *dot, values=[f"{row['class']}: {words.percent(row['accuracy'])} ({interval})"])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        sizes = [
            f"{words.clean(row['class'], 20)}"
            + (f" ({words.count(row['labelled'])})" if math.isfinite(row["labelled"]) else "")
            for _, row in shown.iterrows()
        ]
        axes.set_yticks(range(len(shown)), sizes)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_xlim(max(-0.02, min(shown["low"]) - 0.03), 1.02)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, 0)))
        axes.set_xlabel("test accuracy of the class")
        axes.set_title(f"class (labelled {noun.many})", pad=10)
        axes.grid(visible=False, axis="y")

    return Plan(
        "classes",
        "Accuracy by class",
        f"Dot chart of test accuracy by class of {predictions.who} on {words.clean(predictions.dataset, 60)}. "
        f"{conclusion}",
        conclusion,
        [draw],
        numbers,
        Frame(width=5.8, height=1.3 + 0.24 * max(4, len(shown)), left=2.1, right=0.25, bottom=0.62, top=0.42),
    )


def _by_size(known: pd.DataFrame) -> str:
    """How accuracy goes with the size of a class: the smaller half of the classes against the larger.

    Args:
        known: of ``class_numbers``, the classes that have test examples.
    """
    sized = known.dropna(subset="labelled").sort_values("labelled", kind="stable")
    if len(sized) < 2:
        return ""
    fewest, most = (words.count(sized["labelled"].iloc[end]) for end in (0, -1))
    if sized["labelled"].iloc[-1] < SIZES_DIFFER * sized["labelled"].iloc[0]:
        return f" All classes have about as many labels ({fewest} to {most}), so size explains nothing."
    half = len(sized) // 2
    small, large = sized.head(half), sized.tail(half)
    text = (
        f" The {words.plural(half, 'class', 'classes')} with the fewest labels ({fewest} to "
        f"{words.count(small['labelled'].iloc[-1])}) reach {words.percent(small['accuracy'].mean())} on average. "
        f"Classes with the most labels ({words.count(large['labelled'].iloc[0])} to {most}) reach "
        f"{words.percent(large['accuracy'].mean())}."
    )
    if len(sized) < FEWEST_RELATED:
        return f"{text} So few classes cannot show whether size is the cause."
    related, p = rank_correlation(sized["labelled"].to_numpy(float), sized["accuracy"].to_numpy(float))
    if not math.isfinite(related):
        return text
    told = (
        f"Classes with {'fewer' if related > 0 else 'more'} labels do worse"
        if p < 0.05
        else "That may be chance"
    )
    return f"{text} {told} (rank correlation {related:.2f}, p = {p:.2g})."


def _calibration_plan(predictions: Predictions, noun: Noun) -> Plan:
    numbers = calibration_numbers(predictions)
    confidence = float((numbers["confidence"] * numbers["share"]).sum())
    accuracy = float((numbers["accuracy"] * numbers["share"]).sum())
    gap = confidence - accuracy
    ece, chance = calibration_error(predictions)
    verdict = (
        f"That is no more than chance gives with so few test {noun.many}. You can trust its probabilities."
        if ece <= chance
        else f"It is {'over' if gap > 0 else 'under'}confident: calibrate it before you act on its probabilities, "
        "with temperature scaling for example."
        if abs(gap) > 0.02
        else "Its probabilities are off in both directions."
    )
    average = f"It is {words.percent(confidence)} sure on average and right in {words.percent(accuracy)}."
    of_answers = "share that is right"
    if predictions.labels.ndim == 2:
        mean, there = words.percent(confidence), words.percent(accuracy)
        average = f"Labels have a mean probability of {mean}, and {there} are there."
        of_answers = "share that has the label"
    conclusion = f"{average} The expected calibration error (ECE) is {words.in_points(ece)}. {verdict}"

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        axes.vlines(
            numbers["confidence"], numbers["confidence"], numbers["accuracy"], color=GRID, linewidth=1
        )
        axes.plot(numbers["confidence"], numbers["accuracy"], color=_BLUE, linewidth=1.2)
        for row in numbers.to_dict("records"):
            size = math.sqrt(12 + 260 * row["share"])
            dot = axes.plot(row["confidence"], row["accuracy"], "o", markersize=size, color=_BLUE,
                            markeredgecolor=PAPER, zorder=3)  # fmt: skip
            said = f"{words.percent(row['confidence'], 0)} sure, {words.percent(row['accuracy'], 0)} right"
            mark("", *dot, values=[f"{said} ({words.percent(row['share'], 0)} of the answers)"])
        axes.set_xlim(0, 1.03)
        axes.set_ylim(-0.02, 1.04)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, 0)))
        axes.set_xlabel("confidence (dots: larger with more answers)")
        axes.set_ylabel(of_answers)
        axes.set_title("dashed: perfectly calibrated", pad=10)

    return Plan(
        "calibration",
        "Calibration",
        f"Calibration curve of {predictions.who} on {words.clean(predictions.dataset, 60)}. {conclusion}",
        conclusion,
        [draw],
        numbers,
        Frame(width=5.8, height=4.6, left=0.75, right=0.25, bottom=0.62, top=0.42),
    )
