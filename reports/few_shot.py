"""How well are new classes told apart by a few labels each? The few-shot protocol: table, answer and method.

An accuracy is a mean over episodes and seeds. Episodes use the same images again and again; what is a sample is the
new classes. Intervals cover other classes like these and, where a network was trained or tuned with three seeds or
more, new trainings: seeds and classes are crossed random effects, as seeds and test images are elsewhere
(``reports.statistics``), and of few classes t has few degrees of freedom. The episodes are the same for all, so
differences are paired on classes and seeds.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.records import Record
from reports import words
from reports.answer import Answer, absence
from reports.statistics.answers import Answers
from reports.statistics.decisions import Decision, decide_among
from reports.statistics.intervals import LEVEL, MINIMUM_SEEDS
from reports.statistics.missing import Missing
from reports.statistics.pairs import Comparison, Measured
from reports.tables import configuration_name, dataset_names, several_backbones, strategy_key

if TYPE_CHECKING:
    from rich.console import Group

FLOOR = "nearest_pixel"

CSV_COLUMNS = (
    "cell_id", "dataset", "backbone", "weights", "strategy", "seed", "ways", "shots", "scope", "episodes",
    "accuracy", "deviation", "by_episodes", "verification_auc", "total_seconds",
)  # fmt: skip
"""Of ``few_shot.csv``: one row a cell and setting; ``by_episodes`` is of ``by_episodes()``."""


@dataclass(frozen=True)
class Shares(Answers):
    """The share of right answers by class, in place of answers by image: ``ids`` are classes.

    Attributes:
        images: how many the classes have.
    """

    images: int = 1

    @property
    def size(self) -> int:
        return self.images

    @property
    def degrees(self) -> float:
        return self.right.shape[1] - 1


class MeasuredByClass(Measured):
    """One configuration in one setting.

    Args:
        cells: as for ``Measured``, by seed; ``n_test`` is NaN where no shares are known: so are intervals then.
        shares: by class, of each seed.
    """

    def __init__(self, cells: pd.DataFrame, shares: dict[int, Answers]) -> None:
        super().__init__(cells, None)
        self.shares = shares

    @cached_property
    def _by_seed(self) -> dict[int, Answers]:
        return self.shares

    @property
    def half_width(self) -> float:
        """Half the 95% interval of the accuracy; NaN without shares."""
        answers = self.answers(self.cells.index)
        if answers is None:
            return math.nan
        right = answers.right
        if len(right) < MINIMUM_SEEDS:  # only the classes are taken to vary
            right = np.repeat(right.mean(axis=0, keepdims=True), MINIMUM_SEEDS, axis=0)
        return answers.spread(right, answers.unseen_accuracy()).half_width(LEVEL)


@dataclass(frozen=True, eq=False)
class Measurement:
    """One configuration in one setting.

    Attributes:
        scope: ``all`` classes, or ``within`` one superclass an episode.
        seeds: how many were trained or tuned; 0: nothing is, so there is nothing to repeat.
        episodes: how many.
        low, high: of the 95% interval; below three seeds of the classes alone; NaN without the files of shares.
        by_episodes: half the 95% interval of the drawing of episodes alone; mean over seeds.
        seconds: median of tuning and training.
        verification: chance that a pair of one class is nearer than a pair of two; mean over seeds, or NaN.
        measured: by seed and class.
    """

    dataset: str
    strategy: str
    backbone: str
    weights: str
    ways: int
    shots: int
    scope: str
    seeds: int
    episodes: int
    accuracy: float
    low: float
    high: float
    by_episodes: float
    seconds: float
    verification: float
    measured: MeasuredByClass

    @property
    def place(self) -> tuple[str, str, str]:
        """The configuration."""
        return self.strategy, self.backbone, self.weights

    @property
    def setting(self) -> tuple[str, int, int]:
        return self.scope, self.ways, self.shots


def by_episodes(deviation: float, episodes: int) -> float:
    """Half the 95% interval that papers give: that of the drawing of episodes alone, of these classes, their images
    and one training; it says nothing of other classes."""
    return 1.96 * deviation / math.sqrt(episodes)


def is_few_shot(records: Sequence[Record]) -> bool:
    """Whether these are records of the few-shot protocol."""
    return any(record.cell.get("few_shot") for record in records)


def measurements(records: Sequence[Record], directory: Path | None) -> list[Measurement]:
    """What was measured, by dataset, setting and strategy.

    Args:
        records: of a run of the few-shot protocol.
        directory: the run directory; without its files there are no intervals.
    """
    names = dataset_names(records)
    groups: dict[tuple[str, str, str, str, int, int, str], dict[int, tuple[Record, int]]] = {}
    repeated: dict[str, set[int]] = {}
    for record in sorted(records, key=lambda record: record.cell["seed"]):
        cell = record.cell
        for i, entry in enumerate(record.episodes if record.status == "ok" else []):
            key = (
                names[cell["fingerprint"]], cell["strategy"], cell["backbone"], cell["weights"],
                entry["ways"], entry["shots"], entry["scope"],
            )  # fmt: skip
            groups.setdefault(key, {})[cell["seed"]] = record, i
            if _differs_by_seed(record):
                repeated.setdefault(key[0], set()).add(cell["seed"])
    found = []
    for key, by_seed in groups.items():
        mine, seeds = [record for record, _ in by_seed.values()], len(by_seed)
        if not any(map(_differs_by_seed, mine)):
            # It would be the same with any seed.
            first = next(iter(by_seed.values()))
            by_seed, seeds = dict.fromkeys(repeated.get(key[0], range(MINIMUM_SEEDS)), first), 0
        measured = _measured(by_seed, directory)
        half, accuracy = measured.half_width, measured.accuracy
        low, high = (accuracy - half, accuracy + half) if math.isfinite(half) else (math.nan, math.nan)
        seconds = [record.costs.get("total_seconds") or 0.0 for record in mine]
        episodes = int(mine[0].cell["few_shot"]["episodes"])
        drawn = [by_episodes(r.episodes[i]["deviation"], episodes) for r, i in by_seed.values()]
        aucs = [record.metrics.get("verification_auc", math.nan) for record in mine]
        found.append(
            Measurement(
                *key, seeds, episodes, accuracy, max(low, 0.0), min(high, 1.0), float(np.mean(drawn)),
                float(np.median(seconds)), float(np.mean(aucs)), measured,
            )
        )  # fmt: skip
    return sorted(
        found,
        key=lambda m: (m.dataset, m.scope, m.ways, m.shots, strategy_key(m.strategy), m.backbone, m.weights),
    )


def _differs_by_seed(record: Record) -> bool:
    """Whether anything was trained, or chosen on classes that are held out for the seed."""
    return bool(record.costs.get("trainable_params")) or len(record.trials) > 1


def _measured(by_seed: dict[int, tuple[Record, int]], directory: Path | None) -> MeasuredByClass:
    found = {seed: _shares(record, i, directory) for seed, (record, i) in by_seed.items()}
    shares: dict[int, Answers] = {seed: share for seed, share in found.items() if share is not None}
    known = len(shares) == len(found)
    rows = [
        {
            "seed": seed,
            **{key: record.cell[key] for key in ("strategy", "backbone", "weights")},
            "accuracy": record.episodes[i]["accuracy"],
            "n_test": record.n_test if known else math.nan,
            **{key: record.costs.get(key) for key in ("total_seconds", "inference_ms_per_image", "params")},
        }
        for seed, (record, i) in sorted(by_seed.items())
    ]
    numbers = {"total_seconds": float, "inference_ms_per_image": float, "params": float}
    return MeasuredByClass(pd.DataFrame(rows).set_index("seed").astype(numbers), shares if known else {})


def _shares(record: Record, place: int, directory: Path | None) -> Shares | None:
    """Of one cell in one setting; None if they cannot be read.

    Each class weighs as many queries as it had: its share is moved away from the mean by as much, so that the mean
    over classes is the accuracy, and their spread that of a weighted mean.
    """
    if directory is None:
        return None
    path = directory / "predictions" / f"{record.cell_id}.npz"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            share = np.asarray(file["class_accuracies"][place], np.float64)
            weights = np.asarray(file["class_weights"][place], np.float64)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None
    classes = np.flatnonzero(weights)
    share, weights = share[classes], weights[classes] / weights.sum()
    mean = float(weights @ share)
    right = mean + len(classes) * weights * (share - mean)
    return Shares(classes.astype(str), right[None], None, int(record.n_test or 1))


def decided(found: Sequence[Measurement], region: float) -> Decision:
    """What may be said of the configurations in one setting of one dataset; at least one."""
    return decide_among([m.measured for m in found], region, found[0].dataset, 0.0)


def few_shot_answers(
    found: Sequence[Measurement], region: float, missing: Missing | None = None
) -> list[Answer]:
    """One a dataset, about the hardest setting: most classes, fewest labels.

    Args:
        found: of ``measurements``.
        region: a difference in accuracy within plus or minus this counts as none.
        missing: what of the run has no result; None: nothing is.
    """
    answers = []
    for dataset in dict.fromkeys(m.dataset for m in found):
        mine = [m for m in found if m.dataset == dataset]
        hardest = max((m.setting for m in mine if m.scope == "all"), key=lambda s: (s[1], -s[2]))
        several = several_backbones((m.backbone, m.weights) for m in mine)
        there = {m.place: m for m in mine if m.setting == hardest}
        decision = decided([*there.values()], region)
        if missing is not None:
            decision = replace(decision, absent=missing.at(dataset))
        chosen, leader = (
            there[c.strategy, c.backbone, c.weights] for c in (decision.recommended, decision.leader)
        )
        best = chosen if decision.claim == "tied" else leader
        sentences = [
            _compared(comparison, there, several) for comparison in _told(decision)
        ]  # the leader's lead over others
        sentences += _choice(decision, chosen, leader, several)
        if decision.absent:
            sentences.append(f"{words.capital(absence(decision))}.")
        floor = next((m for m in there.values() if m.strategy == FLOOR and m is not best), None)
        beside = f"Chance is {words.percent(1 / best.ways)}"
        beside += f", {_who(floor, several)} reaches {words.percent(floor.accuracy)}" if floor else ""
        sentences.append(f"{beside}.")
        within = [m for m in mine if m.place == best.place and m.setting == ("within", *hardest[1:])]
        if within:
            sentences.append(
                f"Among classes of one superclass, which are more alike, it reaches "
                f"{words.percent(within[0].accuracy)}."
            )
        interval = f" ({words.percent(best.low)} to {words.percent(best.high)})"
        headline = (
            f"{words.capital(_who(best, several))} tells {best.ways} new classes apart by "
            f"{words.plural(best.shots, 'label')} each with {words.percent(best.accuracy)} accuracy"
            f"{interval if math.isfinite(best.low) else ''}."
        )
        doubt = {
            "provisional": "Provisionally: ",
            "undecided": "Undecided: ",
            "incomplete": "Not all has a result. Of what has: ",
        }.get(decision.claim, "")
        answers.append(Answer(words.clean(dataset, 80), decision.claim, doubt + headline, sentences))
    return answers


TOLD = 3
"""Comparisons of the leader that an answer tells, at most."""


def _told(decision: Decision) -> list[Comparison]:
    """The closest of what is not settled; if all is, the closest."""
    open_ = [c for c in decision.comparisons if c.verdict != "better"]
    return (open_ or list(decision.comparisons[:1]))[:TOLD]


def _compared(comparison: Comparison, there: dict[Any, Measurement], several: bool) -> str:
    """What may be said of the leader and another."""
    c = comparison.candidate
    other = there[c.strategy, c.backbone, c.weights]
    who = f"{_who(other, several)} ({words.percent(other.accuracy)})"
    interval = f"{words.points(comparison.low, True)} to {words.points(comparison.high, True)} points"
    if not math.isfinite(comparison.low):
        return f"Near the best is {who}; whether the difference is real cannot be said."
    return {
        "tied": f"The best is tied with {who}: the difference is {interval}.",
        "better": f"It is better than all others; the next is {who}, and the lead on the same episodes {interval}.",
    }.get(comparison.verdict, f"The best is not told apart from {who}: the difference is {interval}.")


def _choice(decision: Decision, chosen: Measurement, leader: Measurement, several: bool) -> list[str]:
    """What the claim means for whoever has to choose."""
    if decision.claim == "tied" and chosen is not leader:
        return [
            f"It is as good as the best, {_who(leader, several)} ({words.percent(leader.accuracy)}), and cheaper: "
            f"{words.duration(chosen.seconds)} instead of {words.duration(leader.seconds)}."
        ]
    if decision.claim == "provisional":
        seeds = words.plural(decision.leader.seeds, "seed")
        return [f"Only {seeds}: how much another training would differ is not known."]
    return []


def _who(m: Measurement, several: bool) -> str:
    return configuration_name(m.strategy, m.backbone, m.weights, several)


def few_shot_tables(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """One table a dataset, in the form of ``html.summary_tables``: configurations by settings, the best marked."""
    tables = []
    for dataset in dict.fromkeys(m.dataset for m in found):
        mine = [m for m in found if m.dataset == dataset]
        settings = sorted({m.setting for m in mine})
        best = {s: max(m.accuracy for m in mine if m.setting == s) for s in settings}
        several = several_backbones((m.backbone, m.weights) for m in mine)
        rows = []
        for place in sorted(
            {m.place for m in mine}, key=lambda p: (p[0] == FLOOR, strategy_key(p[0]), *p[1:])
        ):
            of_place = {m.setting: m for m in mine if m.place == place}
            cells = [_cell(of_place.get(s), best[s]) for s in settings]
            first = next(iter(of_place.values()))
            auc = first.verification
            same = {"main": f"{auc:.3f}" if math.isfinite(auc) else "–", "sub": "", "best": False}
            cost = {"main": words.duration(first.seconds), "sub": "", "best": False}
            rows.append((place[0], words.capital(_who(first, several)), [*cells, same, cost]))
        chance = [{"main": words.percent(1 / ways), "sub": "", "best": False} for _, ways, _ in settings]
        rows.append(
            ("chance", "Chance", [*chance, *({"main": x, "sub": "", "best": False} for x in ("0.500", "–"))])
        )
        tables.append(
            {
                "title": words.clean(dataset, 60),
                "columns": [*map(setting_title, settings), "same or not (AUC)", "to tune and train"],
                "rows": rows,
            }
        )
    return tables


def setting_title(setting: tuple[str, int, int]) -> str:
    """``20-way 1-shot``, and ``20-way 1-shot, within``."""
    scope, ways, shots = setting
    return f"{ways}-way {shots}-shot" + (", within" if scope == "within" else "")


def _cell(m: Measurement | None, best: float) -> dict[str, Any]:
    if m is None:
        return {"main": "–", "sub": "", "best": False}
    interval = f"{words.percent(m.low)} to {words.percent(m.high)}" if math.isfinite(m.low) else "no interval"
    seeds = words.plural(m.seeds, "seed") if m.seeds else "nothing trained"
    episodes = f"± {words.points(m.by_episodes)} by episodes"
    sub = f"{interval} · {seeds} · {episodes}"
    return {"main": words.percent(m.accuracy), "sub": sub, "best": m.accuracy == best}


def few_shot_frame(records: Sequence[Record]) -> pd.DataFrame:
    """``few_shot.csv``: raw numbers, one row a cell and setting."""
    names = dataset_names(records)
    rows = [
        {
            "cell_id": record.cell_id,
            "dataset": names[record.cell["fingerprint"]],
            **{key: record.cell[key] for key in ("backbone", "weights", "strategy", "seed")},
            **entry,
            "episodes": record.cell["few_shot"]["episodes"],
            "by_episodes": by_episodes(entry["deviation"], record.cell["few_shot"]["episodes"]),
            "verification_auc": record.metrics.get("verification_auc", math.nan),
            "total_seconds": record.costs.get("total_seconds"),
        }
        for record in records
        for entry in record.episodes
    ]
    return pd.DataFrame(rows, columns=list(CSV_COLUMNS))


def few_shot_terminal(found: Sequence[Measurement]) -> Group:
    """For the terminal: one ``rich`` table a dataset."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    tables = []
    for content in few_shot_tables(found):
        table = Table(title=Text(content["title"], style="bold"), title_justify="left")
        table.add_column("accuracy in episodes", no_wrap=True)
        for column in content["columns"]:
            table.add_column(Text(column), justify="right")
        for _, name, cells in content["rows"]:
            table.add_row(Text(name), *(Text(cell["main"]) for cell in cells))
        tables.append(table)
    return Group(*tables)


