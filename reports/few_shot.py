"""How well are new classes told apart by a few labels each? The few-shot protocol: table, answer and method.

An accuracy is a mean over episodes and seeds. The episodes are the same for all, so differences are paired on them.
Intervals cover new episodes of these classes and, where a network was trained with three seeds or more, new
trainings; seeds and episodes are crossed random effects, as seeds and test images are elsewhere
(``reports.statistics``).
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.records import Record
from reports import words
from reports.answer import Answer
from reports.statistics import LEVEL, MINIMUM_SEEDS, Answers
from reports.tables import backbone_title, dataset_names, several_backbones, strategy_key

if TYPE_CHECKING:
    from rich.console import Group

FLOOR = "nearest_pixel"

CSV_COLUMNS = (
    "cell_id", "dataset", "backbone", "weights", "strategy", "seed", "ways", "shots", "scope", "episodes",
    "accuracy", "deviation", "verification_auc",
)  # fmt: skip
"""Of ``few_shot.csv``: one row a cell and setting."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """One configuration in one setting.

    Attributes:
        scope: ``all`` classes, or ``within`` one superclass an episode.
        seeds: how many were trained; 0: nothing is trained, so there is nothing to repeat.
        episodes: how many.
        low, high: of the 95% interval; below three seeds of the episodes alone.
        seconds: median of tuning and training.
        verification: chance that a pair of one class is nearer than a pair of two; mean over seeds, or NaN.
        values: accuracy by seed and episode; None without the file of episodes.
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
    seconds: float
    verification: float
    values: np.ndarray | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """The configuration."""
        return self.strategy, self.backbone, self.weights

    @property
    def setting(self) -> tuple[str, int, int]:
        return self.scope, self.ways, self.shots


def is_few_shot(records: Sequence[Record]) -> bool:
    """Whether these are records of the few-shot protocol."""
    return any(record.cell.get("few_shot") for record in records)


def measurements(records: Sequence[Record], directory: Path | None) -> list[Measurement]:
    """What was measured, by dataset, setting and strategy.

    Args:
        records: of a run of the few-shot protocol.
        directory: the run directory; without the files of episodes intervals are less exact.
    """
    names = dataset_names(records)
    groups: dict[tuple[str, str, str, str, int, int, str], list[tuple[Record, int]]] = {}
    for record in records:
        cell = record.cell
        for i, entry in enumerate(record.episodes if record.status == "ok" else []):
            key = (
                names[cell["fingerprint"]], cell["strategy"], cell["backbone"], cell["weights"],
                entry["ways"], entry["shots"], entry["scope"],
            )  # fmt: skip
            groups.setdefault(key, []).append((record, i))
    found = []
    for key, mine in groups.items():
        by_seed = [_values(record, i, directory) for record, i in mine]
        known = [values for values in by_seed if values is not None]
        values = np.stack(known) if len(known) == len(mine) and len({len(v) for v in known}) == 1 else None
        accuracy = float(np.mean([record.episodes[i]["accuracy"] for record, i in mine]))
        count = int(mine[0][0].cell["few_shot"]["episodes"])
        half = _half_width(mine, values, count)
        trained = any(record.costs.get("trainable_params") for record, _ in mine)
        seconds = [record.costs.get("total_seconds") or 0.0 for record, _ in mine]
        aucs = [record.metrics.get("verification_auc", math.nan) for record, _ in mine]
        found.append(
            Measurement(
                *key, len(mine) if trained else 0, count, accuracy, max(0.0, accuracy - half),
                min(1.0, accuracy + half), float(np.median(seconds)), float(np.mean(aucs)), values,
            )
        )  # fmt: skip
    return sorted(
        found,
        key=lambda m: (m.dataset, m.scope, m.ways, m.shots, strategy_key(m.strategy), m.backbone, m.weights),
    )


def _values(record: Record, place: int, directory: Path | None) -> np.ndarray | None:
    """Accuracy by episode, float64 (E,); None if it cannot be read."""
    if directory is None:
        return None
    path = directory / "predictions" / f"{record.cell_id}.npz"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return np.asarray(file["accuracies"][place], np.float64)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None


def _half_width(mine: Sequence[tuple[Record, int]], values: np.ndarray | None, count: int) -> float:
    if values is not None:
        return half_width(values)
    means = [record.episodes[i]["accuracy"] for record, i in mine]
    of_episodes = float(np.mean([record.episodes[i]["deviation"] for record, i in mine])) ** 2 / count
    of_seeds = float(np.var(means, ddof=1)) / len(means) if len(means) > 1 else 0.0
    return NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(of_episodes + of_seeds)


def half_width(values: np.ndarray) -> float:
    """Half the 95% interval of the mean of accuracies, or of differences, by seed and episode.

    Below three seeds only the episodes are taken to vary.
    """
    ids = np.arange(values.shape[1]).astype(str)
    answers = Answers(ids, values, None)
    if len(values) >= MINIMUM_SEEDS and np.ptp(values, axis=0).max() > 0:
        return answers.spread(values).half_width(LEVEL)
    return NormalDist().inv_cdf((1 + LEVEL) / 2) * answers.error(values.mean(axis=0))


