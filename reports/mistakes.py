"""Where the recommended configuration fails: which classes, how sure it was, and on which images."""

from __future__ import annotations

import base64
import io
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.records import Record
from reports import words
from reports.drawing import GRID, INK, MUTED, PAPER, Frame, Plan
from reports.statistics.decisions import Decision
from reports.statistics.intervals import rank_correlation, wilson

BINS = 15
"""Of confidence, equally wide, as in the ECE of the records."""

SHOWN_CLASSES = 16
"""Of the confusion matrix: those with the most mistakes; all are in its CSV file."""

SIZES_DIFFER = 1.25
"""Where the largest class is not by so much larger than the smallest, size is no explanation."""

FEWEST_RELATED = 6
"""Of fewer classes no rank correlation with their size is given."""

SHOWN_IMAGES = 18

THUMBNAIL = 96
"""Pixels of the longer side."""

_BLUE = "#0072B2"

Images = Callable[[str, Sequence[str]], Mapping[str, npt.NDArray[np.uint8]]]
"""From a dataset's fingerprint and ids of test images to those of them that are at hand, (H, W, 3)."""


@dataclass(frozen=True)
class Answers:
    """The test-set answers of one configuration at one label count.

    Attributes:
        dataset: its name in the tables.
        fingerprint: the dataset's.
        who: the configuration, in words.
        n: labelled images.
        class_names: (C,).
        class_sizes: labelled images by class, about; NaN where not known.
        ids: (N,) of the test images.
        labels: (N,) true classes.
        probabilities: (seeds, N, C).
    """

    dataset: str
    fingerprint: str
    who: str
    n: float
    class_names: tuple[str, ...]
    class_sizes: npt.NDArray[np.float64]
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mistake:
    """A test image that was surely taken for another class."""

    id: str
    true: str
    predicted: str
    confidence: float
    """Mean over seeds."""
    thumbnail: str = ""
    """A data URI; empty where images are not to be shown or not at hand."""


def answers_of(
    decision: Decision, records: Sequence[Record], run_info: Mapping[str, Any], directory: Path, who: str
) -> Answers | None:
    """The answers of the recommended configuration; None where no predictions can be read.

    Args:
        decision: about one dataset at one label count; its ``dataset`` is a name as ``tables`` gives it.
        records: those of this dataset at this label count, of all configurations.
        run_info: the content of run.json.
        directory: the run directory.
        who: the configuration, in words.
    """
    chosen = decision.recommended
    mine = [
        record
        for record in records
        if record.status == "ok"
        and (record.cell["strategy"], record.cell["backbone"], record.cell["weights"])
        == (chosen.strategy, chosen.backbone, chosen.weights)
    ]
    found = [p for record in mine if (p := _predictions(directory, record.cell_id)) is not None]
    if not found or any(not np.array_equal(p["ids"], found[0]["ids"]) for p in found):
        return None
    fingerprint = mine[0].cell["fingerprint"]
    about = run_info.get("datasets", {}).get(fingerprint, {})
    classes = found[0]["probabilities"].shape[1]
    names = about.get("class_names") or []
    if len(names) != classes:
        names = [f"class {i}" for i in range(classes)]
    counts = np.asarray(about.get("pool_counts") or [math.nan] * classes, float)
    if len(counts) != classes:
        counts = np.full(classes, math.nan)
    return Answers(
        dataset=decision.dataset,
        fingerprint=fingerprint,
        who=who,
        n=decision.n,
        class_names=tuple(map(str, names)),
        class_sizes=counts * decision.fraction,
        ids=tuple(found[0]["ids"].tolist()),
        labels=found[0]["labels"].astype(np.int64),
        probabilities=np.stack([p["probabilities"].astype(float) for p in found]),
    )


