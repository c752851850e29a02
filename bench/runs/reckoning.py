"""What a cell will take, reckoned from a few timed batches and from how its strategy trains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

from bench.modalities.registry import modality, size_of
from bench.plans.given import EXAMPLE, Declared
from bench.plans.protocol import protocol
from bench.plans.strategies import get_strategy
from bench.records import Cell
from bench.system import cache as stored
from strategies.base import Stage, Strategy
from strategies.lengths import batch_size_of, epochs_of, steps_an_epoch
from strategies.metric import MetricLearning
from strategies.on_features import OnFeatures

TIMED_BATCH = 16
"""Examples of a batch that is timed; what few labels are trained in."""
GROWTH = 0.85
"""With which power of its size a step becomes longer, as far as it is not timed."""
BATCH_NORM = 1.65
"""How much longer a step takes, and BATCH_NORM_TRACING its tracing, where batch normalisation trains."""
BATCH_NORM_TRACING = 2.2
STATISTICS = 2.0
"""Passes that one takes in which statistics of batch normalisation are estimated."""
AGAIN = 0.5
"""The share of the tracing of a step that each further size of batches takes; the rest is taken once."""
EVALUATION_BATCH = 64
POINTS = 12
STATISTICS_EXAMPLES = SIMILARITY_EXAMPLES = 256
"""How training evaluates, see ``bench.training.loop`` and ``bench.training.stages``."""
EAGER = 1.5
"""Passes that one takes which is not compiled, as those that measure similarity."""
VIEWS = 2
JUDGED = 200
"""See ``bench.training.prefixes`` and ``bench.protocols.few_shot.held_out``."""
HEAD_STEP = 1e-3
"""Seconds of a step of a head on stored features, with all that is around it."""
CLASSES = 10
"""How many a dataset is taken to have where that matters little."""
EPISODE = 1.5e-3
"""Seconds of an episode, and SOLVED_EPISODE of one in which a linear model is solved."""
SOLVED_EPISODE = 1.3e-2
SOLVING = 6e-8
"""Seconds that a linear model takes to be solved, for each feature of each example and class."""
CELL = 1.0
"""Seconds of a cell beside all that."""


@dataclass(frozen=True)
class Timing:
    """What a few batches of a backbone took. Times are seconds; an answer to ``jobs.TimeBatches``.

    Attributes:
        building: of the backbone without weights.
        forward_tracing, tracing: of a pass, and of a training step of the whole with all that belongs to it.
        forward: a pass, an example.
        steps: sizes of batches, each with what a training step of the whole takes, batch normalisation frozen.
        resetting: writing all weights.
        batch_norm: whether it has batch normalisation.
        width: of its features.
        shares: of a pass that lie above each cut, from the top downward.
        row_bytes: of what crosses each of these cuts, an example.
    """

    building: float
    forward_tracing: float
    tracing: float
    forward: float
    steps: Sequence[tuple[int, float]]
    resetting: float
    batch_norm: bool
    width: int
    shares: Sequence[float]
    row_bytes: Sequence[int]

    def step(self, batch: int) -> float:
        """A training step of the whole in batches of this size."""
        (size, seconds), *more = self.steps
        if not more:
            return float(seconds * (batch / size) ** GROWTH)
        (larger, longer) = more[-1]
        each = max(0.0, (longer - seconds) / (larger - size))
        return float(max(seconds + each * (batch - size), seconds * min(1.0, batch / size)))

    def above(self, cut: str | float) -> int:
        """How many blocks lie above a stage's cut; see ``bench.backbones.cuts.cut_at``."""
        blocks = len(self.shares) - 1
        if isinstance(cut, str):
            return {"top": 0, "input": blocks}[cut]
        return min(max(round(cut * blocks), 1), max(blocks - 1, 1))


@dataclass
class Counts:
    """Examples of a cell: labelled ones, those of its source, of the pool and of the test part."""

    n: int
    n_source: int
    n_pool: int
    n_test: int


@dataclass
class Bill:
    """What a cell takes.

    Attributes:
        own: seconds that it takes in any case.
        shared: by key, what only the first of the cells pays that have it: seconds of all of it, and how much of it
            this cell needs.
    """

    own: float = 0.0
    shared: dict[tuple[Any, ...], tuple[float, float]] = field(default_factory=dict)

    def share(self, key: tuple[Any, ...], seconds: float, share: float = 1.0) -> None:
        """Adds something shared; what is there already is needed once."""
        before = self.shared.get(key, (0.0, 0.0))
        self.shared[key] = max(before[0], seconds), max(before[1], min(share, 1.0))