def few_shot_method(records: Sequence[Record], run_info: dict[str, Any]) -> list[str]:
    """The protocol in plain words, with the settings of this run."""
    lines = [
        "New classes: all classes of the dataset. Nothing is learned or tuned on any of its images, of the pool or "
        "the test part.",
        "Episodes: some of the new classes, some labelled images of each (shots) and others to be classified. They "
        "are drawn at random, the same for every strategy and seed. No group gives labelled images and others in "
        "one episode, and the labelled images of a class come from as few groups as possible.",
        "Within: all classes of an episode are of one superclass, which is what stands before the last / of a "
        "class's name. Superclasses with too few classes give no such episodes.",
        "Intervals are of 95% and cover other new classes like these and, from three seeds on, new trainings. "
        "Episodes reuse the same images, so more of them do not narrow an interval: more classes do. What neither "
        "trains nor tunes anything is the same for all seeds and runs once.",
        "By episodes: 1.96 standard deviations over episodes, divided by the root of their number. That is what "
        "papers give, and what their numbers can be set beside: the drawing of episodes alone, of these classes "
        "and one training.",
        "Claims are about the leader against all others, paired on seeds and classes and corrected for all pairs "
        "(Holm, or where that is less the studentized range); below "
        f"{MINIMUM_SEEDS} seeds nothing is claimed.",
        "Same or not: the chance that two images of one new class are nearer to each other than two images of two "
        "classes, over pairs of images of different groups.",
        "Cost: seconds to tune and train once (the median seed) on the machine of the run.",
    ]
    source = run_info.get("source_dataset") or {}
    if source:
        left = sum(target["left_out"] for target in source.get("targets", {}).values())
        lines += [
            f"Source: {words.clean(source['name'], 60)}, {words.count(source['n'])} labelled images of other "
            f"classes; {words.count(left)} of them were left out for images of the new classes that they share a "
            "group with.",
            "Tuning: a fifth of the source's superclasses is held out whole, drawn for each seed, or where it has "
            "fewer than five a fifth of its classes; hyperparameters and the number of epochs are those that are "
            "best in episodes of these. The best is trained again on all classes of the source. Features that are "
            "not trained are standardised by images of the source.",
        ]
    else:
        lines.append(
            "Tuning: there is no source, so nothing was trained, and hyperparameters are the defaults."
        )
    if records:
        cell, few = records[0].cell, records[0].cell["few_shot"]
        lines.append(
            words.clean(
                f"This run: {few['episodes']} episodes of each kind, {few['queries']} images of each class at most "
                f"to be classified; {cell['modality']}s of {cell['image_size']} pixels ({cell['resizing']}), "
                f"augmentation {cell['augmentation']}{' with' if cell['flip'] else ' without'} mirroring, "
                f"{cell['tuning']['trials']} trials by {cell['tuning']['algorithm']} search, at most "
                f"{cell['epochs']} epochs, batches of {cell['batch_size']}, {cell['precision']} on "
                f"{cell['backend']}."
            )
        )
    return lines