def _predictions(directory: Path, cell_id: str) -> dict[str, npt.NDArray[Any]] | None:
    try:
        with np.load(directory / "predictions" / f"{cell_id}.npz", allow_pickle=False) as file:
            found = {name: file[name] for name in ("ids", "labels", "probabilities")}
        shapes_agree = found["probabilities"].shape[:1] == found["labels"].shape == found["ids"].shape
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found | {"ids": found["ids"].astype(str)} if shapes_agree else None


# --- numbers ----------------------------------------------------------------------------------------------


def confusion_numbers(answers: Answers) -> pd.DataFrame:
    """One row a pair of classes: test images of ``true`` taken for ``predicted`` (mean over seeds), and which
    share of ``true`` that is (NaN for a class without test images)."""
    classes = len(answers.class_names)
    predicted = answers.probabilities.argmax(axis=2)
    pairs = answers.labels * classes + predicted
    counts = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes) / len(predicted)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.full_like(counts, math.nan), where=total > 0)
    names = list(answers.class_names)
    return pd.DataFrame(
        {
            "true": np.repeat(names, classes),
            "predicted": names * classes,
            "images": counts.ravel(),
            "share": share.ravel(),
        }
    )


def class_numbers(answers: Answers) -> pd.DataFrame:
    """One row a class: labelled and test images, accuracy (mean over seeds), and its 95% interval over test
    images (Wilson's)."""
    right = answers.probabilities.argmax(axis=2) == answers.labels
    rows = []
    for place, name in enumerate(answers.class_names):
        mine = answers.labels == place
        accuracy = float(right[:, mine].mean()) if mine.any() else math.nan
        low, high = wilson(accuracy, int(mine.sum()))
        rows.append((name, answers.class_sizes[place], int(mine.sum()), accuracy, low, high))
    return pd.DataFrame(rows, columns=["class", "labelled", "test", "accuracy", "low", "high"])


