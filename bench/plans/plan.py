"""The plan: what to run. A TOML file, a dictionary and the command line are three ways to write one."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    field_validator,
    model_serializer,
)

from bench.modalities.registry import DEFAULT, plan_keys
from bench.records import ACCURACY, FRACTIONS, LATER, SINGLE_LABEL, ClassWeight, Groups, Metric, TaskName
from bench.schemas import MOST_SEEDS, Threads
from bench.system import backend as backends
from bench.system.files import digest
from bench.system.sections import Section, distinct
from reports.statistics.looks import UNTIL_DECIDED

DEFAULT_STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "full_finetune", "majority")

NUMBERLESS = ("limits", "ranking", "report", "until", "budget")
"""Keys and sections that change no number of a cell: a run may go on with others."""

AMOUNT = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
"""The number of a budget, as a regular expression."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""Of a budget, in seconds."""

AUTO = "auto"
"""``auto:5`` among the backbones: the first five by ``bench.ranking.rank``."""


class Head(Section):
    """The layers on top of the backbone: pooling, an optional hidden layer, dropout, a linear layer.

    A list of values for ``hidden_units`` or ``dropout`` is searched, in the same way for every strategy.
    """

    pooling: Literal["avg", "max"] = "avg"
    """How the last feature map becomes one vector."""
    hidden_units: Annotated[int, Field(ge=0)] | list[Annotated[int, Field(ge=0)]] = 0
    """Units of a hidden layer before the output. 0: no hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | list[Annotated[float, Field(ge=0, lt=1)]] = 0.0
    """Share of the head's inputs that are dropped in training."""

    @field_validator("hidden_units", "dropout")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value == []:
            raise ValueError("a value, or a list of at least one")
        return value


class Tuning(Section):
    """How hyperparameters are searched: the same number of trials for every strategy."""

    algorithm: Literal["random", "bayesian", "hyperband", "grid"] = "random"
    """How keras-tuner chooses the trials after the first. The first is always the default."""
    trials: Annotated[int, Field(ge=0, le=1000)] = 4
    """Trials per cell, the same number for every strategy. 0: no search, the defaults train once on all labels."""


class Limits(Section):
    """Limits of a cell. They change no number, so you can set others at any time."""

    cell_seconds: Annotated[float, Field(gt=0)] = 3600
    """Most seconds that a cell may take. Then it ends as ``timeout``. ``inf``: no limit."""


class Ranking(Section):
    """How ``rank`` and ``auto:5`` rank backbones. The run's own plan names the chosen ones."""

    images: Annotated[int, Field(ge=20)] = 5000
    """Most labelled examples of the pool that the ranking uses, drawn by class."""
    download: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """Missing ImageNet weights are downloaded for networks of up to this many million parameters. 0: none."""


