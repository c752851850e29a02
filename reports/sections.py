"""Sections of the page that are a table and what to conclude from it: what transfer brought, more labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from reports import words
from reports.across import runs_frame, standings
from reports.answer import has_several, which_weights, who
from reports.figures import COSTS, cost_numbers, differs
from reports.labels import FARTHEST, MINIMUM_COUNTS, LabelCurve, Prediction, crossing
from reports.statistics.decisions import EQUIVALENCE, Decision
from reports.statistics.pairs import Candidate
from reports.tables import CONFIGURATION, configuration_name, several_backbones, summary_frame
from reports.transfer import Benefit, Estimate, Speed


@dataclass(frozen=True)
class Section:
    """A table with what to conclude from it.

    Attributes:
        conclusions: sentences.
        columns: heads; the first one heads the rows' names.
        rows: cells as text, the row's name first.
        note: what the columns mean.
        strategies: whose each row is; empty if the rows are not of single strategies.
    """

    conclusions: list[str]
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""
    strategies: list[str] = field(default_factory=list)


def transfer_tables(found: Sequence[Benefit], several: bool) -> list[Section]:
    """What each pretrained strategy brought, against training the same backbone from scratch: over labels, and
    over training.

    Args:
        found: of ``transfer.benefits``.
        several: whether there is more than one dataset.
    """
    if not found:
        return [Section(["Nothing to compare: that needs a strategy and scratch on the same backbone."])]
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
        Section(
            over_labels,
            ["over labels", "higher start", "higher slope", "higher asymptote", "labels for scratch's best"],
            [
                [name(b), *map(_estimate, (over.start, over.slope, over.asymptote)), _labels_needed(b)]
                for b in found
                for over in [b.over_labels]
            ],
            "Points of test accuracy against scratch, with 95% intervals: at the fewest labels (start), by "
            "doubling of the labels (slope; a higher start leaves less to gain), and at the most (asymptote). "
            "Those of start and asymptote are corrected for the number of pairs: all strategies and label counts "
            "of a dataset together. Then with how many labels the strategy reaches what scratch reaches with the "
            "most, by interpolation.",
            [b.strategy for b in found],
        ),
        Section(
            over_training,
            [
                "over training", "start", "after one pass", "area gained", "plateau", "times faster",
                "times fewer images",
            ],
            [
                [
                    name(b),
                    *map(_estimate, (training.start, training.first, training.area, training.plateau)),
                    _times(training.speed.seconds, training.speed),
                    _times(training.speed.images, training.speed),
                ]
                for b in found
                if (training := b.over_training) is not None
            ],
            "Points of validation accuracy against scratch, at the most labels: before the first step (where a new "
            "head knows nothing yet), after one pass over the data, on average until scratch has reached its "
            "plateau, and between the two plateaus (a plateau is the mean of the last third of the evaluations). "
            "Then what scratch took to get to its plateau, divided by what the strategy took to get as high, in "
            "seconds and in images: medians over seeds.",
            [b.strategy for b in found if b.over_training is not None],
        ),
    ]  # fmt: skip


_SAID = {
    "harm": "Negative transfer, worse than from scratch beyond noise at some number of labels: {}.",
    "help": "Better than from scratch beyond noise, with the fewest labels or with the most: {}.",
    "equal": "Tied with training from scratch: {}.",
    "unclear": "Not told from scratch with these seeds and test images: {}.",
    "unknown": "Nothing is claimed below three seeds: {}.",
}


def _over_labels(named: Sequence[tuple[Benefit, str]]) -> Iterator[str]:
    """What to conclude about one dataset."""
    for verdict, said in _SAID.items():
        if names := [name for b, name in named if b.verdict == verdict]:
            yield said.format(words.some(names))
    harm = [
        f"{name} with {words.count(n)} labels ({words.points(c.difference, True)} points, "
        f"{words.points(c.low, True)} to {words.points(c.high, True)})"
        for b, name in named
        for n, c in b.over_labels.negative
    ]
    if harm:
        yield f"Worse than from scratch: {words.some(harm)}."
    saved = [f"{name} with {_labels_needed(b)}" for b, name in named if b.over_labels.labels.high < b.most]
    if saved:
        yield f"Labels saved: what training from scratch reaches with the most is reached by {words.some(saved)}."
    elif any(math.isfinite(b.over_labels.labels.low) for b, _ in named):
        yield "Nothing surely reaches with fewer labels what training from scratch reaches with the most."


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
        yield "Training from scratch hardly rose above where it began: there is no plateau of it to reach sooner."
        return
    sooner = [
        f"{name} {_times(speed.seconds, speed, ' times')}" for speed, name in speeds if speed.seconds > 1
    ]
    never = [name for speed, name in speeds if speed.images == 0]
    later = [name for speed, name in speeds if 0 < speed.seconds <= 1]
    if sooner:
        yield f"Faster than from scratch to where that levels off, in seconds: {words.some(sooner)}."
    if later:
        yield f"No faster than from scratch, in seconds: {words.some(later)}."
    if never:
        yield f"Never as high as where training from scratch levels off: {words.some(never)}."


def _times(ratio: float, speed: Speed, unit: str = "") -> str:
    """A ratio of ``transfer.Speed`` in words."""
    if not speed.seeds:
        return "scratch never rose"
    if math.isnan(ratio):
        return "–"
    if ratio == 0:
        return "never as high"
    text = "from the start" if math.isinf(ratio) else words.magnitude(ratio) + unit
    return text + (f" (never in {speed.never} of {speed.seeds} seeds)" if speed.never else "")


def weights_tables(
    decisions: Sequence[Decision], sources: dict[str, dict[str, Any]], several: bool
) -> list[Section]:
    """Which weights are best to begin with, wherever a backbone was run with more than one set of them.

    Args:
        decisions: of ``statistics.decide``.
        sources: of run.json: what is known of each source, by its weights in the records.
        several: whether there is more than one dataset.
    """
    conclusions: list[str] = []
    rows: list[list[str]] = []
    counts: list[float] = []
    for dataset in dict.fromkeys(decision.dataset for decision in decisions):
        mine = [decision for decision in decisions if decision.dataset == dataset]
        for backbone in dict.fromkeys(c.backbone for d in mine for c in d.candidates if c.backbone):
            found = {decision.n: decision.by_weights(backbone) for decision in mine}
            everything = list(dict.fromkeys(w for by in reversed(found.values()) for w in by))
            if len([weights for weights in everything if weights]) < 2:
                continue
            counts += [n for n in found if n not in counts]
            prefix = f"{words.clean(dataset, 40)}: " if several else ""
            for weights in everything:
                cells = {n: by[weights][0] for n, by in found.items() if weights in by}
                rows.append(
                    [f"{prefix}{words.clean(backbone, 40)}, {words.weights_name(weights)}"]
                    + [_best(cells[n]) if n in cells else "–" for n in counts]
                )
            conclusions += [prefix + text for text in [which_weights(mine[-1])] if text]
    if not rows:
        return []
    order = sorted(range(len(counts)), key=lambda i: counts[i])
    rows = [[row[0], *((row[1:] + ["–"] * len(counts))[i] for i in order)] for row in rows]
    columns = ["begun with", *(f"{words.count(counts[i])} labels" for i in order)]
    note = (
        "The most accurate strategy with each set of weights, and its accuracy. Random weights: from scratch."
    )
    sections = [Section(conclusions, columns, rows, note)]
    if sources:
        sections.append(_sources_table(sources))
    return sections


def _best(candidate: Candidate) -> str:
    return f"{words.percent(candidate.accuracy)} ({words.strategy_name(candidate.strategy)})"


def _sources_table(sources: dict[str, dict[str, Any]]) -> Section:
    rows = []
    for source in sources.values():
        held_out = f"{words.percent(source['accuracy'])} ({words.percent(source['low'])} to "
        held_out += f"{words.percent(source['high'])})" + ("" if source["learned"] else ": nothing learned")
        rows.append(
            [
                words.clean(source["name"], 40),
                words.clean(source["dataset"], 40),
                words.count(source["n"]),
                words.count(source["classes"]),
                f"{source['image_size']} px",
                words.weights_name(source["start"]),
                held_out,
                f"{words.percent(source['baseline_accuracy'])} ({source['baseline']})",
            ]
        )
    leads = {s["name"]: s["accuracy"] - s["baseline_accuracy"] for s in sources.values() if s["learned"]}
    told = [
        f"{words.clean(name, 40)} by {words.points(lead)} points" for name, lead in leads.items() if lead > 0
    ]
    level = [words.clean(name, 40) for name, lead in leads.items() if lead <= 0]
    nothing = [words.clean(s["name"], 40) for s in sources.values() if not s["learned"]]
    conclusions = [f"On its own dataset ahead of its strongest baseline: {words.some(told)}."] if told else []
    if level:
        conclusions.append(f"No better on its own dataset than a baseline without it: {words.some(level)}.")
    if nothing:
        conclusions.append(f"Nothing was learned, so that little can be transferred: {words.some(nothing)}.")
    return Section(
        conclusions,
        [
            "source",
            "trained on",
            "images",
            "classes",
            "size",
            "begun with",
            "accuracy there",
            "baseline there",
        ],
        rows,
        "Accuracy of each source on held-out images of its own dataset, with its 95% interval, and of the "
        "strongest baseline there.",
    )


def cost_table(results: pd.DataFrame, several: bool, price_per_hour: float) -> Section:
    """What each configuration costs with the most labels, and on which Pareto fronts it lies.

    Args:
        results: the frame of ``tables.results_frame``.
        several: whether there is more than one dataset.
        price_per_hour: of the machine; 0: no column of money.
    """
    columns = [
        "configuration",
        "accuracy",
        "time to tune and train",
        "ms an image",
        "parameters",
        "peak memory",
    ]
    columns += [f"money, at {price_per_hour:g} an hour"] if price_per_hour else []
    rows, strategies, conclusions = [], [], []
    for dataset, of_dataset in results.groupby("dataset", sort=False):
        numbers = cost_numbers(of_dataset)
        if len(numbers):
            told = _cost_conclusion(numbers, price_per_hour)
            conclusions.append(words.sentence(told, str(dataset) if several else ""))
        memory = summary_frame(of_dataset).set_index([*CONFIGURATION, "fraction"])["peak_memory_mb"]
        backbones = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
        differ = {cost: differs(numbers[cost]) for cost in COSTS}
        for row in numbers.to_dict("records"):
            used = float(memory.get(tuple(row[key] for key in (*CONFIGURATION, "fraction")), math.nan))
            # Where all are of one size and speed there is no front.
            fronts = {cost: " *" if row[f"front_{cost}"] and differ[cost] else "" for cost in COSTS}
            latency = row["inference_ms_per_image"]
            line = [
                configuration_name(
                    row["strategy"],
                    row["backbone"],
                    row["weights"],
                    backbones,
                    str(dataset) if several else "",
                ),
                words.percent(row["accuracy"]),
                words.duration(row["seconds"]) + fronts["seconds"],
                f"{latency:.3g}{fronts['inference_ms_per_image']}" if math.isfinite(latency) else "–",
                words.magnitude(row["params"]) + fronts["params"],
                f"{words.count(used)} MB" if math.isfinite(used) else "–",
            ]
            rows.append(line + ([words.money(row["seconds"], price_per_hour)] if price_per_hour else []))
            strategies.append(row["strategy"])
    return Section(
        conclusions,
        columns,
        rows,
        "With the most labels, the cheapest to train first. A star: nothing else is as cheap in this and at least "
        "as accurate (the Pareto front). Latency is that of one image at a time on one thread.",
        strategies,
    )


def _cost_conclusion(numbers: pd.DataFrame, price_per_hour: float) -> str:
    """What accuracy costs: the cheapest to train against the most accurate.

    Args:
        numbers: of ``figures.cost_numbers``, the cheapest first.
        price_per_hour: of the machine; 0: no money.
    """
    several = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    # The mean over the seeds that somebody survived is not comparable.
    numbers = numbers[numbers["seeds"] == numbers["seeds"].max()]
    cheapest, best = numbers.iloc[0], numbers[numbers["accuracy"] == numbers["accuracy"].max()].iloc[0]

    def name(row: pd.Series[Any]) -> str:
        return configuration_name(row["strategy"], row["backbone"], row["weights"], several)

    def cost(row: pd.Series[Any]) -> str:
        money = f", {words.money(row['seconds'], price_per_hour)} of money" if price_per_hour else ""
        return words.duration(row["seconds"]) + money

    if best.name == cheapest.name:
        rest = (
            " of all, and has the highest mean"
            if len(numbers) > 1
            else "; there is nothing to weigh it against"
        )
        return (
            f"{name(best)} is the cheapest to train{rest} ({words.percent(best['accuracy'])}, {cost(best)})."
        )
    lead = words.points(best["accuracy"] - cheapest["accuracy"])
    return (
        f"{name(best)}, which has the highest mean, takes {words.magnitude(best['seconds'] / cheapest['seconds'])} "
        f"times as long as {name(cheapest)}, the cheapest to train ({cost(best)} against {cost(cheapest)}), for "
        f"{lead} points more."
    )


OVERFITS = 0.1
"""A training accuracy so far above that on new images is called overfitting."""


def gaps_table(results: pd.DataFrame, curves: pd.DataFrame, several: bool) -> Section:
    """Accuracy in training, on validation and on test images, with the most labels: who overfits.

    Args:
        results, curves: the frames of ``tables``.
        several: whether there is more than one dataset.
    """
    numbers = gap_numbers(results, curves).dropna(subset=["train"])
    if numbers.empty:
        return Section(["Training curves were not recorded."])
    backbones = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    rows: list[list[str]] = []
    overfit, caught, kept = [], [], []
    for row in numbers.to_dict("records"):
        name = configuration_name(
            row["strategy"], row["backbone"], row["weights"], backbones, row["dataset"] if several else ""
        )
        gap = row["train"] - row["test"]
        if gap > OVERFITS:
            overfit.append(f"{name} ({words.points(gap)} points)")
        if row["kept"] > OVERFITS:
            kept.append(name)
        elif row["rise"] > OVERFITS:
            caught.append(name)
        rise = f"{row['rise']:+.0%}".replace("-", "−") if math.isfinite(row["rise"]) else "–"
        rows.append(
            [name, *(words.percent(row[key]) for key in ("train", "val", "test")), words.points(gap), rise]
        )
    conclusions = [
        f"Overfitting, more than {words.points(OVERFITS)} points from training to test images: "
        f"{words.some(overfit)}. More labels, stronger augmentation or fewer trained layers help there."
        if overfit
        else f"No sign of overfitting: training accuracy is nowhere more than {words.points(OVERFITS)} points "
        "above test."
    ]
    if caught:
        conclusions.append(
            f"After its best epoch the validation loss rose by more than a tenth: {words.some(caught)}. "
            "Early stopping has caught that; the refit trains no longer than the best epoch."
        )
    if kept:
        conclusions.append(
            "Without early stopping the validation loss ended more than a tenth above its lowest: "
            f"{words.some(kept)}. Fewer epochs may do better there, if those that validate are enough to tell."
        )
    return Section(
        conclusions,
        ["configuration", "training", "validation", "test", "gap", "validation loss after its best"],
        rows,
        "Means over seeds, with the most labels. Training and validation: the winning trial at the epoch that it "
        "kept, training accuracy with augmentation and dropout on. Test: the refit on all labels. Gap: training "
        "minus test, in points. Last: how far the validation loss stood above its lowest at the end of the trial.",
        numbers["strategy"].tolist(),
    )


def gap_numbers(results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds at the most labels of each configuration: accuracy in training (``train``), on validation
    (``val``) and on test images (``test``); by which share above its lowest the validation loss of the last stage
    ended (``rise``), and was at the epoch that was kept (``kept``). These two are not given without labels of the
    target: there the source validates, whose loss says nothing of it."""
    ok = results[(results["status"] == "ok") & results["cell_id"].isin(curves["cell_id"])]
    ok = ok[ok["fraction"] == ok.groupby("dataset")["fraction"].transform("max")]
    mine = curves[(curves["run"] == "search") & curves["cell_id"].isin(ok["cell_id"])]
    if mine.empty:
        return pd.DataFrame(columns=[*CONFIGURATION, "train", "val", "test", "rise", "kept"])
    points = mine.pivot_table(index=["cell_id", "stage", "epoch", "images"], columns="metric", values="value")
    points = points.reset_index().sort_values("images", kind="stable")
    points = points.reindex(
        columns=["cell_id", "stage", "epoch", "train_accuracy", "val_accuracy", "val_loss"]
    )
    last = points.groupby("cell_id")["stage"].transform("last")
    untrained = (points["epoch"] == 0) & (last == points.groupby("cell_id")["stage"].transform("first"))
    points = points[(points["stage"] == last) & ~untrained].merge(ok[["cell_id", "epochs"]], on="cell_id")
    best = points[points["epoch"] == points["epochs"]].groupby("cell_id").last()
    losses = points.groupby("cell_id")["val_loss"]
    cells = ok.set_index("cell_id")
    cells = cells.assign(
        train=best["train_accuracy"],
        val=best["val_accuracy"],
        test=cells["accuracy"],
        rise=(losses.last() / losses.min() - 1).where(cells["n"] > 0),
        kept=(best["val_loss"] / losses.min() - 1).where(cells["n"] > 0),
    )
    measured = ["train", "val", "test", "rise", "kept"]
    return cells.groupby(CONFIGURATION, sort=False)[measured].mean().reset_index()


