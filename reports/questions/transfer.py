"""What did the transfer bring? Every pretrained strategy against training from scratch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.results import Results
from reports.sections import Section, Table
from reports.statistics.benefits import Benefit, Estimate, Speed, benefits
from reports.tables import configuration_name, several_backbones
from reports.words import IMAGES


def section(run: Results) -> Section | None:
    """What each pretrained strategy brought, over labels and over training; None without training from scratch."""
    found = benefits(run.frame, run.curves, run.directory, run.region)
    tables = transfer_tables(found, run.several, run.noun, run.metric)
    return Section("transfer", "Did transfer help?", tables, "Transfer") if tables else None


def transfer_tables(
    found: Sequence[Benefit], several: bool, noun: Noun = IMAGES, metric: str = ACCURACY
) -> list[Table]:
    """What each pretrained strategy brought, against training the same backbone from scratch: over labels, and
    over training.

    Args:
        found: of ``benefits``.
        several: whether there is more than one dataset.
        noun: what examples are called.
        metric: that decides.
    """
    if not found:
        return []
    backbones = several_backbones((b.backbone, b.weights) for b in found)

    def name(b: Benefit) -> str:
        return configuration_name(b.strategy, b.backbone, b.weights, backbones, b.dataset if several else "")

    over_labels: list[str] = []
    over_training: list[str] = []
    for dataset in dict.fromkeys(b.dataset for b in found):
        prefix = f"{words.clean(dataset, 40)}: " if several else ""
        names = [configuration_name(b.strategy, b.backbone, b.weights, backbones) for b in found]
        mine = [(b, named) for b, named in zip(found, names, strict=True) if b.dataset == dataset]
        over_labels += [prefix + text for text in _over_labels(mine)]
        over_training += [prefix + text for text in _over_training(mine)]
    return [
        _labels_table(found, over_labels, name, metric),
        _training_table(found, over_training, name, noun),
    ]


Name = Callable[[Benefit], str]


def _labels_table(found: Sequence[Benefit], conclusions: list[str], name: Name, metric: str) -> Table:
    return Table(
        conclusions,
        ["strategy", "start", "slope", "end", "labels for scratch's best"],
        [
            [name(b), *map(_estimate, (over.start, over.slope, over.asymptote)), _labels_needed(b)]
            for b in found
            for over in [b.over_labels]
        ],
        f"Difference in test {words.metric_name(metric)} from training from scratch, in points, with 95% CIs. "
        "Start: at the fewest labels. Slope: per doubling of labels. A higher start leaves less to gain. End: at "
        "the most labels. Start and end are corrected for the number of pairs. The last column interpolates how "
        "many labels match the best of training from scratch.",
        [b.strategy for b in found],
        "Transfer over labels",
    )


def _training_table(found: Sequence[Benefit], conclusions: list[str], name: Name, noun: Noun) -> Table:
    trained = [(b, b.over_training) for b in found if b.over_training is not None]
    return Table(
        conclusions,
        [
            "strategy", "start", "after one pass", "area", "plateau", "times faster",
            f"times fewer {noun.many}",
        ],
        [
            [
                name(b),
                *map(_estimate, (training.start, training.first, training.area, training.plateau)),
                _times(training.speed.seconds, training.speed),
                _times(training.speed.examples, training.speed),
            ]
            for b, training in trained
        ],
        "Difference in validation accuracy from training from scratch at the most labels, in points. Start: before "
        "the first step. Area: on average until scratch reaches its plateau. Plateau: the mean of the last third "
        "of the evaluations. The last columns compare the time to scratch's plateau, in seconds and in "
        f"{noun.many}, as medians over seeds.",
        [b.strategy for b, _ in trained],
        "Transfer over training",
    )  # fmt: skip


_SAID = {
    "harm": "Negative transfer, clearly worse than training from scratch somewhere: {}.",
    "help": "Clearly better than training from scratch, at the fewest or the most labels: {}.",
    "equal": "Tied with training from scratch: {}.",
    "unclear": "Too close to call against training from scratch: {}.",
    "unknown": "Not compared with training from scratch, below three seeds: {}.",
}


def _over_labels(named: Sequence[tuple[Benefit, str]]) -> Iterator[str]:
    """What to conclude about one dataset."""
    for verdict, said in _SAID.items():
        if names := [name for b, name in named if b.verdict == verdict]:
            yield said.format(words.brief(names, 10))
    harm = [
        f"{name} with {words.count(n)} labels ({words.in_points(c.difference, True)}, "
        f"{words.points(c.low, True)} to {words.points(c.high, True)})"
        for b, name in named
        for n, c in b.over_labels.negative
    ]
    if harm:
        yield f"Worse than training from scratch: {words.brief(harm)}."
    saved = [f"{name} needs {_labels_needed(b)}" for b, name in named if b.over_labels.labels.high < b.most]
    if saved:
        yield f"Labels saved: {saved[0]} to match the best of training from scratch."
        if len(saved) > 1:
            more = words.plural(len(saved) - 1, "other strategy saves", "other strategies save")
            yield f"{more} labels too: see the table."
    elif any(math.isfinite(b.over_labels.labels.low) for b, _ in named):
        yield "No strategy surely matches the best of training from scratch with fewer labels."


def _labels_needed(b: Benefit) -> str:
    """Of how many labels scratch used at most: ``1,120 of 3,409 (900 to 1,400)``."""
    needed = b.over_labels.labels

    def said(n: float) -> str:
        if math.isinf(n):
            return f"more than {words.count(b.most)}"
        return words.count(n) + (" or fewer" if n <= b.fewest else "")

    text = f"{said(needed.value)} of {words.count(b.most)}" if needed.value < math.inf else said(needed.value)
    if math.isnan(needed.low) or needed.low == needed.high:
        return text
    return f"{text} ({said(needed.low)} to {said(needed.high)})"


def _over_training(named: Sequence[tuple[Benefit, str]]) -> Iterator[str]:
    """What to conclude about one dataset."""
    speeds = [(b.over_training.speed, name) for b, name in named if b.over_training is not None]
    if not speeds:
        return
    if not any(speed.seeds for speed, _ in speeds):
        yield "Training from scratch hardly improved, so it has no plateau to compare with."
        return
    sooner = [
        f"{name} {_times(speed.seconds, speed, ' times')}" for speed, name in speeds if speed.seconds > 1
    ]
    never = [name for speed, name in speeds if speed.examples == 0]
    later = [name for speed, name in speeds if 0 < speed.seconds <= 1]
    if sooner:
        yield f"Faster to the plateau of training from scratch: {words.brief(sooner)}."
    if later:
        yield f"No faster to the plateau of training from scratch: {words.brief(later)}."
    if never:
        yield f"Never as high as the plateau of training from scratch: {words.brief(never)}."


def _times(ratio: float, speed: Speed, unit: str = "") -> str:
    """A ratio of ``Speed`` in words."""
    if not speed.seeds:
        return "scratch never rose"
    if math.isnan(ratio):
        return "–"
    if ratio == 0:
        return "never as high"
    text = "from the start" if math.isinf(ratio) else words.magnitude(ratio) + unit
    return text + (f" (never in {speed.never} of {speed.seeds} seeds)" if speed.never else "")


def _estimate(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "–"
    text = words.points(estimate.value, True)
    if math.isfinite(estimate.low):
        text += f" ({words.points(estimate.low, True)} to {words.points(estimate.high, True)})"
    return text
