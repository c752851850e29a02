"""What the trainings of a cell share: the data and settings of one search or refit, and how networks are fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.system.seeds import generator
from bench.training.engine import Network
from bench.training.examples import Augmentation, Inputs, PartExamples
from bench.training.losses.multitask import AuxiliaryLabels
from bench.training.prefixes import VIEWS
from bench.training.programs.config import HeadConfig
from strategies.base import Classify, Info, Stage


@dataclass
class Context:
    """One search or refit of a cell; it holds rows of the pool only.

    Args:
        network: None for strategies that use no backbone.
        train, val, unlabelled: see ``strategies.base.Task``.
        info: what the strategy may know.
        head: the head to put on top.
        augmentation: of training examples.
        seed: the cell's seed.
        epochs, length: see ``Task``.
        batch_size: of stages that train the backbone, at most; see ``strategies.lengths``.
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
    length: float = 1.0
    tick: Callable[[str], None] = lambda text: None
    source: PartExamples | None = None
    n_source: int = 0
    auxiliary: tuple[AuxiliaryLabels, ...] = ()
    memory: dict[str, Any] = field(default_factory=dict)
    judge: Callable[[np.ndarray, Classify], float] | None = None

    @property
    def searches(self) -> bool:
        """Whether this is a search and no refit."""
        return self.val is not None

    @property
    def target(self) -> PartExamples:
        """See ``Task.target``."""
        return replace(self.unlabelled, index=np.union1d(self.train.index, self.unlabelled.index))

    @property
    def validates_source(self) -> bool:
        """Whether the examples that validate are of the source: there is no label of the target."""
        return self.val is not None and self.info.n == 0

    def needed_network(self) -> Network:
        """The network, which a strategy has that uses a backbone."""
        if self.network is None:
            raise ValueError("This strategy says uses_backbone = False, so there is no network for it.")
        return self.network

    def inputs(self, stage: Stage, examples: PartExamples, augmented: bool) -> tuple[Inputs, float]:
        """The inputs of a stage's program for ``examples``, and the seconds that their prefix cost."""
        augmentation = self.augmentation if augmented else None
        if stage.cut == "input":
            return examples.inputs(augmentation), 0.0
        network = self.needed_network()
        views = VIEWS if augmentation else 1
        store = network.prefixes(network.cut(stage.cut), self.head.pooling)
        prefix = store.get(examples, augmentation, views)
        return prefix.batch, prefix.seconds_per_example * len(examples)

    def shuffled(self, inputs: Inputs, count: int) -> Callable[[np.ndarray], list[np.ndarray]]:
        """Examples not in their order, which in a folder is by class: the first few are to be like all."""
        order = generator(self.seed, "statistics").permutation(count)
        return lambda rows: inputs(order[rows], None)
