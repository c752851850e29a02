"""The plan: what to run. A TOML file, a dictionary and the command line are three ways to write one."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    field_validator,
    model_serializer,
)

from bench.modalities.registry import DEFAULT, plan_keys
from bench.records import ACCURACY, FRACTIONS, LATER, ClassWeight, Groups, Metric
from bench.schemas import MOST_SEEDS, Threads
from bench.system import backend as backends
from bench.system.files import digest
from bench.system.sections import Section, distinct
from reports.statistics.looks import UNTIL_DECIDED

DEFAULT_STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "full_finetune", "majority")

NUMBERLESS = ("limits", "ranking", "report", "until", "budget")
"""Keys and sections that change no number of a cell: a run may go on with others."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""Of a budget, in seconds."""

AUTO = "auto"
"""``auto:5`` among the backbones: the first five by ``bench.ranking.rank``."""


class Head(Section):
    """What stands on top of the backbone: pooling, an optional hidden layer, dropout, a linear layer.

    A list of values for ``hidden_units`` or ``dropout`` is searched, in the same way for every strategy.
    """

    pooling: Literal["avg", "max"] = "avg"
    hidden_units: Annotated[int, Field(ge=0)] | list[Annotated[int, Field(ge=0)]] = 0
    dropout: Annotated[float, Field(ge=0, lt=1)] | list[Annotated[float, Field(ge=0, lt=1)]] = 0.0

    @field_validator("hidden_units", "dropout")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value == []:
            raise ValueError("a value, or a list of at least one")
        return value


class Tuning(Section):
    """How hyperparameters are searched: the same number of trials for every strategy.

    With no trials nothing is searched: the defaults are trained once, on all labelled examples of a cell."""

    algorithm: Literal["random", "bayesian", "hyperband", "grid"] = "random"
    trials: Annotated[int, Field(ge=0, le=1000)] = 4


class Limits(Section):
    """What a cell may spend. Limits change no number, so they are not part of a cell's identity."""

    cell_seconds: Annotated[float, Field(gt=0)] = 3600
    """After this a cell is ended; ``inf``: never."""


class Ranking(Section):
    """How backbones are ranked, for ``rank`` and ``auto:5``. What was chosen stands in ``backbones`` of the run."""

    images: Annotated[int, Field(ge=20)] = 5000
    """Labelled examples of the pool that are looked at, at most; drawn by class."""
    download: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """ImageNet weights that are missing are downloaded for networks of so many million parameters or fewer."""


class Report(Section):
    """How results are read and shown. Like limits, none of it changes a number of a cell."""

    region: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Of practical equivalence: a difference in the plan's metric within plus or minus this counts as none."""
    price_per_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of the machine, in any currency: costs are shown in money too. 0: they are not."""
    thumbnails: bool = True
    """Whether the page shows test examples; false for private data."""


def section(protocol: str) -> str:
    """The key of a plan's section for a protocol: ``few_shot`` for ``few-shot``."""
    return protocol.replace("-", "_")


def automatic(backbone: str) -> int | None:
    """How many backbones ``auto:K`` stands for; None for the name of a backbone.

    Raises:
        ValueError: it begins like one and is none.
    """
    word, colon, number = backbone.strip().partition(":")
    if word.strip() != AUTO:
        return None
    if not colon or not number.strip().isdecimal() or int(number) < 1:
        raise ValueError("auto:K with a whole number K of at least 1, such as auto:5")
    return int(number)


def budget_seconds(budget: str) -> float:
    """``90s``, ``30m``, ``1.5h`` in seconds; a number alone is seconds; ``inf`` for none.

    Raises:
        ValueError: it is no such time.
    """
    if not budget:
        return math.inf
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([smh]?)\s*", budget)
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if not 0 < seconds < 1e9:
        raise ValueError("a time such as 90s, 30m or 2h")
    return seconds


def _budget(budget: str) -> str:
    budget_seconds(budget)
    return budget.replace(" ", "")


def _checked(backbone: str) -> str:
    automatic(backbone)
    return backbone


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]

if TYPE_CHECKING:  # what is made at run time has no fields for mypy
    Keys = Section
else:
    Keys = create_model("Keys", __base__=tuple(plan_keys().values()))

NEWER = {
    key: field.default
    for name, keys in plan_keys().items()
    if name != DEFAULT
    for key, field in keys.model_fields.items()
}
"""Keys of modalities that came later, with their defaults: a plan without them is what it was."""


