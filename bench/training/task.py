"""The task of a search or refit, as strategies see it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from bench.system.files import digest
from bench.training import embedding
from bench.training.context import Context
from bench.training.examples import PartExamples
from bench.training.stages import Finished, fit_stages
from bench.training.translation import Translator
from strategies.base import Classify, Embedding, Examples, Fitted, Stage, Task


@dataclass
class CellTask(Context):
    """The ``strategies.base.Task`` of one search or refit of a cell."""

    _finished: Finished = field(default_factory=dict)
    _spent: dict[tuple[str, bool], float] = field(default_factory=dict)

    def fit_stages(self, stages: list[Stage]) -> Fitted:
        """See ``Task.fit_stages``."""
        return fit_stages(self, stages, self._finished)

    def fit_embedding(self, stage: Stage, loss: str, turns: int, classify: Classify) -> Embedding:
        """See ``Task.fit_embedding``."""
        return embedding.fit_embedding(self, stage, loss, turns, classify)

    def fit_translated(self, fit: Callable[[Task], Fitted]) -> Fitted:
        """See ``Task.fit_translated``."""
        assert self.source is not None
        translator: Translator = self.memory.setdefault("translator", Translator())
        made = translator.translation(self)
        fitted = fit(self.with_source(made.images, self.source.labels))
        fitted.seconds += translator.seconds()
        fitted.samples = made.samples
        return fitted

    def with_source(self, images: np.ndarray, labels: np.ndarray) -> CellTask:
        """See ``Task.with_source``."""
        assert self.source is not None
        data = np.concatenate([self.source.rows(), images])
        source = replace(
            self.source,
            data=data,
            names=[f"{i}" for i in range(len(data))],
            # Whoever stores what a network makes of them has to tell them from any others.
            key=digest([self.source.key, hashlib.sha256(data.tobytes()).hexdigest()]),
            index=np.arange(len(data)),
            known=np.concatenate([self.source.labels, labels]),
        )
        # The same in search and refit, however much of the source the search has: so are sizes of batches then.
        n_source = round(self.n_source * len(data) / len(self.source))
        return replace(self, source=source, n_source=n_source)

    def features(self, examples: Examples, layers: str = "last") -> np.ndarray:
        """See ``Task.features``."""
        assert isinstance(examples, PartExamples)
        store = self.needed_network().prefixes(None, self.head.pooling, every=layers == "all")
        prefix = store.get(examples, None, 1)
        if examples is self.train or examples is self.val:
            cut = "top" if layers == "last" else "every"
            self._spent[cut, examples is self.val] = prefix.seconds_per_example * len(examples)
        return np.concatenate(prefix.batch(np.arange(len(examples)), None), axis=1)

    @property
    def prefixes(self) -> dict[str, float]:
        """See ``Task.prefixes``."""
        cuts = {cut for cut, _ in self._spent}
        return {cut: sum(seconds for (c, _), seconds in self._spent.items() if c == cut) for cut in cuts}
