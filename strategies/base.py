"""What a strategy is, and all that one needs to know to write a strategy.

A strategy says how pretrained weights are reused. Nearly all are a *schedule of stages*; such a
strategy declares its hyperparameters and returns its stages, and the harness does the rest::

    class FeatureExtraction(Strategy):
        name = "feature_extraction"
        summary = "Only a new head is trained, on the features of the frozen backbone."
        when = "There are few labels, or little time."
        cost = "The measure of all others."

        def space(self, hp):
            hp.Float("learning_rate", 1e-3, 3e-2, sampling="log", default=1e-2)

        def stages(self, hp, info):
            return [Stage("head", cut="top", learning_rate=hp.get("learning_rate"))]

A method that is no schedule overrides ``fit`` instead and returns a ``Predictor`` (see ``majority.py``).

A strategy never sees the test set: the harness hands it a ``Task``, takes the predictor that it
returns, and scores that. To add a strategy: one file here, one line in ``strategies/__init__.py``; or a file
anywhere else, given as ``--strategy package.module:Class`` or declared by a package of its own (CONTRIBUTING shows
how). ``python -m bench check-strategy NAME`` says what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True)
class Info:
    """What a strategy may know before it runs."""

    modality: str
    class_names: tuple[str, ...]
    n: int
    """Labelled examples of the cell, training and validation together."""
    has_weights: bool
    """Whether the backbone comes with pretrained weights."""
    image_size: int
    batch_size: int
    backbone_params: int = 0
    has_norm: bool = True
    """Whether the backbone has normalisation layers with a scale and an offset."""
    has_bias: bool = True
    """Whether it has biases, or offsets of normalisation layers."""
    has_pointwise: bool = True
    """Whether it has dense layers or 1 x 1 convolutions, which low-rank updates fit."""
    has_batch_norm: bool = True
    """Whether it has batch normalisation, whose statistics are those of a domain."""
    has_source: bool = False
    """Whether there is a labelled dataset of another domain, the source."""
    few_shot: bool = False
    """Whether classes that are not learned from are told apart by a few labels each (protocol few-shot)."""
    has_auxiliary: bool = False
    """Whether there are labels to be learned beside the target's."""
    metric: str = "accuracy"
    """Which metric decides: ``accuracy``, ``balanced_accuracy``, ``macro_f1`` or ``auroc``."""
    class_weight: str = "none"
    """``balanced``: all classes are to count the same in training, see ``strategies.class_weight``."""

    @property
    def classes(self) -> int:
        return len(self.class_names)


class Limit(NamedTuple):
    """Between which values a number may be given; it is then not searched, and may lie far outside of what is."""

    least: float
    most: float = math.inf
    otherwise: str = ""
    """What to take instead of a value beyond them, a sentence."""


class Limits(dict[str, Limit]):
    """By name of a hyperparameter: ``Limits(rank=Limit(1))``."""