def difference(first: Measurement, second: Measurement) -> tuple[float, float]:
    """The first's lead in accuracy, and half its 95% interval, paired on episodes and seeds; NaN without
    episodes."""
    lead = first.accuracy - second.accuracy
    if first.values is None or second.values is None or first.values.shape[1] != second.values.shape[1]:
        return lead, math.nan
    seeds = max(len(first.values), len(second.values))
    if min(len(first.values), len(second.values)) not in (1, seeds):
        return lead, math.nan
    return lead, half_width(first.values - second.values)  # what is not trained is the same for all seeds


def few_shot_answers(found: Sequence[Measurement], region: float) -> list[Answer]:
    """One a dataset, about the hardest setting: most classes, fewest labels.

    Args:
        found: of ``measurements``.
        region: a difference in accuracy within plus or minus this counts as none.
    """
    answers = []
    for dataset in dict.fromkeys(m.dataset for m in found):
        mine = [m for m in found if m.dataset == dataset]
        hardest = max((m.setting for m in mine if m.scope == "all"), key=lambda s: (s[1], -s[2]))
        several = several_backbones((m.backbone, m.weights) for m in mine)
        leader, *others = sorted((m for m in mine if m.setting == hardest), key=lambda m: -m.accuracy)
        sentences, claim = [], "alone"
        if others:
            said, claim = _lead(leader, others[0], region, several)
            sentences.append(said)
        floor = next((m for m in others if m.strategy == FLOOR), None)
        beside = f"Chance is {words.percent(1 / leader.ways)}"
        beside += f", {_who(floor, several)} reaches {words.percent(floor.accuracy)}" if floor else ""
        sentences.append(f"{beside}.")
        within = [m for m in mine if m.place == leader.place and m.setting == ("within", *hardest[1:])]
        if within:
            sentences.append(
                f"Among classes of one superclass, which are more alike, it reaches "
                f"{words.percent(within[0].accuracy)}."
            )
        if 0 < leader.seeds < MINIMUM_SEEDS:
            claim = "provisional"
            sentences.append(
                f"Only {words.plural(leader.seeds, 'seed')}: how much another training would differ is not known."
            )
        headline = (
            f"{words.capital(_who(leader, several))} tells {leader.ways} new classes apart by "
            f"{words.plural(leader.shots, 'label')} each with {words.percent(leader.accuracy)} accuracy "
            f"({words.percent(leader.low)} to {words.percent(leader.high)})."
        )
        answers.append(Answer(words.clean(dataset, 80), claim, headline, sentences))
    return answers


def _lead(leader: Measurement, other: Measurement, region: float, several: bool) -> tuple[str, str]:
    """What may be said of the two best, and the claim."""
    lead, half = difference(leader, other)
    who = f"{_who(other, several)} ({words.percent(other.accuracy)})"
    if not math.isfinite(half):
        return f"The next is {who}; whether the difference is real cannot be said.", "undecided"
    interval = f"{words.points(lead - half, True)} to {words.points(lead + half, True)} points"
    if lead + half < region:
        return f"It is tied with {who}: the difference is {interval}.", "tied"
    if lead > half:
        return f"The next is {who}; the lead, on the same episodes, is {interval}.", "better"
    return f"It is not told apart from {who}: the difference is {interval}.", "undecided"


def _who(m: Measurement, several: bool) -> str:
    name = words.strategy_name(m.strategy)
    return f"{name} on {backbone_title(m.backbone, m.weights)}" if several and m.backbone else name


def few_shot_tables(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """One table a dataset, in the form of ``html.summary_table``: configurations by settings, the best marked."""
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
            rows.append((place[0], words.capital(_who(first, several)), [*cells, same]))
        chance = [{"main": words.percent(1 / ways), "sub": "", "best": False} for _, ways, _ in settings]
        rows.append(("chance", "Chance", [*chance, {"main": "0.500", "sub": "", "best": False}]))
        tables.append(
            {
                "title": words.clean(dataset, 60),
                "columns": [*map(setting_title, settings), "same or not (AUC)"],
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
    interval = f"{words.percent(m.low)} to {words.percent(m.high)}"
    seeds = words.plural(m.seeds, "seed") if m.seeds else "nothing trained"
    return {"main": words.percent(m.accuracy), "sub": f"{interval} · {seeds}", "best": m.accuracy == best}


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
            "verification_auc": record.metrics.get("verification_auc", math.nan),
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
        "the test part; the source has none of its classes, and no image in a group with one of its images.",
        "Episodes: some of the new classes, some labelled images of each (shots) and others to be classified. They "
        "are drawn at random, the same for every strategy and seed. No group gives labelled images and others in "
        "one episode.",
        "Within: all classes of an episode are of one superclass, which is what stands before the last / of a "
        "class's name. Superclasses with too few classes give no such episodes.",
        "Tuning: a fifth of the source's classes is held out, drawn for each seed; hyperparameters and the number "
        "of epochs are those that are best in episodes of these. The best is trained again on all classes of the "
        "source. Features that are not trained are standardised by images of the source.",
        "Intervals are of 95% and cover new episodes of these classes and, from three seeds on, new trainings. "
        "What other new classes would bring they do not say. What trains nothing is the same for all seeds and "
        "runs once.",
        "Same or not: the chance that two images of one new class are nearer to each other than two images of two "
        "classes, over pairs of images of different groups.",
    ]
    source = run_info.get("source_dataset") or {}
    if source:
        left = sum(target["left_out"] for target in source.get("targets", {}).values())
        lines.append(
            f"Source: {words.clean(source['name'], 60)}, {words.count(source['n'])} labelled images; "
            f"{words.count(left)} of them were left out for images of the new classes that they share a group with."
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
