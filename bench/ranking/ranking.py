"""What a ranking is: what is said of each backbone, and in which order they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.modalities.base import Modality
from bench.modalities.registry import modality

DECIDES = "probe"
"""What a ranking goes by. On clothing at 96 px all scores of features ordered six sets of weights (ImageNet's, of
two networks, and four with more and more noise) as feature extraction did, whose accuracy this one missed by 3.6
points. With random weights beside them the H-score fails: it puts those of EfficientNetLite0 (1,280 features, probe
46%) above ImageNet's of MobileNet:alpha=0.25 (256 features, probe 75%)."""


WHY = (
    "the predicted accuracy of a linear probe decides: it has seen these very {noun.many}, and being an accuracy "
    "it compares networks of any width, with a margin. No score wins everywhere (Agostinelli et al. 2022, "
    "arXiv:2204.01403), and both a probe and the ImageNet accuracy can miss the best network (Renggli et al. 2022, "
    "arXiv:2010.06402): where margins overlap, run several"
)


COLUMNS = {
    "probe": "leave-one-out accuracy of a ridge classifier on the features: predicts that of a linear probe on as "
    "many labels",
    "knn": "leave-one-out accuracy of the 5 nearest neighbours",
    "nearest_mean": "leave-one-out accuracy of the nearest class mean",
    "logme": "log evidence of a Bayesian linear model, in nats {noun.any}; higher is better",
    "h_score": "variance of the features between classes against all of it, shrunk; higher is better",
    "leep": "log probability of the labels through the network's own ImageNet classes; 0 is best",
    "nce": "the same from the first of these classes alone; 0 is best",
    "imagenet_top1": "published ImageNet accuracy in percent: says nothing of these {noun.many}",
    "params": "parameters of the backbone, without a classifier",
    "ms_per_image": "what its features took when they were stored, on the threads of one worker",
}
"""What is said of each backbone: scores, then what one would go by without any, and the cost."""


SCORES = ("probe", "knn", "nearest_mean", "logme", "h_score", "leep", "nce")


BASELINES = ("imagenet_top1", "params")


@dataclass(frozen=True)
class Ranked:
    """One backbone in a ranking; None stands for what is not known or does not exist.

    Attributes:
        backbone: as plans name it, weights included.
        scores: by the names in ``SCORES``.
        missing: why a score is None.
        params: of the backbone, without a classifier.
        width: features an example.
        feature_map: their extent before they were pooled, of images rows and columns.
        imagenet_top1: published, in percent.
        ms_per_image: what its features took.
    """

    backbone: str
    scores: dict[str, float | None]
    missing: dict[str, str]
    params: int
    width: int
    feature_map: list[int]
    imagenet_top1: float | None
    ms_per_image: float | None

    def value(self, column: str) -> float | None:
        """What stands in a column of ``COLUMNS``."""
        return self.scores[column] if column in SCORES else getattr(self, column)


@dataclass(frozen=True)
class Ranking:
    """The backbones in order for one dataset, the best first.

    Attributes:
        dataset, name, fingerprint: which data.
        images: labelled examples of the pool that were looked at.
        pool: how many there are.
        classes: number of classes.
        majority: the share of the commonest class among all of them: what no features are needed for.
        modality: of the examples.
        input: how they became rows, by the plan's keys.
        pooling: of the features.
        backbones: in order.
        left_out: (backbone, why) of those that could not be ranked.
        warnings: what speaks against these numbers, sentences.
    """

    dataset: str
    name: str
    fingerprint: str
    images: int
    pool: int
    classes: int
    majority: float
    modality: str
    input: dict[str, Any]
    pooling: str
    backbones: tuple[Ranked, ...]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()

    def margin(self, accuracy: float) -> float:
        """Half the width of the 95% interval of an accuracy on so many examples."""
        return 1.96 * math.sqrt(max(accuracy * (1 - accuracy), 0.0) / self.images)

    @property
    def kind(self) -> Modality:
        """What knows the examples."""
        return modality(self.modality)

    @property
    def why(self) -> str:
        """Why it goes by ``DECIDES``."""
        return WHY.format(noun=self.kind.noun)

    @property
    def columns(self) -> dict[str, str]:
        """What each column means."""
        return {column: meaning.format(noun=self.kind.noun) for column, meaning in COLUMNS.items()}

    def to_json(self) -> dict[str, Any]:
        """With what decides, why, and what the columns mean."""
        content = asdict(self)
        return {
            **content,
            **content.pop("input"),
            "decides": DECIDES,
            "why": self.why,
            "columns": self.columns,
        }


def order(backbones: Sequence[Ranked]) -> list[Ranked]:
    """The best first: by the predicted accuracy of a probe, at equal ones by LogME, then the smaller."""

    def key(ranked: Ranked) -> tuple[float, float, int, str]:
        probe, logme = (ranked.scores.get(name) for name in (DECIDES, "logme"))
        return (
            math.inf if probe is None else -probe,
            math.inf if logme is None else -logme,
            ranked.params,
            ranked.backbone,
        )

    return sorted(backbones, key=key)


def choose(rankings: Sequence[Ranking], count: int, named: Sequence[str]) -> list[str]:
    """The first ``count`` by their mean place over the datasets, then what else was named."""
    places: dict[str, list[int]] = {}
    for ranking in rankings:
        for place, ranked in enumerate(ranking.backbones):
            places.setdefault(ranked.backbone, []).append(place)
    everywhere = [backbone for backbone, found in places.items() if len(found) == len(rankings)]
    best = sorted(everywhere, key=lambda backbone: sum(places[backbone]))[:count]
    return [*best, *(backbone for backbone in named if backbone not in best)]
