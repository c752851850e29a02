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
returns, and scores that. To add a strategy: one file here, one line in ``strategies/__init__.py``. Or a file
anywhere else, given as ``--strategy package.module:Class``, or declared by a package of its own: ``docs/howto``
shows how. ``python -m bench check-strategy NAME`` says what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True)
class Info:
    """Facts that a strategy may know before it runs."""

    modality: str
    """The kind of example: ``image`` or ``text``."""
    class_names: tuple[str, ...]
    """Names of the classes, in the order of their labels."""
    n: int
    """Labelled examples of the cell, training and validation together."""
    has_weights: bool
    """Whether the backbone comes with pretrained weights."""
    image_size: int
    """Side of the square input, in pixels. With texts: most tokens."""
    batch_size: int
    """Largest batch."""
    backbone_params: int = 0
    """Parameters of the backbone."""
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
    """Whether the cell belongs to the few-shot protocol: new classes, a few labels each."""
    has_auxiliary: bool = False
    """Whether there are auxiliary labels to learn beside the target's."""
    metric: str = "accuracy"
    """Which metric decides: ``accuracy``, ``balanced_accuracy``, ``macro_f1`` or ``auroc``. With any number of
    labels: ``mean_average_precision``, ``macro_f1``, ``micro_f1`` or ``auroc``."""
    task: str = "single_label"
    """Kind of labels: one class for each example (``single_label``), or any number of them (``multi_label``)."""
    class_weight: str = "none"
    """``balanced``: all classes count the same in training, see ``strategies.class_weight``."""

    @property
    def classes(self) -> int:
        return len(self.class_names)


class Limit(NamedTuple):
    """The range of a hyperparameter that is given. It may lie far outside of the searched range."""

    least: float
    """The smallest value."""
    most: float = math.inf
    """The largest value."""
    otherwise: str = ""
    """The advice for a value beyond them, a sentence."""


class Limits(dict[str, Limit]):
    """The limits by name of a hyperparameter: ``Limits(rank=Limit(1))``."""