def depends_on_labels(decisions: Sequence[Decision]) -> dict[str, str]:
    """By dataset (as ``answer.Answer`` calls it), whether who leads depends on the number of labels; of those with
    more than one label count.

    Args:
        decisions: of ``statistics.decide``.
    """
    found = {}
    for dataset in dict.fromkeys(decision.dataset for decision in decisions):
        mine = [decision for decision in decisions if decision.dataset == dataset]
        if len(mine) < 2:
            continue
        several = has_several(mine)
        counts: dict[str, list[str]] = {}
        for decision in mine:
            counts.setdefault(who(decision.leader, several), []).append(words.count(decision.n))
        settled = sum(decision.claim in ("better", "tied") for decision in mine)
        if len(counts) == 1:
            text = f"no: {next(iter(counts))} has the highest mean at all {len(mine)} label counts"
        else:
            leads = [f"{name} with {words.listed(at)}" for name, at in counts.items()]
            text = f"yes: the highest mean is that of {'; '.join(leads)} labels"
        sure = (
            "none of them" if not settled else "all" if settled == len(mine) else f"{settled} of {len(mine)}"
        )
        found[words.clean(dataset, 80)] = words.sentence(f"{text}; the answer is settled at {sure}.")
    return found


def standings_tables(results: pd.DataFrame) -> list[Section]:
    """Strategies over all datasets and backbones, and backbones over all datasets and strategies."""
    runs = runs_frame(results)
    found = [s for s in (standings(runs, "strategy"), standings(runs, "backbone")) if s is not None]
    sections = []
    for s in found:

        def name(text: str, what: str = s.what) -> str:
            return words.strategy_name(text) if what == "strategy" else words.clean(text, 60)

        best = s.rows[0]
        others = "backbone" if s.what == "strategy" else "strategy"
        rows = []
        for row in s.rows:
            interval = (
                f" ({words.percent(row.low)} to {words.percent(row.high)})" if math.isfinite(row.low) else ""
            )
            rows.append(
                [
                    name(row.name),
                    f"{row.rank:.1f}",
                    f"{row.first} of {s.contexts}",
                    words.percent(row.accuracy) + interval,
                ]
            )
        sections.append(
            Section(
                [
                    f"Over {s.contexts} combinations of dataset and {others}, {name(best.name)} has the best mean "
                    f"rank, {best.rank:.1f} of {len(s.rows)}, and is first in {best.first}."
                ],
                [s.what, "mean rank", "first", "interquartile mean accuracy"],
                rows,
                f"With the most labels of each dataset, over the combinations in which every {s.what} has a "
                "result. The interquartile mean leaves out the lowest and the highest quarter; its 95% interval "
                "covers seeds (stratified bootstrap), not other datasets.",
                [row.name for row in s.rows] if s.what == "strategy" else [],
            )
        )
    return sections