class Plan(Keys):
    """What to run: the product of datasets, backbones, strategies, fractions and seeds.

    Files, dictionaries and flags may give ``weights`` as well: every backbone is then run with each of them.
    The defaults are those of ``python -m bench run --dataset D --backbone B``.
    """

    datasets: Annotated[list[str], Field(min_length=1)]
    backbones: Annotated[list[Annotated[str, AfterValidator(_checked)]], Field(min_length=1)] = [
        "EfficientNetLite0"
    ]
    strategies: Annotated[list[str], Field(min_length=1)] = list(DEFAULT_STRATEGIES)
    fractions: list[Annotated[float, Field(ge=0, le=1)]] = [0.1, 0.25, 0.5, 1.0]
    """Empty in a protocol whose cells do not learn from shares of the labels."""
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 3
    until: Literal["complete", "decided"] = "complete"
    """``decided``: seeds grow to 3, 5 and 10 where they can settle something, and what is surely not the best gets
    no more."""
    budget: Annotated[str, AfterValidator(_budget)] = ""
    """Such as ``30m``: no cell begins that would end later. It ends earlier when it is decided. Empty: none."""
    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the labels where these are many. With few, each strategy trains for a number of steps instead."""
    length: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The share of each strategy's own length of training: 0.1 for a quick look, 2 for twice as long."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    threads: Threads = 1
    metric: Metric = ACCURACY
    """Which metric decides: among trials, in the report and its figures, and in what is recommended."""
    class_weight: ClassWeight = "none"
    """``balanced``: in training, all classes count the same, however many labels they have."""
    groups: Groups = "none"
    """``auto``: examples whose file names repeat a person, video or original stay together; a given ``group``
    always holds."""
    source_dataset: str = ""
    """A labelled dataset with the same classes that looks different, for strategies that adapt from it."""
    source_groups: Literal["auto", "names", "none"] = "auto"
    """Which of its examples count as one group with examples of the dataset: ``companions.source.pair``."""
    protocol: str = FRACTIONS
    """``fractions``: learn from shares of the labels. The others are in ``bench.plans.protocol``."""
    protocol_settings: dict[str, Any] = {}
    """Those of a protocol other than ``fractions``; written as the section that has its name."""
    auxiliary: list[Annotated[str, Field(min_length=1)]] = []
    """Further columns of the manifest, for strategies that learn their labels beside the dataset's own."""
    auxiliary_dataset: str = ""
    """Another dataset, with classes of its own, for the same strategies."""
    auxiliary_groups: Literal["auto", "names", "none"] = "auto"
    """Like ``source_groups``, of the auxiliary dataset."""
    # What KERAS_BACKEND says is checked when a plan is prepared: a report needs no backend.
    backend: Literal["tensorflow", "torch", "jax"] = Field(default_factory=backends.asked_for)  # type: ignore[arg-type]
    # mixed: activations of 16 bits, weights and head of 32; faster on GPUs and on CPUs with AVX512-BF16.
    precision: Precision = "float32"
    head: Head = Head()
    tuning: Tuning = Tuning()
    limits: Limits = Limits()
    ranking: Ranking = Ranking()
    report: Report = Report()

    @field_validator("backbones")
    @classmethod
    def _auto_once(cls, values: list[str]) -> list[str]:
        if sum(automatic(value) is not None for value in values) > 1:
            raise ValueError("auto:K once")
        return values

    @field_validator("datasets", "backbones", "strategies", "fractions", "auxiliary")
    @classmethod
    def _distinct(cls, values: list[Any]) -> list[Any]:
        values = distinct(values)
        return sorted(values) if values and isinstance(values[0], float) else values

    @model_serializer(mode="wrap")
    def _used(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What a plan does not use is not written and not hashed: it is the plan that it was before there was such a
        # thing.
        content: dict[str, Any] = handler(self)
        settings = content.pop("protocol_settings", None)
        unused = [] if self.source_dataset else ["source_dataset", "source_groups"]
        unused += [] if self.auxiliary else ["auxiliary"]
        unused += [] if self.auxiliary_dataset else ["auxiliary_dataset", "auxiliary_groups"]
        unused += [] if self.fractions else ["fractions"]
        unused += [key for key, default in (NEWER | LATER).items() if content.get(key) == default]
        unused += ["protocol"] if self.protocol == FRACTIONS else []
        unused += [
            key for key, default in (("until", "complete"), ("budget", "")) if content.get(key) == default
        ]
        for key in unused:
            content.pop(key, None)
        return content if self.protocol == FRACTIONS else content | {section(self.protocol): settings}

    @property
    def is_cut_short(self) -> bool:
        """Whether it ends when it is decided or its time is up, and not with the last of its cells."""
        return self.until == "decided" or bool(self.budget)

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds at which claims are made, rising."""
        later = tuple(seeds for seeds in UNTIL_DECIDED if seeds >= self.seeds)
        return later if self.is_cut_short and later else (self.seeds,)

    @property
    def auto(self) -> int | None:
        """How many backbones are to be chosen by their ranking; None if all are named."""
        return next((count for count in map(automatic, self.backbones) if count is not None), None)

    @property
    def named(self) -> list[str]:
        """The backbones that are named."""
        return [backbone for backbone in self.backbones if automatic(backbone) is None]

    def to_toml(self) -> str:
        """The plan as a TOML file that ``load_plan`` reads back to an equal plan."""
        return tomli_w.dumps(self.model_dump(mode="json"))

    def hash(self) -> str:
        """Six hexadecimal characters that name this plan. Sections that change no number do not count, nor do the
        usual backend and precision, which plans did not always name."""
        usual = {"backend": backends.DEFAULT, "precision": "float32"}
        default = {name for name, value in usual.items() if getattr(self, name) == value}
        return digest(self.model_dump(mode="json", exclude={*NUMBERLESS, *default}), 6)