@dataclass(frozen=True)
class Stage:
    """One stage of training: from which cut of the backbone upward, and how.

    Everything below the cut is frozen. Its output for an example never changes, so it is computed
    once, stored, and shared by all cells that use the same cut.

    Args:
        name: the name in curves and reports, such as ``head``, ``finetune`` or ``train``.
        cut: where training begins. ``"top"``: only the head trains. ``"input"``: everything trains. A number in
            (0, 1): this share of the backbone's blocks trains, counted from the top. A later stage may not train
            less than an earlier one.
        learning_rate: the peak, relative to the weights. A step of Adam moves a kernel by this share of its root
            mean square. In the head and in vectors, 0.1 stands for that. A linear warm-up comes first. A cosine
            then goes down to 0, and always ends where the stage does.
        weight_decay: decoupled (AdamW, arXiv:1711.05101): each step takes off this times the learning rate. It
            acts on kernels only, unless ``decay_to`` says otherwise. It is less where the stage takes more than
            its ``steps``, see ``strategies.lengths.decay_of``.
        steps: least number of optimizer steps, however few the labels, see ``strategies.lengths``.
        epochs: most passes over the labels, where that is more than ``steps``. None: the plan's ``epochs``, which
            also cap this.
        weights: the start of the training: the backbone's ``pretrained`` weights, or ``random`` ones.
        batch_norm: ``frozen``: statistics, gamma and beta stay as they are. ``trained``: they train, and
            statistics are estimated again on training examples before every evaluation.
        warmup: share of the stage's steps over which the learning rate rises.
        blocks: only this many blocks right above the cut train, and the head. 0: all.
        only: which variables of the backbone train. ``all``, ``norm`` (scales and offsets of normalisation
            layers) or ``bias`` (biases and these offsets). With ``batch_norm`` frozen, moving statistics stay.
        rate_decay: factor of the learning rate, and so of the weight decay, from a block to the one below it.
        decay_to: the goal of weight decay. ``zero``: kernels towards zero. ``start``: all that trains of
            the backbone towards its weights at the start of the stage.
        mix: how far the network ends on the way from the start of the stage (0) to the end of training (1).
        rank: rank of low-rank updates to dense layers and 1 x 1 convolutions. They then train instead of the
            backbone. 0: none.
        data: which labelled examples train: the ``target``'s, the ``source``'s, or ``both``. With both, half of
            each batch comes from either, as long as there are labels of the target.
        align: a loss that makes features of source and target alike. It uses unlabelled target examples beside
            each labelled batch. ``none``, or one of ``strategies.ALIGNMENTS``: ``dann`` (a domain classifier with
            reversed gradients), ``coral`` (covariances) or ``mmd`` (distributions).
        align_weight: weight of this loss beside the classification loss. With ``dann``, weight of the reversed
            gradients at the end of their rise.
        auxiliary: weight of the losses of auxiliary labels beside the target's. ``learned``: by the uncertainty
            of each task (Kendall et al. 2018, arXiv:1705.07115). 0: they are not learned.
        auxiliary_images: which examples of the target bring auxiliary labels. ``labelled``: the ones that train.
            ``pool``: all of the pool without the validation set, for labels that cost nothing.
        statistics: which examples give the final statistics of batch normalisation. ``train``: the ones that
            train. ``target``: all examples of the target that may be seen, labelled or not (adaptive batch
            normalisation). With ``batch_norm`` frozen, the pretrained statistics move after the refit by the
            difference between the domains.
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
    """A set of examples. These are all that you can use of it."""

    @property
    def ids(self) -> Sequence[str]:
        """Stable and unique names without a meaning."""

    @property
    def labels(self) -> np.ndarray:
        """Class labels, int64 (N,). With any number of labels each: 0 and 1, uint8 (N, classes)."""

    def __len__(self) -> int: ...

    def rows(self) -> np.ndarray:
        """The examples, decoded and not augmented.

        Images are uint8 (N, S, S, 3), resized. Texts are UTF-8, uint8 (N, bytes), see ``texts``.
        """

    def images(self) -> np.ndarray:
        """The same as ``rows``, for images."""

    def texts(self) -> Sequence[str]:
        """The texts, for texts: whole, or cut as ``max_tokens`` says."""


class Predictor(Protocol):
    """A trained classifier."""

    def predict(self, examples: Examples) -> np.ndarray:
        """Class probabilities, float32 (N, classes). Rows add up to 1 if each example has one class."""


@dataclass(kw_only=True)
class Training:
    """Costs and curves of a training."""

    params: int = 0
    """Parameters of the whole network, the frozen part included."""
    trainable_params: int = 0
    """Parameters that trained in the last stage."""
    epochs: list[int] = field(default_factory=list)
    """Epochs of each stage."""
    steps: list[int] = field(default_factory=list)
    """Optimizer steps of each stage."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """Points of the learning curve, see ``Record.curves``."""
    seconds: float = 0.0
    """Seconds of training and evaluation. Tracing, prefixes and stages of an earlier trial do not count."""
    prefixes: dict[str, float] = field(default_factory=dict)
    """Seconds by the cut of each stored prefix used, as if it had been computed for this fit alone."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the report on how this was trained."""


@dataclass
class Fitted(Training):
    """The result of ``fit``."""

    predictor: Predictor
    """The trained classifier."""
    _: KW_ONLY
    similarity: list[dict[str, Any]] = field(default_factory=list)
    """How far tuning moved the backbone, block by block, see ``Record.similarity``."""
    samples: np.ndarray | None = None
    """Pictures for the report, uint8 (N, 2, S, S, 3): an image, and what the method made of it."""
    auxiliary_labels: int = 0
    """Auxiliary labels that it learned from, of all tasks together."""


class AuxiliaryLabels(Protocol):
    """A task to learn beside the target's, with its own classes."""

    @property
    def name(self) -> str:
        """Name of the task."""

    @property
    def classes(self) -> int:
        """Number of its classes."""

    @property
    def of_train(self) -> np.ndarray:
        """Its labels of the examples of ``Task.train``, int64 (N,). -1: no label."""

    @property
    def pool(self) -> Examples | None:
        """The rest of the pool, labelled by this task. In a search, groups of ``Task.val`` are left out."""

    @property
    def others(self) -> Examples | None:
        """Examples of another dataset that the task comes from. None: it labels the target's own examples."""


Classify = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""Learns from a few labelled features and classifies others.