class Report(Section):
    """How results are read and shown. None of it changes a number, and you can change it at any time."""

    region: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """A difference in the plan's metric within plus or minus this counts as none: the region of equivalence."""
    price_per_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Price of the machine, in any currency. Costs are then shown in money too. 0: they are not."""
    thumbnails: bool = True
    """Whether the page shows test examples. Use ``false`` for private data."""


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
        raise ValueError("auto:K with a whole number K of 1 or more, such as auto:5")
    return int(number)


def budget_seconds(budget: str) -> float:
    """``90s``, ``30m``, ``1.5h`` in seconds; ``inf`` for none.

    Raises:
        ValueError: it is no such time. A number alone is none: minutes were meant as often as seconds.
    """
    if not budget:
        return math.inf
    found = re.fullmatch(rf"\s*({AMOUNT})\s*([smh]?)\s*", budget)
    if found and not found[2] and float(found[1]):
        raise ValueError(f"a time with its unit: {found[1]}s, {found[1]}m or {found[1]}h")
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if not 0 < seconds < 1e9:
        raise ValueError("a time such as 90s, 30m or 2h")
    return seconds


def _budget(budget: object) -> str:
    """Takes numbers as well, so that they are refused with what to type."""
    text = str(budget)
    budget_seconds(text)
    return text.replace(" ", "")


def _checked(backbone: str) -> str:
    automatic(backbone)
    return backbone


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]

if TYPE_CHECKING:  # what is made at run time has no fields for mypy
    Keys = Section
else:
    # The other way round: the fields of the last base come first.
    Keys = create_model("Keys", __base__=tuple(reversed(plan_keys().values())))

NEWER = {
    key: field.default
    for name, keys in plan_keys().items()
    if name != DEFAULT
    for key, field in keys.model_fields.items()
    if key not in plan_keys()[DEFAULT].model_fields
}
"""Keys of modalities that came later, with their defaults: a plan without them is what it was."""


class Plan(Keys):
    """A plan of cells: the product of datasets, backbones, strategies, fractions and seeds.

    Files, dictionaries and flags may give ``weights`` as well: every backbone is then run with each of them.
    The defaults are those of ``python -m bench run --dataset D --backbone B``.
    """

    datasets: Annotated[list[str], Field(min_length=1)]
    """Folders, manifests, ``.npz`` files or names, see ``bench ls datasets``."""
    backbones: Annotated[list[Annotated[str, AfterValidator(_checked)]], Field(min_length=1)] = [
        "EfficientNetLite0"
    ]
    """Networks with options, such as ``MobileNet:alpha=0.25``. ``auto:3`` takes the best three by ``rank``."""
    strategies: Annotated[list[str], Field(min_length=1)] = list(DEFAULT_STRATEGIES)
    """Names, with fixed hyperparameters if you like: ``partial_finetune:unfreeze=0.25``."""
    fractions: list[Annotated[float, Field(ge=0, le=1)]] = [0.1, 0.25, 0.5, 1.0]
    """Shares of the labelled pool to learn from. Where 0.1 is too little for some class, the default begins higher.
    The few-shot protocol has none."""
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 3
    """Repetitions. Each draws its own labelled subsets. Answers need at least three."""
    until: Literal["complete", "decided"] = "complete"
    """``decided``: end once the answer is clear. Seeds then grow to 3, 5 and 10 where they can settle something."""
    budget: Annotated[str, BeforeValidator(_budget)] = ""
    """Time for the run, such as ``90s``, ``30m`` or ``2h``. The run ends earlier if the answer is clear."""
    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the labels if there are many. With few, each strategy trains for its number of steps."""
    length: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Share of each strategy's own training length. 0.1 is a quick look, 2 is twice as long."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Largest batch. Batches are smaller if there are few labels."""
    threads: Threads = 1
    """Training threads per worker."""
    task: TaskName = SINGLE_LABEL
    """``single_label``: one class for each example. ``multi_label``: any number of labels, such as ``cat;dog``."""
    metric: Metric = ACCURACY
    """The metric that decides: among trials, in the report, and in recommendations. With many labels the default is
    ``mean_average_precision``."""
    class_weight: ClassWeight = "none"
    """``balanced``: all classes count the same in training, however many labels they have."""
    groups: Groups = "none"
    """``auto``: examples whose file names repeat a person, video or original stay on one side of every split. A
    column ``group`` is always kept."""
    source_dataset: str = ""
    """A second labelled dataset to adapt from, with the same classes. Few-shot: with other classes."""
    source_groups: Literal["auto", "names", "none"] = "auto"
    """Which of its examples form one group with examples of the dataset. ``auto`` decides by names and pixels."""
    protocol: str = FRACTIONS
    """``fractions`` learns from shares of the labels. ``few-shot`` tells new classes apart by a few labels each."""
    protocol_settings: dict[str, Any] = {}
    """Those of a protocol other than ``fractions``; written as the section that has its name."""
    auxiliary: list[Annotated[str, Field(min_length=1)]] = []
    """More label columns of the manifest, for ``multi_task``."""
    auxiliary_dataset: str = ""
    """Another dataset with its own classes, for ``multi_task``."""
    auxiliary_groups: Literal["auto", "names", "none"] = "auto"
    """Like ``source_groups``, for the auxiliary dataset."""
    backend: Literal["tensorflow", "torch", "jax"] = Field(default_factory=backends.asked_for)  # type: ignore[arg-type]
    # What KERAS_BACKEND says is checked when a plan is prepared: a report needs no backend.
    """The backend of Keras. Default: the variable ``KERAS_BACKEND``, or ``tensorflow``."""
    precision: Precision = "float32"
    """Mixed precision is faster on GPUs and some CPUs. Activations have 16 bits, weights and head 32."""
    head: Head = Head()
    tuning: Tuning = Tuning()
    limits: Limits = Limits()
    ranking: Ranking = Ranking()
    report: Report = Report()

    @field_validator("backbones")
    @classmethod
    def _auto_once(cls, values: list[str]) -> list[str]:
        if sum(automatic(value) is not None for value in values) > 1:
            raise ValueError("given with auto:K once")
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
        """How many backbones are to be chosen by their ranking. None: all are named."""
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