def together(bills: Iterable[tuple[Bill, int]]) -> float:
    """Seconds of cells one after the other, each with its seed.

    Labels of one seed are nested: what the largest share of them needs is enough for the others. Those of other
    seeds are others, by chance.
    """
    own = 0.0
    seconds: dict[tuple[Any, ...], float] = {}
    needed: dict[tuple[Any, ...], dict[int, float]] = {}
    for bill, seed in bills:
        own += bill.own
        for key, (price, share) in bill.shared.items():
            seconds[key] = max(seconds.get(key, 0.0), price)
            by_seed = needed.setdefault(key, {})
            by_seed[seed] = max(by_seed.get(seed, 0.0), share)
    left = {key: math.prod(1 - share for share in by_seed.values()) for key, by_seed in needed.items()}
    return own + sum(price * (1 - left[key]) for key, price in seconds.items())


def can_reckon(cell: Cell) -> bool:
    """Whether it is known how a cell of this strategy trains."""
    strategy = get_strategy(cell.strategy)
    if isinstance(strategy, OnFeatures | MetricLearning) or not protocol(cell.protocol).shares_labels:
        return True
    return type(strategy).fit is Strategy.fit and bool(trials_of(cell)[0].stages)


def is_skipped(cell: Cell, counts: Counts) -> bool:
    """Whether the strategy of a cell will say that it cannot run, as far as that is known beforehand."""
    info = replace(
        EXAMPLE,
        n=counts.n,
        has_weights=bool(cell.weights) and cell.weights != "none",
        image_size=size_of(cell.examples, cell.modality),
        has_source="source" in cell.companions,
        has_auxiliary="auxiliary" in cell.companions,
        few_shot=not protocol(cell.protocol).shares_labels,
    )
    try:
        return get_strategy(cell.strategy).skip(info) is not None
    except Exception:  # the code of others may need to know more
        return False


def reckon(cell: Cell, timing: Timing | None, counts: Counts) -> Bill:
    """What a cell takes that has this backbone and so many examples; its seed makes no difference."""
    reckoning = _Reckoning(cell, timing, counts)
    reckoning.add()
    return reckoning.bill


# --- what is trained ------------------------------------------------------------------------------------------