Takes features (N, D), their labels (N,), other features (M, D) and the number of classes. Returns probabilities
of the other features, (M, classes)."""


@dataclass
class Embedding(Training):
    """The result of ``embed``: the features that a few-shot strategy compares."""

    embed: Callable[[Examples], np.ndarray]
    """Features of examples, float32 (N, D)."""

    def fitted(self, predictor: Predictor) -> Fitted:
        """Returns a classifier on these features, with what they took."""
        return Fitted(predictor, **{part.name: getattr(self, part.name) for part in fields(Training)})


class Task(Protocol):
    """The data and tools that a strategy gets. It holds no test set."""

    @property
    def train(self) -> Examples:
        """Labelled examples to train on."""

    @property
    def val(self) -> Examples | None:
        """The validation set. None in the refit, where ``train`` holds all n labelled examples."""

    @property
    def unlabelled(self) -> Examples:
        """The rest of the pool. Its labels cannot be read."""

    @property
    def target(self) -> Examples:
        """All examples of the target that may be seen: ``train`` and ``unlabelled``, without labels."""

    @property
    def source(self) -> Examples | None:
        """Labelled examples of the source. None: there is no source.

        Without any label of the target, ``train`` is empty and ``val`` holds examples of the source.
        """

    @property
    def auxiliary(self) -> Sequence[AuxiliaryLabels]:
        """Auxiliary tasks. They hold no label of the validation set."""

    @property
    def info(self) -> Info:
        """Facts about the cell."""

    @property
    def seed(self) -> int:
        """Seed of the repetition."""

    @property
    def epochs(self) -> int:
        """The plan's ``epochs``: most passes of a stage over the labels, if there are many."""

    @property
    def length(self) -> float:
        """Share of a stage's length that is trained: the plan's ``length``. Hyperband's first rounds take less."""

    def fit_stages(self, stages: list[Stage]) -> Fitted:
        """Trains a schedule of stages, each to its end."""

    @property
    def memory(self) -> dict[str, Any]:
        """Anything that a strategy keeps from one trial to the next, and to the refit.

        The refit has more examples, and trials may differ in epochs. Key what you keep by both.
        """

    def fit_embedding(self, stage: Stage, loss: str, turns: int, classify: Classify) -> Embedding:
        """Trains the backbone so that its features are near each other for examples of one class.

        It trains on ``source``, or on ``train`` if there is no source.

        Args:
            stage: the training. It begins with random weights if the backbone has none.
            loss: ``prototypical``, ``contrastive`` or ``triplet``.
            turns: 4: each class counts as four, one for each quarter turn. 1: no turns.
            classify: classifies validation examples by their features.
        """

    def fit_translated(self, fit: Callable[[Task], Fitted]) -> Fitted:
        """Fits on this task with its source's examples added once more, in the target's style.

        The translation is trained without any label, and its time counts as training.

        Args:
            fit: trains on that task.
        """

    def with_source(self, images: np.ndarray, labels: np.ndarray) -> Task:
        """Returns the same task with these labelled examples added to its source.

        Args:
            images: uint8 (N, S, S, 3).
            labels: int64 (N,).
        """

    def features(self, examples: Examples, layers: Literal["last", "all"] = "last") -> np.ndarray:
        """Returns the frozen backbone's features of examples, float32 (N, D). They are stored once and shared.

        Args:
            examples: any of the task's, or those that a predictor is given.
            layers: ``last``: the pooled last feature map. ``all``: the pooled ends of all blocks side by side.
        """

    @property
    def prefixes(self) -> dict[str, float]:
        """Seconds that the features of ``train`` and ``val`` cost so far, for ``Fitted.prefixes``."""