@dataclass(frozen=True)
class Stage:
    """One stage of training: from which cut of the backbone upward, and how.

    Everything below the cut is frozen. Its output for an example never changes, so it is computed
    once, stored, and shared by all cells that use the same cut.

    Args:
        name: as it stands in curves and reports: ``head``, ``finetune``, ``train``.
        cut: ``"top"``: only the head trains; ``"input"``: everything trains; a number in (0, 1):
            the share of the backbone's blocks, counted from the top, that trains. Not above that of a stage before.
        learning_rate: the peak, relative: the share of a kernel's root mean square by which a step of Adam
            moves its weights (0.1 stands for that root mean square in the head and in vectors). Linear
            warm-up, then a cosine down to 0, which always ends where the stage does.
        weight_decay: decoupled (AdamW, arXiv:1711.05101): each step takes off this times the learning rate. Of
            kernels only, unless ``decay_to`` says otherwise. Less where the stage takes more than its ``steps``:
            see ``strategies.lengths.decay_of``.
        steps: optimizer steps that it takes at least, however few the labels: see ``strategies.lengths``.
        epochs: how often it passes over the labels at most, where that is more than ``steps``; None: as often as
            the plan's ``epochs`` say, which also cap this.
        weights: where a strategy starts from: the backbone's ``pretrained`` weights, or ``random`` ones.
        batch_norm: ``frozen``: statistics, gamma and beta stay as they are; ``trained``: they train, and
            the statistics are re-estimated on training examples before every evaluation.
        warmup: the share of the stage's steps over which the learning rate rises.
        blocks: only so many blocks right above the cut train, and the head; 0: all.
        only: which variables of the backbone train: ``all``, ``norm`` (scales and offsets of normalisation
            layers) or ``bias`` (biases and these offsets); with ``batch_norm`` frozen, moving statistics stay.
        rate_decay: the learning rate of a block, and with it its weight decay, is so many times that of the block
            above it.
        decay_to: what weight decay pulls the backbone to: kernels to ``zero``, or all that trains of it to where
            the stage ``start``s.
        mix: how far the network ends on the way from where the stage starts (0) to where training leads (1).
        rank: of low-rank updates to dense layers and 1 x 1 convolutions, which then train instead of the backbone;
            0: none.
        data: which labelled examples train: those of the ``target``, of the ``source``, or ``both``: then each
            batch has as many of one as of the other, as long as there are labels of the target.
        align: a loss that makes features of source and target alike, on unlabelled target examples beside each
            batch of labelled ones: ``none``, or one of ``strategies.ALIGNMENTS``: ``dann`` (a classifier of
            domains whose gradients are reversed), ``coral`` (covariances), ``mmd`` (distributions).
        align_weight: of this loss beside the classification loss; with ``dann`` of the reversed gradients, at the
            end of their rise.
        auxiliary: the weight of the losses of auxiliary labels beside the target's, or ``learned``, by the
            uncertainty of each task (Kendall et al. 2018, arXiv:1705.07115); 0: they are not learned.
        auxiliary_images: which examples of the target have them: the ``labelled`` ones that train, or all of the
            ``pool`` but those that validate, as where they cost nothing.
        statistics: which examples the statistics of batch normalisation are those of at the end: the ones that
            ``train``, or all of the ``target`` that may be seen, labelled or not (adaptive batch normalisation);
            with ``batch_norm`` frozen the pretrained ones move after the refit, by what the domains differ in.
    """

    name: str
    cut: Literal["top", "input"] | float
    learning_rate: float
    weight_decay: float = 0.0
    steps: int = 0
    epochs: int | None = None
    weights: Literal["pretrained", "random"] = "pretrained"
    batch_norm: Literal["frozen", "trained"] = "frozen"
    warmup: float = 0.1
    blocks: int = 0
    only: Literal["all", "norm", "bias"] = "all"
    rate_decay: float = 1.0
    decay_to: Literal["zero", "start"] = "zero"
    mix: float = 1.0
    rank: int = 0
    data: Literal["target", "source", "both"] = "target"
    align: str = "none"
    align_weight: float = 1.0
    statistics: Literal["train", "target"] = "train"
    auxiliary: float | Literal["learned"] = 0.0
    auxiliary_images: Literal["labelled", "pool"] = "labelled"


class Examples(Protocol):
    """A set of examples, opaque but for these."""

    @property
    def ids(self) -> Sequence[str]:
        """Stable, unique, and without a meaning."""

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,)."""

    def __len__(self) -> int: ...

    def rows(self) -> np.ndarray:
        """The examples, decoded and not augmented: images are uint8 (N, S, S, 3), resized."""

    def images(self) -> np.ndarray:
        """The same, by the name that strategies for images use."""


class Predictor(Protocol):
    """A trained classifier."""

    def predict(self, examples: Examples) -> np.ndarray:
        """Class probabilities, float32 (N, classes)."""


@dataclass(kw_only=True)
class Training:
    """What a training was like."""

    params: int = 0
    """Parameters of the whole network, the frozen part included."""
    trainable_params: int = 0
    """Those that trained in the last stage."""
    epochs: list[int] = field(default_factory=list)
    """How many each stage took."""
    steps: list[int] = field(default_factory=list)
    """Optimizer steps that each stage took."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """Points of the learning curve, see ``Record.curves``."""
    seconds: float = 0.0
    """Training and evaluation; without tracing, prefixes, and stages that an earlier trial has trained."""
    prefixes: dict[str, float] = field(default_factory=dict)
    """Seconds by the cut of each stored prefix used, as if it had been computed for this fit alone."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the report on how this was trained."""


@dataclass
class Fitted(Training):
    """What ``fit`` returns."""

    predictor: Predictor
    _: KW_ONLY
    similarity: list[dict[str, Any]] = field(default_factory=list)
    """How far the backbone was led away, block by block, see ``Record.similarity``."""
    samples: np.ndarray | None = None
    """Pictures for the report, uint8 (N, 2, S, S, 3): an image, and what the method has made of it."""
    auxiliary_labels: int = 0
    """Labels of auxiliary tasks that it has learned from, of all tasks together."""