def _estimate(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "–"
    text = words.points(estimate.value, True)
    if math.isfinite(estimate.low):
        text += f" ({words.points(estimate.low, True)} to {words.points(estimate.high, True)})"
    return text


def labels_table(
    curves: Sequence[LabelCurve], reason: str, several: bool, region: float = EQUIVALENCE
) -> Section:
    """What more labels would bring, by configuration, and how far off the curves were when tested.

    Args:
        curves, reason: what ``labels.label_curves`` returned.
        several: whether there is more than one dataset.
        region: of practical equivalence.
    """
    if not curves:
        return Section([reason])
    backbones = several_backbones((curve.key[1], curve.key[2]) for curve in curves)

    def name(curve: LabelCurve) -> str:
        dataset, backbone, weights, strategy = curve.key
        return configuration_name(strategy, backbone, weights, backbones, dataset if several else "")

    def short(curve: LabelCurve) -> str:
        _, backbone, weights, strategy = curve.key
        return configuration_name(strategy, backbone, weights, backbones)

    def accuracy(p: Prediction) -> str:
        return f"{words.percent(p.value)} ({words.percent(p.low)} to {words.percent(p.high)})"

    rows, misses, inside = [], [], 0
    for curve in curves:
        most = curve.n[-1]
        target = curve.accuracy[-1] + 0.02
        needed = curve.needed(target) if target < 1 else None
        if needed is None:
            more = "–"
        elif math.isinf(needed.value):
            more = f"more than {words.count(most * FARTHEST)}"
        else:
            high = (
                f"more than {words.count(most * FARTHEST)}"
                if math.isinf(needed.high)
                else words.count(needed.high)
            )
            more = f"{words.count(needed.value)} ({words.count(needed.low)} to {high})"
        hidden = f"needs {MINIMUM_COUNTS + 1} label counts"
        if curve.back_test is not None:
            predicted, measured = curve.back_test
            hidden = f"{accuracy(predicted)}; measured {words.percent(measured)}"
            misses.append(abs(predicted.value - measured))
            inside += predicted.low <= measured <= predicted.high
        rows.append([name(curve), words.percent(curve.accuracy[-1]), accuracy(curve.predict(2 * most)),
                     accuracy(curve.predict(4 * most)), more, hidden])  # fmt: skip
    conclusions = []
    if misses:
        conclusions.append(
            f"Back-test: fitted without the most labels, the curves were off by {words.points(max(misses))} points "
            f"at worst there; {inside} of {len(misses)} intervals hold what was measured."
        )
    for dataset in dict.fromkeys(curve.key[0] for curve in curves):
        mine = [curve for curve in curves if curve.key[0] == dataset]
        best = max(mine, key=lambda curve: curve.predict(2 * curve.n[-1]).value)
        ahead = best.predict(2 * best.n[-1])
        of = dataset if several else ""
        conclusions.append(
            words.sentence(
                f"with twice the labels ({words.count(2 * best.n[-1])}), {short(best)} would reach about "
                f"{accuracy(ahead)}, {words.points(ahead.value - best.accuracy[-1], True)} points from now.",
                of,
            )
        )
        overtaken = _overtakings(mine, short, region)
        conclusions += [words.sentence(text, of) for text in overtaken[:OVERTAKINGS]]
        if len(overtaken) > OVERTAKINGS:
            conclusions.append(
                words.sentence(f"so it is with {len(overtaken) - OVERTAKINGS} more pairs, less surely.", of)
            )
    return Section(
        conclusions,
        [
            "strategy",
            "now",
            "with 2 times the labels",
            "with 4 times",
            "labels for 2 points more",
            "back-test",
        ],
        rows,
        "Curves fitted to accuracy against labels (power law, exponential or logarithm, whichever suits), with 95% "
        f"intervals, up to {FARTHEST:g} times the labels; the back-test hides the most labels and predicts them.",
        [curve.key[3] for curve in curves],
    )


OVERTAKINGS = 6
"""Of a dataset so many are told, the surest first."""


def _overtakings(curves: Sequence[LabelCurve], name: Callable[[LabelCurve], str], region: float) -> list[str]:
    """Who overtakes whom on the same backbone, more likely than not; the surest first."""
    found = []
    for first, second in itertools.permutations(curves, 2):
        crossed = crossing(first, second, region) if first.key[1] == second.key[1] else None
        if crossed is None or crossed[0] < 0.5 or crossed[1].high <= first.n[0]:
            continue
        share, place = crossed
        sure = "" if share > 0.95 else f"probably ({words.percent(share, 0)}) "
        beyond = ", more than were measured" if place.value > first.n[-1] else ""
        text = (
            f"{name(second)} {sure}overtakes {name(first)}, at about {words.count(place.value)} labels "
            f"({words.count(place.low)} to {words.count(place.high)}){beyond}."
        )
        found.append((share, text))
    return [text for _, text in sorted(found, key=lambda item: -item[0])]