class Strategy:
    """Base of all strategies."""

    name: ClassVar[str]
    """The name in plans, tables and reports."""
    summary: ClassVar[str] = ""
    """One line: what it does."""
    when: ClassVar[str] = ""
    """When to use it, one line."""
    cost: ClassVar[str] = ""
    """Cost compared with feature extraction with the same number of trials, one line."""
    reference: ClassVar[str] = ""
    """The paper or page that the method comes from."""
    version: ClassVar[int] = 1
    """Raise it when the strategy would give other numbers. Old cells are then not reused."""
    modalities: ClassVar[frozenset[str] | None] = None
    """Kinds of examples it can learn from, by name (``image``, ``text``). None: any."""
    uses_backbone: ClassVar[bool] = True
    """False: it runs once, whatever the backbone."""
    uses_weights: ClassVar[bool] = True
    """False: it runs once per backbone, whatever the weights."""
    needs_weights: ClassVar[bool] = True
    """False: it starts from random weights if the backbone has none."""
    needs_source: ClassVar[bool] = False
    """Whether it learns from a labelled dataset of another domain. Only then it gets one."""
    uses_source: ClassVar[bool] = False
    """Whether it learns from a labelled source dataset of any classes, if there is one."""
    few_shot: ClassVar[bool] = False
    """Whether it can tell new classes apart by a few labels each. It then has ``embed`` and ``classify``."""
    trains: ClassVar[bool] = True
    """Whether it trains a network in the few-shot protocol. False, and nothing to search: all seeds agree."""
    needs_auxiliary: ClassVar[bool] = False
    """Whether it learns auxiliary labels. Only then it gets any. ``NAME:auxiliary=body`` gives it one task."""
    counterpart: ClassVar[str] = ""
    """Name of the same strategy without what this one adds. The report compares the two. Empty: no comparison."""
    limits: ClassVar[Mapping[str, Limit]] = Limits()
    """Limits of hyperparameters that are given, ``NAME:rank=4``, by name. Fields of stages, ``learning_rate`` and
    ``weight_decay`` have their own limits."""
    needs_labels: ClassVar[bool] = True
    """False: it can run without any label of the target, at fraction 0."""
    text: str = ""
    """Its name in the plan, with given hyperparameters: ``partial_finetune:unfreeze=0.25``."""
    fixed: Mapping[str, Any] = MappingProxyType({})
    """Given hyperparameters, which are not searched."""

    def learns_from(self, modalities: Set[str]) -> bool:
        """Returns whether it can learn from all of these kinds of examples."""
        return self.modalities is None or modalities <= self.modalities

    @property
    def many_labels(self) -> bool:
        """Whether it can learn any number of labels of each example. A schedule of stages on the target can."""
        schedule = type(self).fit is Strategy.fit
        return schedule and not (self.needs_source or self.needs_auxiliary)

    def skip(self, info: Info) -> str | None:
        """Returns why this strategy cannot run here, as the end of "skipped: ...", or None."""
        if self.modalities is not None and not self.learns_from({info.modality}):
            return f"it needs {' or '.join(f'{name}s' for name in sorted(self.modalities))}"
        if self.uses_weights and self.needs_weights and not info.has_weights:
            return "the backbone has no pretrained weights (weights=none), so there is nothing to transfer"
        if self.needs_source and not info.has_source:
            return "there is no source dataset (--source-dataset) to adapt from"
        if self.needs_auxiliary and not info.has_auxiliary:
            return "there are no auxiliary labels (--auxiliary COLUMN, --auxiliary-dataset) to learn beside its own"
        return None

    def space(self, hp: Any) -> None:
        """Declares the search space, with keras-tuner's ``hp.Float``, ``hp.Int`` and ``hp.Choice``.

        The defaults are tried first. Choose the values that you would use without a search.
        """

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        """Returns the schedule for the hyperparameters ``hp`` (``hp.get(name)``)."""
        raise NotImplementedError(f"{type(self).__name__} defines neither stages() nor fit()")

    def few_shot_space(self, hp: Any) -> None:
        """Declares the search space of the few-shot protocol, on held-out classes of the source."""
        self.space(hp)

    def spaces(self) -> list[Callable[[Any], None]]:
        """Returns the functions that declare its search space, one per protocol that it can run in."""
        return [self.space, self.few_shot_space] if self.few_shot else [self.space]

    def embed(self, task: Task, hp: Any) -> Embedding:
        """Learns the features that the few-shot protocol compares.

        ``task.train`` holds examples of other classes, from the source, or none. It never sees the new classes.
        """
        raise NotImplementedError(f"{type(self).__name__} has no embed()")

    def classify(
        self, support: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, hp: Any
    ) -> np.ndarray:
        """Returns the probabilities of queries, learned from the support alone, in the few-shot protocol.

        The arguments are those of ``Classify``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no classify()")

    def fit(self, task: Task, hp: Any) -> Fitted:
        """Trains on ``task`` and returns the predictor with what it took."""
        return task.fit_stages(self.stages(hp, task.info))
