"""Same class or not? Of faces: the same person. Equal error rates, errors at a threshold, and the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from bench.modalities.nouns import Noun
from bench.records import Record
from bench.store import Store
from reports import words
from reports.drawing import MUTED, Plan, frame_of, label_ends, mark, set_up, stands_back, style_of, ticks
from reports.questions.few_shot.measurements import (
    FLOOR,
    Shares,
    by_accuracy,
    differs_by_seed,
    half_width_of,
    measured,
)
from reports.results import Results
from reports.sections import Grid, GridCell, Part, Section
from reports.tables import (
    backbone_title,
    configuration_name,
    dataset_names,
    places,
    several_backbones,
    strategy_key,
)

CAPTION = Markup(
    "Equal error rate: the threshold is set so that pairs of two classes are accepted as often as pairs of one are "
    "rejected. Below it stands the 95% CI over new classes and, from three seeds on, trainings. "
    "At the chosen threshold: it was set on classes of the source that are held out, and never on new ones. "
    "Accuracy there counts both kinds of pairs the same."
)


@dataclass(frozen=True, eq=False)
class Verified:
    """How one configuration tells pairs apart, mean over seeds.

    Attributes:
        seeds: how many; 0: nothing is trained, so there is nothing to repeat.
        error: the equal error rate, 0 to 1.
        half: half its 95% interval; NaN where it is not known.
        false_accepts, false_rejects: at the chosen threshold; NaN without one.
        curve: shares of false and of true accepts, (2, points); None where it is not known.
    """

    dataset: str
    strategy: str
    backbone: str
    weights: str
    seeds: int
    error: float
    half: float
    false_accepts: float
    false_rejects: float
    curve: np.ndarray | None

    @property
    def accuracy(self) -> float:
        """At the chosen threshold, both kinds of pairs counted the same."""
        return 1 - (self.false_accepts + self.false_rejects) / 2


def section(run: Results) -> Section | None:
    """A table and the ROC curves of each dataset; None where no pairs were compared."""
    found = verified(run.records, run.directory)
    names = list(dict.fromkeys(v.dataset for v in found))
    of_each = [[v for v in found if v.dataset == name] for name in names]
    parts: list[Part] = [*map(_table, of_each), *_plans(of_each, run)]
    return (
        Section("verification", "Same class or not", parts, "Same or not", len(names) > 1) if found else None
    )


def verified(records: Sequence[Record], directory: Path | None) -> list[Verified]:
    """How well pairs are told apart, by dataset and configuration.

    Args:
        records: of a run of the few-shot protocol.
        directory: the run directory; without its files there are no intervals and curves.
    """
    names, groups = dataset_names(records), dict[tuple[str, str, str, str], list[Record]]()
    for record in records:
        if "verification_eer" in record.metrics:
            cell = record.cell
            key = names[cell["fingerprint"]], cell["strategy"], cell["backbone"], cell["weights"]
            groups.setdefault(key, []).append(record)
    ordered = sorted(groups, key=lambda k: (k[0], k[1] == FLOOR, strategy_key(k[1]), *k[2:]))
    return [_verified(key, groups[key], directory) for key in ordered]


def _verified(key: tuple[str, str, str, str], records: Sequence[Record], directory: Path | None) -> Verified:
    def mean(name: str) -> float:
        return float(np.mean([record.metrics.get(name, math.nan) for record in records]))

    arrays = [None if directory is None else Store(directory).arrays(r.cell_id) for r in records]
    known = [of_seed for of_seed in arrays if of_seed is not None and "class_errors" in of_seed]
    complete = len(known) == len(records)
    error = mean("verification_eer")
    return Verified(
        *key,
        len(records) if any(map(differs_by_seed, records)) else 0,
        error,
        _half(np.stack([a["class_errors"] for a in known]), error) if complete else math.nan,
        mean("verification_false_accepts"),
        mean("verification_false_rejects"),
        np.mean([a["accepts"] for a in known], axis=0) if complete else None,
    )


def _half(by_class: np.ndarray, error: float) -> float:
    """Half the 95% interval over seeds and classes, of jackknife pseudo-values (seeds, classes)."""
    values = by_class.astype(np.float64)
    if not np.isfinite(values).all():  # two classes: without one of them there is nothing to compare
        return math.nan
    return half_width_of(Shares(np.arange(values.shape[1]).astype(str), values - values.mean() + error, None))


def _table(found: Sequence[Verified]) -> Grid:
    several = several_backbones((v.backbone, v.weights) for v in found)
    best = min(v.error for v in found)
    rows = [
        (
            v.strategy,
            words.capital(configuration_name(v.strategy, v.backbone, v.weights, several)),
            [GridCell(words.percent(v.error), _interval(v), v.error == best), _at_threshold(v)],
        )
        for v in found
    ]
    rows.append(("chance", "Chance", [GridCell(words.percent(0.5)), GridCell(words.percent(0.5))]))
    title = words.clean(found[0].dataset, 60)
    return Grid(
        title, ["equal error rate", "accuracy at the chosen threshold"], rows, "errors in pairs", CAPTION
    )


def _interval(v: Verified) -> str:
    seeds = words.plural(v.seeds, "seed") if v.seeds else "nothing trained"
    if not math.isfinite(v.half):
        return f"no interval · {seeds}"
    low, high = max(0.0, v.error - v.half), min(1.0, v.error + v.half)
    return f"{words.percent(low)} to {words.percent(high)} · {seeds}"


def _at_threshold(v: Verified) -> GridCell:
    if not math.isfinite(v.accuracy):
        return GridCell("–", "no search, no threshold")
    accepts, rejects = words.percent(v.false_accepts), words.percent(v.false_rejects)
    return GridCell(words.percent(v.accuracy), f"false accepts {accepts} · false rejects {rejects}")


def _plans(of_each: Sequence[Sequence[Verified]], run: Results) -> Iterator[Plan]:
    place = places(run.frame)
    for found in of_each:
        known = [v for v in found if v.curve is not None]
        if known:
            dataset = known[0].dataset
            everyone = by_accuracy([m for m in run.once(measured) if m.dataset == dataset])
            yield _figure(known, everyone, run.noun).of(dataset, place[dataset])


def _figure(found: Sequence[Verified], everyone: Sequence[str], noun: Noun) -> Plan:
    backbones = sorted({(v.backbone, v.weights) for v in found if v.backbone}) or [("", "")]
    panels = [
        _panel([v for v in found if (v.backbone, v.weights) in (backbone, ("", ""))], title, everyone)
        for backbone in backbones
        for title in [backbone_title(*backbone) if len(backbones) > 1 else "ROC curve"]
    ]
    best = min(found, key=lambda v: v.error)
    return Plan(
        "roc",
        "ROC curve",
        f"Line charts for {words.clean(best.dataset, 60)}: pairs of one class that are accepted against pairs of "
        "two classes that are accepted, on a logarithmic axis; dotted: where both errors are equal.",
        f"{words.capital(words.strategy_name(best.strategy))} has the lowest equal error rate, "
        f"{words.percent(best.error)}. The dotted line crosses each curve there. Further to the left, fewer "
        f"{noun.many} of two classes are taken for one, and more of one class for two.",
        panels,
        _numbers(found),
        frame_of(len(panels), len(everyone)),
    )


def _numbers(found: Sequence[Verified]) -> pd.DataFrame:
    names = ["strategy", "backbone", "weights"]
    frames = [
        pd.DataFrame(
            {name: getattr(v, name) for name in names}
            | {"false_accepts": v.curve[0], "true_accepts": v.curve[1]}
        )
        for v in found
        if v.curve is not None
    ]
    return pd.concat(frames, ignore_index=True)


def _panel(found: Sequence[Verified], title: str, everyone: Sequence[str]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        set_up(axes, title, "pairs of two classes accepted", "pairs of one class accepted", 0.0, 1.02)
        axes.set_xscale("log")
        ticks(axes, [0.001, 0.01, 0.1, 1.0], lambda share: words.percent(share, 1 if share < 0.01 else 0))
        ends = []
        for v in sorted(found, key=lambda v: -v.error):  # names stand from the worst up
            assert v.curve is not None
            x, y = v.curve
            axes.plot(x, 1 - x, color=MUTED, linewidth=1, linestyle=":")
            colour, _ = style_of(v.strategy, everyone)
            width = 0.9 if stands_back(v.strategy, everyone) else 1.8
            mark(v.strategy, *axes.plot(x, y, color=colour, linewidth=width))
            ends.append((v.strategy, x[-1], y[-1]))
        axes.set_xlim(0.001, 1.0)
        label_ends(axes, ends, everyone, leaders=True)

    return draw