def calibration_numbers(answers: Answers) -> pd.DataFrame:
    """One row a bin of confidence that has answers, of all seeds: its mean confidence, its accuracy, and its
    share of the answers (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = answers.probabilities.max(axis=2)
    right = answers.probabilities.argmax(axis=2) == answers.labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1).ravel()
    table = pd.DataFrame({"bin": place, "confidence": confidence.ravel(), "accuracy": right.ravel()})
    groups = table.groupby("bin")
    found = groups.mean().assign(share=groups.size() / len(table)).reset_index()
    return found.assign(low=found["bin"] / BINS, high=(found["bin"] + 1) / BINS)[
        ["low", "high", "confidence", "accuracy", "share"]
    ]


def calibration_error(answers: Answers) -> tuple[float, float]:
    """The expected calibration error, mean over seeds, and the 95% quantile of what it would be for a perfectly
    calibrated model on as many images: with a few hundred images it is far from zero even then."""
    confidence = answers.probabilities.max(axis=2)
    right = answers.probabilities.argmax(axis=2) == answers.labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)

    def error(correct: npt.NDArray[Any]) -> float:
        gaps = [
            np.bincount(p, weights=c - r, minlength=BINS)
            for p, c, r in zip(place, confidence, correct, strict=True)
        ]
        return float(np.abs(gaps).sum(axis=1).mean() / confidence.shape[1])

    rng = np.random.default_rng(0)
    made_up = [error(rng.random(confidence.shape) < confidence) for _ in range(200)]
    return error(right), float(np.quantile(made_up, 0.95))


def most_confident(answers: Answers, images: Images | None, count: int = SHOWN_IMAGES) -> list[Mistake]:
    """The test images that were taken for a wrong class with most confidence: mean probability over seeds."""
    mean = answers.probabilities.mean(axis=0)
    predicted, confidence = mean.argmax(axis=1), mean.max(axis=1)
    wrong = np.flatnonzero(predicted != answers.labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    ids = [answers.ids[i] for i in chosen]
    pictures = images(answers.fingerprint, ids) if images is not None and ids else {}
    return [
        Mistake(
            answers.ids[i],
            answers.class_names[answers.labels[i]],
            answers.class_names[predicted[i]],
            float(confidence[i]),
            _thumbnail(pictures[answers.ids[i]]) if answers.ids[i] in pictures else "",
        )
        for i in chosen
    ]


def _thumbnail(image: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


# --- figures ----------------------------------------------------------------------------------------------


def mistake_plans(answers: Answers, place: int) -> list[Plan]:
    """Confusion, accuracy by class and calibration; ``place`` of the dataset, see ``Plan.of``."""
    plans = (_confusion_figure(answers), _class_figure(answers), _calibration_figure(answers))
    return [plan.of(answers.dataset, place) for plan in plans if plan is not None]


def _confusion_figure(answers: Answers) -> Plan:
    numbers = confusion_numbers(answers)
    wrong = numbers[(numbers["true"] != numbers["predicted"]) & (numbers["images"] > 0)]
    # Where classes have the same name in the file of numbers they would add up; names are unique in a dataset.
    mistakes = (
        wrong.groupby("true")["images"].sum().add(wrong.groupby("predicted")["images"].sum(), fill_value=0)
    )
    names = list(answers.class_names)
    most = sorted(names, key=lambda name: -mistakes.get(name, 0.0))[:SHOWN_CLASSES]
    shown = [name for name in names if name in most]
    worst = wrong.sort_values("images", ascending=False, kind="stable").head(3)
    pairs = [
        f"{words.clean(row['true'], 30)} for {words.clean(row['predicted'], 30)} "
        f"({words.percent(row['share'], 0)} of its test images)"
        for row in worst.to_dict("records")
    ]
    conclusion = f"Most often it takes {words.listed(pairs)}." if pairs else "It made no mistake."
    if len(shown) < len(names):
        conclusion += f" Shown are the {len(shown)} of {len(names)} classes with the most mistakes."
    table = numbers.set_index(["true", "predicted"])["share"]

    def draw(axes: Axes) -> None:
        for row, true in enumerate(shown):
            for column, predicted in enumerate(shown):
                share = float(table[true, predicted])
                if not share > 0:
                    continue
                axes.add_patch(
                    Rectangle((column, row), 1, 1, facecolor=_BLUE, alpha=0.6 * share**0.5, linewidth=0)
                )
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
            places, [words.clean(n, 15) for n in shown], rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(places, [words.clean(n, 15) for n in shown])
        axes.tick_params(labelcolor=INK, length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.set_title("percent of the test images of each class", pad=10)
        axes.grid(visible=False)

    return Plan(
        "confusion",
        "Which classes are taken for which",
        f"Confusion matrix of {answers.who} on {words.clean(answers.dataset, 60)}. {conclusion}",
        conclusion,
        [draw],
        numbers,
        Frame(width=5.6, height=5.0, left=1.4, right=0.2, bottom=1.35, top=0.42),
    )


def _class_figure(answers: Answers) -> Plan | None:
    numbers = class_numbers(answers)
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
    conclusion += " Lines are 95% intervals over test images."
    if len(shown) < len(known):
        conclusion += f" Shown are the {len(shown)} worst of {len(known)}."

    def draw(axes: Axes) -> None:
        for place, row in enumerate(shown.to_dict("records")):
            axes.plot([row["low"], row["high"]], [place, place], color=MUTED, linewidth=1)
            axes.plot(row["accuracy"], place, "o", color=_BLUE, markersize=5, markeredgecolor=PAPER)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        sizes = [
            f"{words.clean(row['class'], 15)}"
            + (f" ({words.count(row['labelled'])})" if math.isfinite(row["labelled"]) else "")
            for _, row in shown.iterrows()
        ]
        axes.set_yticks(range(len(shown)), sizes)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_xlim(max(-0.02, min(shown["low"]) - 0.03), 1.02)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, 0)))
        axes.set_xlabel("test accuracy of the class")
        axes.set_title("class (labelled images)", pad=10)
        axes.grid(visible=False, axis="y")

    return Plan(
        "classes",
        "Accuracy by class, and its size",
        f"Dot chart of test accuracy by class of {answers.who} on {words.clean(answers.dataset, 60)}. {conclusion}",
        conclusion,
        [draw],
        numbers,
        Frame(
            width=5.6, height=1.3 + 0.23 * max(4, len(shown)), left=1.75, right=0.25, bottom=0.62, top=0.42
        ),
    )


def _by_size(known: pd.DataFrame) -> str:
    """How accuracy goes with the size of a class: the smaller half of the classes against the larger.

    Args:
        known: of ``class_numbers``, the classes that have test images.
    """
    sized = known.dropna(subset="labelled").sort_values("labelled", kind="stable")
    if len(sized) < 2:
        return ""
    fewest, most = (words.count(sized["labelled"].iloc[end]) for end in (0, -1))
    if sized["labelled"].iloc[-1] < SIZES_DIFFER * sized["labelled"].iloc[0]:
        return f" All classes have about as many labels ({fewest} to {most}): their size explains nothing."
    half = len(sized) // 2
    small, large = sized.head(half), sized.tail(half)
    text = (
        f" The {words.plural(half, 'class', 'classes')} with the fewest labels ({fewest} to "
        f"{words.count(small['labelled'].iloc[-1])}) reach {words.percent(small['accuracy'].mean())} on average, "
        f"those with the most ({words.count(large['labelled'].iloc[0])} to {most}) "
        f"{words.percent(large['accuracy'].mean())}"
    )
    if len(sized) < FEWEST_RELATED:
        return f"{text}; so few classes do not tell whether that is their size."
    related, p = rank_correlation(sized["labelled"].to_numpy(float), sized["accuracy"].to_numpy(float))
    if not math.isfinite(related):
        return f"{text}."
    told = (
        f"classes with {'fewer' if related > 0 else 'more'} labels do worse"
        if p < 0.05
        else "that may be chance"
    )
    return f"{text}: {told} (rank correlation {related:.2f}, p = {p:.2g})."


def _calibration_figure(answers: Answers) -> Plan:
    numbers = calibration_numbers(answers)
    confidence = float((numbers["confidence"] * numbers["share"]).sum())
    accuracy = float((numbers["accuracy"] * numbers["share"]).sum())
    gap = confidence - accuracy
    ece, chance = calibration_error(answers)
    verdict = (
        "no more than chance would give with so few test images, so its probabilities can be taken at their word"
        if ece <= chance
        else f"it is {'over' if gap > 0 else 'under'}confident: calibrate it (by a temperature, say) before you "
        "act on its probabilities"
        if abs(gap) > 0.02
        else "its probabilities are off in both directions"
    )
    conclusion = (
        f"It is {words.percent(confidence)} sure on average and right in {words.percent(accuracy)}; expected "
        f"calibration error {words.points(ece)} points: {verdict}."
    )

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        axes.vlines(
            numbers["confidence"], numbers["confidence"], numbers["accuracy"], color=GRID, linewidth=1
        )
        axes.plot(numbers["confidence"], numbers["accuracy"], color=_BLUE, linewidth=1.2)
        axes.scatter(numbers["confidence"], numbers["accuracy"], s=12 + 260 * numbers["share"], color=_BLUE,
                     edgecolors=PAPER, zorder=3)  # fmt: skip
        axes.set_xlim(0, 1.03)
        axes.set_ylim(-0.02, 1.04)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, 0)))
        axes.set_xlabel("confidence (dots: larger with more answers)")
        axes.set_ylabel("share that is right")
        axes.set_title("dashed: perfectly calibrated", pad=10)

    return Plan(
        "calibration",
        "Is it as sure as it should be?",
        f"Calibration curve of {answers.who} on {words.clean(answers.dataset, 60)}. {conclusion}",
        conclusion,
        [draw],
        numbers,
        Frame(width=4.2, height=3.9, left=0.68, right=0.25, bottom=0.62, top=0.42),
    )
