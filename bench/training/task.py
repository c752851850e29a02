"""Training a schedule of stages: early stopping in the search, a fixed number of epochs in the refit."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.modalities.image.augment import Augmentation
from bench.system.files import digest, rows_of
from bench.system.seeds import generator
from bench.training.engine import Network
from bench.training.examples import PartExamples
from bench.training.losses.alignment import strength
from bench.training.losses.multitask import AuxiliaryLabels, Beside, learned_weights
from bench.training.metrics import accuracy, log_loss
from bench.training.prefixes import VIEWS
from bench.training.programs.program import LOG_VARIANCES, HeadConfig, Program, State, Trained
from strategies.base import Classify, Embedding, Examples, Fitted, Info, Stage
from strategies.refuse import stage_problems

STATISTICS_IMAGES = 256
"""Training images on which batch statistics are re-estimated before an evaluation during training."""
LABEL_SMOOTHING = 0.1
MINIMUM_BATCH = 8
STEPS_AN_EPOCH = 8
"""With few labels the batch shrinks, down to MINIMUM_BATCH, until an epoch has this many steps."""
HEAD_STEPS_AN_EPOCH = 16
HEAD_BATCH = 128
MINIMUM_PATIENCE = 5
"""Epochs without a better validation loss before a stage ends; its own ``patience``, half of its epochs, if that is
more: under a falling learning rate the best often comes late."""
LEAST_OF_TWO = 4
"""Labelled examples of a batch that holds two domains, at least: what aligns them needs two of each."""
SIMILARITY_IMAGES = 256
SIMILARITY_LEAST = 20
"""Images that similarity is measured on: so many if there are, none if there are not as many as these."""


class NotFinite(ArithmeticError):
    """The loss became infinite or not a number, after ``seconds`` of training on ``prefixes``."""

    seconds = 0.0
    prefixes: dict[str, float] = {}


def selection_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """What the best epoch and the best trial maximise, on validation: the negative log loss, in [-16.2, 0].

    Not accuracy: with 100 labels the validation part has 20 images, and an accuracy on them moves in steps of
    5 points. The log loss of the same images tells networks apart that agree on every one of them.
    """
    return -log_loss(probabilities, labels)


def batch_size_of(stage: Stage, n: int, most: int, n_source: int = 0) -> int:
    """Labelled examples of a batch of a stage, the same in search and refit, so that nothing is traced again.

    Args:
        stage: which.
        n: labelled examples of the cell.
        most: the plan's ``batch_size``.
        n_source: labelled examples of the source.
    """
    labels = int(0.8 * {"target": n, "source": n_source, "both": n + n_source}[stage.data])
    if stage.cut == "top":
        size = 2 ** math.floor(math.log2(max(labels / HEAD_STEPS_AN_EPOCH, 1)))
        return max(MINIMUM_BATCH, min(size, HEAD_BATCH))
    least = min(MINIMUM_BATCH, most)
    return max(
        least if stage.data == "target" else max(least, LEAST_OF_TWO), min(most, labels // STEPS_AN_EPOCH)
    )


@dataclass
class _Progress:
    """What a fit has been through, stage after stage."""

    state: State
    curve: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0
    reused: float = 0.0
    """Seconds of ``seconds`` that an earlier trial has spent."""
    prefixes: dict[str, float] = field(default_factory=dict)

    def copy(self) -> _Progress:
        return replace(
            self,
            state=dict(self.state),
            curve=list(self.curve),
            epochs=list(self.epochs),
            prefixes=dict(self.prefixes),
        )


@dataclass
class CellTask:
    """The ``strategies.base.Task`` of one search or refit of a cell; it holds rows of the pool only.

    Args:
        network: None for strategies that use no backbone.
        train, val, unlabelled: see ``Task``.
        info: what the strategy may know.
        head: the head to put on top.
        augmentation: of training images.
        seed: the cell's seed.
        epochs: cap of the last stage.
        batch_size: of stages that train the backbone; see STEPS_AN_EPOCH.
        refit_epochs: of each stage; given in the refit.
        tick: called now and then with what is being done, for progress.
        source: see ``Task``.
        n_source: labelled examples of the source in the refit, which a search may have fewer of.
        auxiliary: see ``Task``.
        memory: see ``Task``.
        judge: in the few-shot protocol: the mean accuracy of episodes, from the features of ``val`` and how they
            are to be classified.
    """

    network: Network | None
    train: PartExamples
    val: PartExamples | None
    unlabelled: PartExamples
    info: Info
    head: HeadConfig
    augmentation: Augmentation
    seed: int
    epochs: int
    batch_size: int
    refit_epochs: list[int] | None = None
    tick: Callable[[str], None] = lambda text: None
    source: PartExamples | None = None
    n_source: int = 0
    auxiliary: tuple[AuxiliaryLabels, ...] = ()
    memory: dict[str, Any] = field(default_factory=dict)
    judge: Callable[[np.ndarray, Classify], float] | None = None
    _finished: dict[tuple[Any, ...], _Progress] = field(default_factory=dict)
    _spent: dict[tuple[str, bool], float] = field(default_factory=dict)

    def fit_stages(self, stages: list[Stage]) -> Fitted:
        """Trains ``stages`` one after the other, each starting from the weights of the one before.

        Raises:
            NotFinite: a loss was infinite or not a number.
            ValueError: this is no schedule that can be trained.
        """
        if problems := stage_problems(stages):
            raise ValueError(" ".join(problems))
        network = self._network()
        start = network.random(self.seed) if stages[0].weights == "random" else network.pretrained
        progress = _Progress(start)
        epochs = [self.epochs if stage.epochs is None else stage.epochs for stage in stages]
        last = len(stages) - 1
        for i, stage in enumerate(stages):
            data = self.source.key if self.source is not None else ""
            key = (self.head, data, *zip(stages[: i + 1], epochs[: i + 1], strict=True))
            if i < last and key in self._finished:  # a warm start that an earlier trial has computed
                progress = self._finished[key].copy()
                progress.reused = progress.seconds
                continue
            try:
                program = self._run(stage, i, epochs[i], progress)
            except NotFinite as error:
                error.seconds, error.prefixes = progress.seconds - progress.reused, progress.prefixes
                raise
            if i < last:
                self._finished[key] = progress.copy()
        notes = []
        if self.augmentation and any(stage.cut != "input" for stage in stages):
            notes.append(
                f"Frozen parts of a network saw each training image in {VIEWS} stored views "
                f"({self.augmentation.kind} augmentation), all other parts in a new view each time."
            )
        return Fitted(
            predictor=_NetworkPredictor(self, stages[-1], program, program.state()),
            params=network.params + _head_params(program),
            trainable_params=program.trainable_params,
            epochs=progress.epochs,
            curve=progress.curve,
            seconds=progress.seconds - progress.reused,
            prefixes=progress.prefixes,
            notes=notes,
            similarity=self._similarity(stages, progress.state),
            auxiliary_labels=self._auxiliary_labels(stages),
        )

    def fit_embedding(self, stage: Stage, loss: str, turns: int, classify: Classify) -> Embedding:
        """See ``Task.fit_embedding``."""
        from bench.training.embedding import fit_embedding

        return fit_embedding(self, stage, loss, turns, classify)

    @property
    def target(self) -> PartExamples:
        """See ``Task.target``."""
        rows = np.union1d(self.train.rows, self.unlabelled.rows)
        return replace(self.unlabelled, rows=rows)

    def with_source(self, images: np.ndarray, labels: np.ndarray) -> CellTask:
        """See ``Task.with_source``."""
        assert self.source is not None
        pixels = np.concatenate([self.source.images(), images])
        source = PartExamples(
            pixels,
            [f"{i}" for i in range(len(pixels))],
            # Whoever stores what a network makes of them has to tell them from any others.
            digest([self.source.key, hashlib.sha256(pixels.tobytes()).hexdigest()]),
            np.arange(len(pixels)),
            np.concatenate([self.source.labels, labels]),
        )
        # The same in search and refit, however much of the source the search has: so are sizes of batches then.
        n_source = round(self.n_source * len(pixels) / len(self.source))
        return replace(self, source=source, n_source=n_source)

    @property
    def _validates_source(self) -> bool:
        """Whether the images that validate are of the source: there is no label of the target."""
        return self.val is not None and self.info.n == 0

    def _labelled(self, stage: Stage) -> list[PartExamples]:
        """The labelled examples that a stage trains on, of one domain or of two."""
        found: list[PartExamples] = []
        if stage.data != "target":
            if self.source is None:
                raise ValueError(f"stage {stage.name!r} trains on a source, and there is none")
            if not len(self.source):
                raise ValueError("every image of the source shares a group with one that validates")
            found.append(self.source)
        if stage.data == "target" or (stage.data == "both" and len(self.train)):
            found.append(self.train)
        return found

    def _auxiliary(self, stage: Stage) -> tuple[AuxiliaryLabels, ...]:
        """The auxiliary tasks that a stage learns."""
        if not stage.auxiliary:
            return ()
        if not self.auxiliary:
            raise ValueError(f"stage {stage.name!r} learns auxiliary labels, and there are none")
        return self.auxiliary

    def _auxiliary_labels(self, stages: list[Stage]) -> int:
        """How many auxiliary labels stages learn from."""
        counts = [sum(a.count(stage.auxiliary_images) for a in self._auxiliary(stage)) for stage in stages]
        return max(counts)

    def _beside(self, stage: Stage, index: int, size: int) -> tuple[Beside | None, float]:
        """What adds images with auxiliary labels alone to batches, if there are any; seconds of their prefixes."""
        parts, spent = [], 0.0
        for place, task in enumerate(self._auxiliary(stage)):
            images = task.beside(stage.auxiliary_images)
            if images is None:
                continue
            inputs, seconds = self.inputs(stage, images, augmented=True)
            known = np.full((len(images), 1 + len(self.auxiliary)), -1, np.int64)
            known[:, 1 + place] = images.labels
            rng = generator(self.seed, "auxiliary", index, place, self.refit_epochs is None)
            parts.append((inputs, known, _Order(len(images), rng).next))
            spent += seconds
        rng = generator(self.seed, "auxiliary", index, self.refit_epochs is None)
        return (Beside(parts, size, rng) if parts else None), spent

    def _similarity(self, stages: list[Stage], state: State) -> list[dict[str, Any]]:
        """How far a refit has led a pretrained backbone away, on a sample of its own training images."""
        adapts = any(stage.cut != "top" for stage in stages) and stages[0].weights == "pretrained"
        if self.refit_epochs is None or not adapts or len(self.train) < SIMILARITY_LEAST:
            return []
        assert self.network is not None
        rng = generator(self.seed, "similarity")
        rows = rng.permutation(len(self.train))[:SIMILARITY_IMAGES]
        images = rows_of(self.train.pixels, self.train.rows[np.sort(rows)])
        return self.network.similarity(state, images)

    def features(self, examples: Examples, layers: str = "last") -> np.ndarray:
        """See ``Task.features``."""
        assert isinstance(examples, PartExamples)
        store = self._network().prefixes(None, self.head.pooling, every=layers == "all")
        prefix = store.get(examples, Augmentation(), 1)
        if examples is self.train or examples is self.val:
            cut = "top" if layers == "last" else "every"
            self._spent[cut, examples is self.val] = prefix.seconds_per_image * len(examples)
        return np.concatenate(prefix.batch(np.arange(len(examples)), None), axis=1)

    def _network(self) -> Network:
        if self.network is None:
            raise ValueError("This strategy says uses_backbone = False, so there is no network for it.")
        return self.network

    @property
    def prefixes(self) -> dict[str, float]:
        """See ``Task.prefixes``."""
        cuts = {cut for cut, _ in self._spent}
        return {cut: sum(seconds for (c, _), seconds in self._spent.items() if c == cut) for cut in cuts}

    def inputs(self, stage: Stage, examples: PartExamples, augmented: bool) -> tuple[Inputs, float]:
        """The inputs of a stage's program for ``examples``, and the seconds that their prefix cost."""
        assert self.network is not None
        augmentation = self.augmentation if augmented else Augmentation()
        if stage.cut == "input":
            return _image_inputs(examples, augmentation), 0.0
        views = VIEWS if augmentation else 1
        cut = self.network.cut(stage.cut)
        prefix = self.network.prefixes(cut, self.head.pooling).get(examples, augmentation, views)
        return prefix.batch, prefix.seconds_per_image * len(examples)

    def _run(self, stage: Stage, index: int, epochs: int, progress: _Progress) -> Program:
        assert self.network is not None
        cut = self.network.cut(stage.cut)
        batch_size = batch_size_of(stage, self.info.n, self.batch_size, self.n_source)
        labelled = self._labelled(stage)
        auxiliary = self._auxiliary(stage)
        trained = Trained.of(stage, len(labelled) > 1, tuple(task.classes for task in auxiliary))
        program = self.network.program(cut, self.head, trained, LABEL_SMOOTHING)
        shares = [batch_size] if len(labelled) == 1 else [batch_size - batch_size // 2, batch_size // 2]
        aligned = [self.target] if stage.align != "none" else []
        parts = [*labelled, *aligned]
        counts = [*shares, *(batch_size for _ in aligned)]
        beside, of_beside = self._beside(stage, index, batch_size)
        program.warm(sum(counts) + (batch_size * len(beside.parts) if beside else 0))
        found = [self.inputs(stage, part, augmented=True) for part in parts]
        train = joined([inputs for inputs, _ in found], [len(part) for part in parts])
        spent = of_beside + sum(seconds for _, seconds in found)
        known = np.concatenate([*(part.labels for part in labelled), *(np.full(len(t), -1) for t in aligned)])
        if auxiliary:
            known = np.column_stack([known, *(task.of_train for task in auxiliary)])
        count = sum(map(len, labelled))
        val = None
        if self.val is not None:
            val, more = self.inputs(stage, self.val, augmented=False)
            spent += more
        if spent:
            progress.prefixes[cut.name if cut else "top"] = spent
        program.reset(progress.state, self.seed, stage.weight_decay, stage.rate_decay)
        if cut is None and "head_standardise:0" not in progress.state:
            program.standardise(lambda rows: train(rows, None), count)
        start = program.state() if stage.mix != 1 else {}
        statistics, images = self._statistics(stage, train, count)

        # In the refit a stage takes as many epochs as it took to its best one, along the same schedule: on
        # clothing that beat as many steps by a point, since an epoch of the refit sees more images.
        steps_an_epoch = math.ceil(count / batch_size)
        horizon = epochs * steps_an_epoch
        budget = horizon if self.refit_epochs is None else self.refit_epochs[index] * steps_an_epoch
        patience = max(MINIMUM_PATIENCE, math.ceil(stage.patience * epochs))
        # Labels of the source know nothing of the target: they would always choose least alignment.
        to_the_end = not stage.early_stopping or (self._validates_source and stage.align != "none")
        rng = generator(self.seed, "training", index, self.refit_epochs is None)
        order = _Orders([len(part) for part in parts], counts, rng)
        clock = time.perf_counter()
        best_score, best_epoch, best_state = -math.inf, 0, None
        step, epoch = 0, 0
        point: dict[str, Any] = {}
        try:
            while True:
                seconds = progress.seconds + time.perf_counter() - clock
                point |= {
                    "stage": stage.name,
                    "epoch": epoch,
                    "images": progress.images + step * batch_size,
                    "seconds": seconds + sum(progress.prefixes.values()),
                }
                if val is not None:
                    assert self.val is not None
                    program.reestimate(statistics, min(images, STATISTICS_IMAGES))
                    probabilities = program.probabilities(lambda rows: val(rows, None), len(self.val))
                    if not np.isfinite(probabilities).all():
                        raise NotFinite(
                            f"predictions are not finite after epoch {epoch} of stage {stage.name!r}"
                        )
                    labels = self.val.labels
                    point |= {
                        "val_loss": log_loss(probabilities, labels),
                        "val_accuracy": accuracy(probabilities, labels),
                    }
                    score = selection_score(probabilities, labels)
                    # What no stage has trained yet is no candidate, though its log loss may be the best when
                    # labels are few: the refit would train nothing and predict chance.
                    is_better = step >= budget if to_the_end else score > best_score
                    if is_better and (epoch or index):
                        best_score, best_epoch, best_state = score, epoch, program.state()
                progress.curve.append(point)
                stalls = val is not None and not to_the_end and epoch - best_epoch >= patience
                if step >= budget or stalls:
                    break
                measured: list[np.ndarray] = []
                end = min(step + steps_an_epoch, budget)
                while step < end:
                    steps = min(program.steps_a_call, end - step)
                    over = (np.arange(step, step + steps) + 0.5) / horizon
                    rates = np.array([stage.learning_rate * schedule(s, stage.warmup) for s in over])
                    strengths = _strengths(stage, over)
                    rows = np.concatenate([order.next() for _ in range(steps)])
                    tensors = [x.reshape(steps, -1, *x.shape[1:]) for x in train(rows, rng)]
                    labels = known[rows].reshape(steps, -1, *known.shape[1:])
                    if beside is not None:
                        tensors, labels = beside.added(tensors, labels, steps)
                    both = np.stack(program.train_steps(tensors, labels, rates, strengths))
                    if not np.isfinite(both[0]).all():
                        bad = int(np.flatnonzero(~np.isfinite(both[0]))[0])
                        raise NotFinite(
                            f"loss is {both[0, bad]} in epoch {epoch + 1}, step {step + bad + 1} of stage "
                            f"{stage.name!r}"
                        )
                    measured.append(both)
                    step += steps
                train_loss, train_accuracy = np.concatenate(measured, axis=1).mean(axis=1)
                epoch += 1
                point = {"train_loss": float(train_loss), "train_accuracy": float(train_accuracy)}
                if trained.learned:
                    weights = learned_weights(np.array(program.variables[LOG_VARIANCES]))
                    point |= {f"weight of {t.name}": w for t, w in zip(auxiliary, weights, strict=True)}
                self.tick(f"{stage.name} epoch {epoch}/{epochs}")
            if best_state is None:  # the refit: the last weights, with statistics of all its images
                program.reestimate(statistics, images)
                best_state, best_epoch = program.state(), epoch
            if stage.mix != 1:
                best_state = {
                    place: mixed(start[place], value, stage.mix, place) for place, value in best_state.items()
                }
            if stage.statistics == "target" and stage.batch_norm == "frozen" and val is None:
                # The search knows nothing of it: its choices are those that are made without.
                moved = self.network.program(
                    cut, self.head, replace(trained, batch_norm=True), LABEL_SMOOTHING
                )
                domains = (self._shuffled(train, count), count), (statistics, images)
                best_state = moved.between_domains(best_state, *domains)
            program.reset(best_state, self.seed, stage.weight_decay)
        finally:
            progress.seconds += time.perf_counter() - clock
        progress.images += step * batch_size
        progress.epochs.append(best_epoch)
        progress.state = {**progress.state, **program.merged(best_state)}
        return program

    def _statistics(
        self, stage: Stage, train: Inputs, count: int
    ) -> tuple[Callable[[np.ndarray], list[np.ndarray]], int]:
        """The images that a stage's statistics of batch normalisation are those of, and how many there are.

        Args:
            train: gives the inputs of its training images.
            count: how many of these are labelled.
        """
        inputs = train
        if stage.statistics == "target" and not self._validates_source:
            inputs, _ = self.inputs(stage, self.target, augmented=False)
            count = len(self.target)
        return self._shuffled(inputs, count), count

    def _shuffled(self, inputs: Inputs, count: int) -> Callable[[np.ndarray], list[np.ndarray]]:
        """Images not in their order, which in a folder is by class: the first few are to be like all."""
        order = generator(self.seed, "statistics").permutation(count)
        return lambda rows: inputs(order[rows], None)


def mixed(start: np.ndarray, end: np.ndarray, share: float, place: str) -> np.ndarray:
    """Weights so far on the way from ``start`` to ``end``; of a low-rank product, one factor goes back alone."""
    return end if place.endswith("_down:0") else end + (1 - share) * (start - end)


Inputs = Callable[[np.ndarray, "np.random.Generator | None"], list[np.ndarray]]
"""From row numbers to a network's input tensors, float32; augmented with a generator, as they are without."""


def joined(parts: Sequence[Inputs], counts: Sequence[int]) -> Inputs:
    """The inputs of several sets of examples, numbered one set after the other, as those of one.

    Args:
        parts: of each set.
        counts: examples of each.
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *counts])

    def batch(index: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        result: list[np.ndarray] = []
        for inputs, start, end in zip(parts, starts[:-1], starts[1:], strict=True):
            here = np.flatnonzero((index >= start) & (index < end))
            if not len(here):
                continue
            tensors = inputs(index[here] - start, rng)
            if not result:
                result = [np.empty((len(index), *tensor.shape[1:]), np.float32) for tensor in tensors]
            for whole, tensor in zip(result, tensors, strict=True):
                whole[here] = tensor
        return result

    return batch


def _image_inputs(examples: PartExamples, augmentation: Augmentation) -> Inputs:
    def batch(index: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        images = rows_of(examples.pixels, examples.rows[index])
        return [(augmentation(images, rng) if rng is not None else images).astype(np.float32)]

    return batch


class _Orders:
    """Batches of row numbers: so many of each of several sets of examples, which are numbered one after the other.

    Args:
        sizes: of the sets.
        counts: rows of each in a batch.
        rng: of all their orders.
    """

    def __init__(self, sizes: Sequence[int], counts: Sequence[int], rng: np.random.Generator) -> None:
        self.orders = [_Order(size, rng) for size in sizes]
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.counts = counts

    def next(self) -> np.ndarray:
        each = zip(self.orders, self.starts, self.counts, strict=True)
        return np.concatenate([start + order.next(count) for order, start, count in each])


class _Order:
    """An endless sequence of row numbers, permutation after permutation, handed out in full batches."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.count, self.rng = count, rng
        self.queue = np.empty(0, np.int64)

    def next(self, size: int) -> np.ndarray:
        while len(self.queue) < size:
            self.queue = np.concatenate([self.queue, self.rng.permutation(self.count)])
        rows, self.queue = self.queue[:size], self.queue[size:]
        return rows


def _strengths(stage: Stage, over: np.ndarray) -> np.ndarray:
    """How strong what stands beside a stage's own loss is at these shares of its steps; 0 where it is learned."""
    if stage.auxiliary:
        return np.full(len(over), 0.0 if stage.auxiliary == "learned" else stage.auxiliary)
    return np.array([stage.align_weight * strength(s) for s in over])


def schedule(progress: float, warmup: float) -> float:
    """The learning rate as a share of its peak: a linear rise, then half a cosine (arXiv:1608.03983).

    Args:
        progress: share of the stage that is over, 0..1.
        warmup: share over which the rate rises.
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


@dataclass
class _NetworkPredictor:
    """The network of a finished fit. Its weights are put back if the program has been used since."""

    task: CellTask
    stage: Stage
    program: Program
    state: State

    def predict(self, examples: Examples) -> np.ndarray:
        assert isinstance(examples, PartExamples)
        self.program.reset(self.state, self.task.seed, self.stage.weight_decay)
        inputs, _ = self.task.inputs(self.stage, examples, augmented=False)
        return self.program.probabilities(lambda rows: inputs(rows, None), len(examples))


def _head_params(program: Program) -> int:
    return int(
        sum(
            np.prod(v.shape) for place, v in program.variables.items() if place.startswith(("head_", "lora_"))
        )
    )