class _Point(Declared):
    """One point of a search: of each choice the value of this number, the default first."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.points = number, 1.0

    def Float(self, name: str, min_value: float, max_value: float, **options: Any) -> Any:
        self.points *= 1 if name in self.values else math.inf
        return super().Float(name, min_value, max_value, **options)

    def Int(self, name: str, min_value: int, max_value: int, **options: Any) -> Any:
        self.points *= 1 if name in self.values else max_value - min_value + 1
        return super().Int(name, min_value, max_value, **options)

    def Choice(self, name: str, values: Sequence[Any], **options: Any) -> Any:
        self.points *= 1 if name in self.values else len(values)
        default = options.get("default", values[0])
        ordered = [default, *(value for value in values if value != default)]
        return super().Choice(name, values, **{**options, "default": ordered[self.number % len(ordered)]})


class Trial(NamedTuple):
    """What a trial trains: its stages, none where it trains no network, and its hyperparameters."""

    stages: tuple[Stage, ...]
    values: dict[str, Any]


def trials_of(cell: Cell) -> list[Trial]:
    """The trials of a cell: the defaults, then others like those that a search would try.

    The defaults are there without a search, too: the refit takes them."""
    searched = [value for value in cell.head.values() if isinstance(value, list)]
    heads = math.prod(map(len, searched)) if cell.backbone else 1
    return _trials(cell.strategy, cell.protocol, max(1, cell.tuning["trials"]), heads)


@cache
def _trials(strategy_text: str, protocol_name: str, most: int, heads: int) -> list[Trial]:
    strategy = get_strategy(strategy_text)
    found, points, number = [], math.inf, 0
    while number < min(most, points):
        point = _Point(number)
        point.values.update(strategy.fixed)
        protocol(protocol_name).declare(strategy, point)
        points = point.points * heads
        found.append(Trial(_stages(strategy, point), point.values))
        number += 1
    return found


def _stages(strategy: Strategy, point: _Point) -> tuple[Stage, ...]:
    try:
        return tuple(strategy.stages(point, EXAMPLE))
    except Exception:  # the code of others may need more than names and defaults; some train no stages
        return ()


# --- what that takes ------------------------------------------------------------------------------------------


class _Reckoning:
    """Adds what one cell takes to its bill.

    Args:
        cell: which.
        timing: of its backbone; None if it has none.
        counts: of its examples.
    """

    def __init__(self, cell: Cell, timing: Timing | None, counts: Counts) -> None:
        self.cell, self.counts, self.bill = cell, counts, Bill()
        self.strategy = get_strategy(cell.strategy)
        self.settings = cell.protocol_settings
        self._timing = timing
        self.augments = bool(modality(cell.modality).augmentation(cell.examples))

    @property
    def timing(self) -> Timing:
        assert self._timing is not None
        return self._timing

    def add(self) -> None:
        if self.few_shot:
            self._add_episodes()
        if self._timing is None:
            return
        self.bill.own += CELL
        self._once("network", self.timing.building + self.timing.forward_tracing)
        if isinstance(self.strategy, MetricLearning):
            self._add_embeddings()
        elif isinstance(self.strategy, OnFeatures) or self.few_shot:
            self._add_features()
        else:
            self._add_stages()

    @property
    def default(self) -> Trial:
        """What the refit is taken to train."""
        return trials_of(self.cell)[0]

    @property
    def searched(self) -> list[Trial]:
        """What the search trains."""
        return trials_of(self.cell)[: self.cell.tuning["trials"]]

    @property
    def few_shot(self) -> bool:
        return not protocol(self.cell.protocol).shares_labels

    def _once(self, what: str, seconds: float, *more: object, share: float = 1.0) -> None:
        """Adds what all cells share that have this backbone and ``more`` in common."""
        cell = self.cell
        key = (what, cell.backbone, cell.weights_sha256, size_of(cell.examples, cell.modality), *more)
        self.bill.share(key, seconds, share)

    # --- stages

    def _add_stages(self) -> None:
        searched: set[tuple[Stage, ...]] = set()
        for trial in self.searched:
            for last, stage in enumerate(trial.stages, 1):
                before = trial.stages[:last]
                if last < len(trial.stages) and before in searched:  # a warm start of an earlier trial
                    continue
                searched.add(before)
                self._add_stage(stage, validates=True)
        stages = self.default.stages
        for stage in stages:
            self._add_stage(stage, validates=False)
        self.bill.own += self._passes(self.counts.n_test, stages[-1].cut)
        if any(stage.cut != "top" for stage in stages) and stages[0].weights == "pretrained":
            self.bill.own += 2 * EAGER * min(self.counts.n, SIMILARITY_EXAMPLES) * self.timing.forward
        if stages[0].weights == "random":
            self.bill.own += self.timing.building

    def _add_stage(self, stage: Stage, validates: bool) -> None:
        """Adds the training of a stage, in the search (which validates) or in the refit."""
        cell, counts, timing = self.cell, self.counts, self.timing
        has_source = stage.data != "target"
        validates_source = validates and not counts.n
        n = round(counts.n * (0.8 if validates else 1))
        n_source = round(counts.n_source * (0.8 if validates_source else 1))
        labels = {"target": n, "source": n_source, "both": n + n_source}[stage.data]
        size = batch_size_of(stage, counts.n, cell.batch_size, counts.n_source)
        epochs = epochs_of(stage, labels, size, cell.epochs, cell.length)
        steps = epochs * steps_an_epoch(labels, size)
        whole = size * (1 + (stage.align != "none") + self._beside(stage))
        self._add_graph(stage, whole)
        self._add_rows(stage.cut, n, from_source=has_source, augmented=self.augments)
        trains_norm = stage.batch_norm == "trained" and timing.batch_norm
        if stage.cut == "top":
            self.bill.own += steps * HEAD_STEP
        else:
            step = timing.step(whole) * timing.shares[timing.above(stage.cut)]
            self.bill.own += steps * (
                step * (BATCH_NORM if trains_norm else 1) + self._below(stage.cut, whole)
            )
            self.bill.own += 2 * timing.resetting
        if trains_norm:
            self.bill.own += STATISTICS * self._passes(labels, stage.cut)
        if validates:
            n_val = counts.n_source - n_source if validates_source else counts.n - n
            judged = self._passes(n_val, stage.cut)
            if trains_norm:
                judged += STATISTICS * self._passes(min(labels, STATISTICS_EXAMPLES), stage.cut)
            self.bill.own += judged * _points(epochs)

    def _beside(self, stage: Stage) -> int:
        """How many more batches stand beside one of labelled examples, of auxiliary labels."""
        stamp = self.cell.companions.get("auxiliary", {})
        return int(bool(stage.auxiliary) and (stage.auxiliary_images == "pool" or "fingerprint" in stamp))

    def _add_graph(self, stage: Stage, batch: int) -> None:
        """Adds the tracing of a stage's training step, once for all cells that have it."""
        timing = self.timing
        blocks = timing.above(stage.cut)
        moves = stage.batch_norm == "trained" and timing.batch_norm
        seconds = timing.tracing * blocks / (len(timing.shares) - 1) * (BATCH_NORM_TRACING if moves else 1)
        graph = (blocks, moves, stage.blocks, stage.only, stage.decay_to, stage.rank, stage.align)
        self._once("graph", timing.building + (1 - AGAIN) * seconds, graph, bool(stage.auxiliary))
        self._once("batch", AGAIN * seconds, graph, bool(stage.auxiliary), batch)

    def _passes(self, count: int, cut: str | float) -> float:
        """Seconds of predicting so many examples with what lies above a cut."""
        batches = math.ceil(count / EVALUATION_BATCH)
        share = self.timing.shares[self.timing.above(cut)]
        return batches * EVALUATION_BATCH * self.timing.forward * share + self._below(cut, count)

    def _below(self, cut: str | float, count: int) -> float:
        """Seconds of computing what lies below a cut for so many examples, where that is not stored."""
        return 0.0 if cut == "input" or self._is_stored(cut) else count * self._row_seconds(cut)

    def _is_stored(self, cut: str | float) -> bool:
        counts, row = self.counts, self.timing.row_bytes[self.timing.above(cut)]
        return (counts.n + counts.n_source) * (VIEWS if self.augments else 1) * row <= _room()

    def _row_seconds(self, cut: str | float) -> float:
        return self.timing.forward * (1 - self.timing.shares[self.timing.above(cut)])

    def _add_rows(self, cut: str | float, n: int, from_source: bool, augmented: bool) -> None:
        """Adds what lies below a cut, once an example: of ``n`` labelled ones, of the test part and the source."""
        if cut == "input" or not self._is_stored(cut):
            return
        cell, counts, above = self.cell, self.counts, self.timing.above(cut)
        each = self._row_seconds(cut)
        views = VIEWS if augmented else 1
        share = n / max(counts.n_pool, 1)
        self._once("pool", each * views * counts.n_pool, cell.fingerprint, above, share=share)
        self._once("test", each * counts.n_test, cell.fingerprint, above)
        if from_source:
            self._once("source", each * views * counts.n_source, cell.fingerprint, above)

    # --- features and embeddings

    def _add_features(self) -> None:
        """Adds a cell that learns from stored features and trains no network."""
        counts = self.counts
        every = isinstance(self.strategy, OnFeatures) and self.strategy.layers == "all"
        for _ in range(2 if every else 1):  # those of all layers are stored beside those of the last
            self._add_rows("top", counts.n, from_source=self.few_shot, augmented=False)
        if self.few_shot:
            self._once("new", self.timing.forward * counts.n_pool, self.cell.fingerprint)
        elif "penalty" in self.default.values:
            values = counts.n * self.timing.width * (3 if every else 1)
            self.bill.own += (len(self.searched) + 1) * values * SOLVING * CLASSES

    def _add_embeddings(self) -> None:
        """Adds a cell that trains an embedding, see ``bench.training.embedding``."""
        cell, counts, timing = self.cell, self.counts, self.timing
        known = counts.n_source or counts.n
        held_out = self.few_shot or not counts.n_source
        for number, trial in enumerate([*self.searched, self.default]):
            (stage,) = trial.stages
            searches = number < len(self.searched)
            labels = round(known * (0.8 if searches and held_out else 1))
            shown = labels * trial.values.get("turns", 1)
            size = cell.batch_size
            epochs = epochs_of(stage, shown, size, cell.epochs, cell.length)
            step = timing.step(size) * (BATCH_NORM if timing.batch_norm else 1)
            self._add_graph(stage, size)
            self.bill.own += epochs * steps_an_epoch(shown, size) * step + 2 * timing.resetting
            self.bill.own += STATISTICS * self._passes(labels, "input")
            if searches:
                n_val = (
                    known - labels if self.few_shot else counts.n
                )  # in the other protocol all are embedded
                judged = self._passes(n_val, "input")
                judged += STATISTICS * self._passes(min(labels, STATISTICS_EXAMPLES), "input")
                self.bill.own += judged * _points(epochs)
                self.bill.own += self._judged() * _points(epochs) if self.few_shot else 0.0
        self.bill.own += self._passes(counts.n_test + (counts.n_pool if self.few_shot else counts.n), "input")

    # --- episodes

    def _add_episodes(self) -> None:
        """Adds the episodes of new classes, and those of held-out classes that choose among trials."""
        trials = self.searched if self.counts.n_source else []
        self.bill.own += self._settings * self.settings["episodes"] * self._episode
        if not isinstance(self.strategy, MetricLearning):
            self.bill.own += len(trials) * self._judged()

    @property
    def _settings(self) -> int:
        return len(self.settings["ways"]) * len(self.settings["shots"])

    @property
    def _episode(self) -> float:
        return SOLVED_EPISODE if "penalty" in self.default.values else EPISODE

    def _judged(self) -> float:
        """Seconds in which an embedding is judged by the episodes of held-out classes."""
        return self._settings * JUDGED * self._episode


@cache
def _room() -> int:
    """Bytes that stored outputs of frozen layers may take, looked up once: it looks at all that are there."""
    return stored.limit()


def _points(epochs: int) -> int:
    """How often a stage is judged that takes so many epochs."""
    return math.ceil(epochs / math.ceil(epochs / POINTS)) + 1