class AuxiliaryLabels(Protocol):
    """A task to be learned beside the target's, with classes of its own."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> int: ...

    @property
    def of_train(self) -> np.ndarray:
        """Its labels of the examples of ``Task.train``, int64 (N,); -1 where there is none."""

    @property
    def pool(self) -> Examples | None:
        """The rest of the pool, labelled by this task; in a search without the groups of ``Task.val``."""

    @property
    def others(self) -> Examples | None:
        """Examples of another dataset, which this task comes from; None if it is of the target's own examples."""


Classify = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""Learns from a few features (N, D) with labels (N,) below the number of classes, the last argument, and gives the
probabilities (M, classes) of other features (M, D), the third."""


@dataclass
class Embedding(Training):
    """What ``embed`` returns: what examples are to a strategy that tells new classes apart."""

    embed: Callable[[Examples], np.ndarray]
    """Features of examples, float32 (N, D)."""

    def fitted(self, predictor: Predictor) -> Fitted:
        """A classifier on these features, with what they took."""
        return Fitted(predictor, **{part.name: getattr(self, part.name) for part in fields(Training)})


class Task(Protocol):
    """What a strategy is given. It holds no test set."""

    @property
    def train(self) -> Examples: ...

    @property
    def val(self) -> Examples | None:
        """None in the refit, where ``train`` holds all n labelled examples."""

    @property
    def unlabelled(self) -> Examples:
        """The rest of the pool; asking for its labels raises."""

    @property
    def target(self) -> Examples:
        """All examples of the target that may be seen: ``train`` and ``unlabelled``, without labels."""

    @property
    def source(self) -> Examples | None:
        """Labelled examples of the source; None without one.

        Without any label of the target ``train`` is empty, and ``val`` holds examples of the source.
        """

    @property
    def auxiliary(self) -> Sequence[AuxiliaryLabels]:
        """What may be learned beside the target's labels; nothing of it is known of examples that validate."""

    @property
    def info(self) -> Info: ...

    @property
    def seed(self) -> int: ...

    @property
    def epochs(self) -> int:
        """The plan's: how often a stage passes over the labels at most, where these are many."""

    @property
    def length(self) -> float:
        """The share of a stage's length that it takes: the plan's, and of Hyperband's first rounds less."""

    def fit_stages(self, stages: list[Stage]) -> Fitted:
        """Trains a schedule of stages, each to its end."""

    @property
    def memory(self) -> dict[str, Any]:
        """What a strategy keeps from one trial to the next, and to the refit.

        The refit has more examples, and trials may differ in epochs: what depends on these is to be kept by them.
        """

    def fit_embedding(self, stage: Stage, loss: str, turns: int, classify: Classify) -> Embedding:
        """Trains the backbone so that its features are near each other for examples of one class.

        On ``source``, or on ``train`` where there is none.

        Args:
            stage: how; from random weights if the backbone has none.
            loss: ``prototypical``, ``contrastive`` or ``triplet``.
            turns: 4: a class turned by quarters counts as four classes; 1: it is not turned.
            classify: how features are to be used, for the validation.
        """

    def fit_translated(self, fit: Callable[[Task], Fitted]) -> Fitted:
        """Fits on this task with its source's examples added once more, in the target's style.

        What translates them is trained without any label; what that takes counts as training.

        Args:
            fit: from that task to what it has trained.
        """

    def with_source(self, images: np.ndarray, labels: np.ndarray) -> Task:
        """The same task with these labelled examples added to its source.

        Args:
            images: uint8 (N, S, S, 3).
            labels: int64 (N,).
        """

    def features(self, examples: Examples, layers: Literal["last", "all"] = "last") -> np.ndarray:
        """What the frozen backbone makes of examples, stored once and shared by all: float32 (N, D).

        Args:
            examples: any of the task's, or those that a predictor is given.
            layers: ``last``: the pooled last feature map; ``all``: the pooled ends of all blocks side by side.
        """

    @property
    def prefixes(self) -> dict[str, float]:
        """What the features of ``train`` and ``val`` asked for so far have cost: goes into ``Fitted.prefixes``."""


class Strategy:
    """Base of all strategies."""

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    """One line: what it does."""
    when: ClassVar[str] = ""
    """When to use it, one line."""
    cost: ClassVar[str] = ""
    """What it costs beside feature extraction with the same number of trials, one line."""
    reference: ClassVar[str] = ""
    """The paper or page that the method comes from."""
    version: ClassVar[int] = 1
    """Raised when the strategy would give other numbers: old cells are then not reused."""
    modalities: ClassVar[frozenset[str] | None] = None
    """Which kinds of examples it can learn from, by name (``image``); None: any."""
    uses_backbone: ClassVar[bool] = True
    uses_weights: ClassVar[bool] = True
    """False: runs once a backbone, whatever its weights."""
    needs_weights: ClassVar[bool] = True
    """False: it begins with the backbone's weights, and without any with random ones."""
    needs_source: ClassVar[bool] = False
    """Whether it learns from a labelled dataset of another domain: only then it is given one."""
    uses_source: ClassVar[bool] = False
    """Whether it learns from a labelled source dataset of any classes, if there is one."""
    few_shot: ClassVar[bool] = False
    """Whether it can tell new classes apart by a few labels each: then it has ``embed`` and ``classify``."""
    trains: ClassVar[bool] = True
    """In the few-shot protocol: False if it trains no network; then it is the same for all seeds if nothing is
    searched either."""
    needs_auxiliary: ClassVar[bool] = False
    """Whether it learns auxiliary labels: only then it is given any; ``NAME:auxiliary=body`` gives it one task."""
    counterpart: ClassVar[str] = ""
    """The strategy that it is without what it adds, by name: the report says what that has brought. Empty: it adds
    nothing that is compared, as a source with labels and nothing else."""
    limits: ClassVar[Mapping[str, Limit]] = Limits()
    """Of hyperparameters that are given, ``NAME:rank=4``, by name. Stages have limits of their own, and so have
    ``learning_rate`` and ``weight_decay`` everywhere."""
    needs_labels: ClassVar[bool] = True
    """False: it may be run without any label of the target, at fraction 0."""
    text: str = ""
    """How the plan names it, with hyperparameters that are given: ``partial_finetune:unfreeze=0.25``."""
    fixed: Mapping[str, Any] = MappingProxyType({})
    """Hyperparameters that are given, and so not searched."""

    def skip(self, info: Info) -> str | None:
        """Why this strategy cannot run here, as the end of "skipped: ...", or None."""
        if self.modalities is not None and info.modality not in self.modalities:
            return f"it needs {' or '.join(f'{name}s' for name in sorted(self.modalities))}"
        if self.uses_weights and self.needs_weights and not info.has_weights:
            return "the backbone has no pretrained weights (weights=none), so there is nothing to transfer"
        if self.needs_source and not info.has_source:
            return "there is no source dataset (--source-dataset) to adapt from"
        if self.needs_auxiliary and not info.has_auxiliary:
            return "there are no auxiliary labels (--auxiliary COLUMN, --auxiliary-dataset) to learn beside its own"
        return None

    def space(self, hp: Any) -> None:
        """Declares what is searched, with keras-tuner's ``hp.Float``, ``hp.Int`` and ``hp.Choice``.

        The defaults are tried first, so they should be the values that one would use without a search.
        """

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        """The schedule for the hyperparameters ``hp`` (``hp.get(name)``)."""
        raise NotImplementedError(f"{type(self).__name__} defines neither stages() nor fit()")

    def few_shot_space(self, hp: Any) -> None:
        """Declares what is searched in the few-shot protocol, on held-out classes of the source."""
        self.space(hp)

    def spaces(self) -> list[Callable[[Any], None]]:
        """What declares the hyperparameters of each protocol that it can run in."""
        return [self.space, self.few_shot_space] if self.few_shot else [self.space]

    def embed(self, task: Task, hp: Any) -> Embedding:
        """In the few-shot protocol: what examples are to it. ``task.train`` are examples of other classes, those
        of the source, or there are none; of the new classes it sees nothing."""
        raise NotImplementedError(f"{type(self).__name__} has no embed()")

    def classify(
        self, support: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, hp: Any
    ) -> np.ndarray:
        """In the few-shot protocol: the probabilities of queries, learned from the support alone; see
        ``Classify``."""
        raise NotImplementedError(f"{type(self).__name__} has no classify()")

    def fit(self, task: Task, hp: Any) -> Fitted:
        """Trains on ``task`` and returns the predictor with what it took."""
        return task.fit_stages(self.stages(hp, task.info))
