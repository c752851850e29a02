"""The plan: what to run. A TOML file, a dictionary and the command line are three ways to write one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from bench.errors import RequestError, did_you_mean
from bench.system import backend as backends
from bench.system.files import digest
from bench.system.names import names_weights, with_weights

DEFAULT_STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "full_finetune", "majority")
FEW_SHOT_STRATEGIES = ("nearest_pixel", "feature_extraction", "siamese", "prototypical")
"""Those of the few-shot protocol."""


NUMBERLESS = ("limits", "ranking", "report")
"""Sections that change no number of a cell: a run may go on with others."""

AUTO = "auto"
"""``auto:5`` among the backbones: the first five by ``bench.ranking.rank``."""


class _Section(BaseModel):
    # Strict: "3" is not 3 and true is not 1; a typing mistake in a plan is to be told, not guessed at.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants")


class Head(_Section):
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


class Tuning(_Section):
    """How hyperparameters are searched: the same number of trials for every strategy."""

    algorithm: Literal["random", "bayesian", "hyperband", "grid"] = "random"
    trials: Annotated[int, Field(ge=1, le=1000)] = 4


class Limits(_Section):
    """What a cell may spend. Limits change no number, so they are not part of a cell's identity."""

    cell_seconds: Annotated[float, Field(gt=0)] = 3600
    """After this a cell is ended; ``inf``: never."""


class FewShot(_Section):
    """What the few-shot protocol measures: every number of ways with every number of shots.

    An episode has ``ways`` new classes, ``shots`` labelled images of each, and ``queries`` others of each, at most,
    to be classified.
    """

    ways: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = [5, 20]
    shots: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [1, 5]
    episodes: Annotated[int, Field(ge=10)] = 1000
    queries: Annotated[int, Field(ge=1)] = 5

    @field_validator("ways", "shots")
    @classmethod
    def _distinct(cls, values: list[int]) -> list[int]:
        twice = [v for i, v in enumerate(values) if v in values[:i]]
        if twice:
            raise ValueError(f"every value once; {twice[0]!r} is given twice")
        return sorted(values)


class Ranking(_Section):
    """How backbones are ranked, for ``rank`` and ``auto:5``. What was chosen stands in ``backbones`` of the run."""

    images: Annotated[int, Field(ge=20)] = 5000
    """Labelled images of the pool that are looked at, at most; drawn by class."""
    download: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """ImageNet weights that are missing are downloaded for networks of so many million parameters or fewer."""


class Report(_Section):
    """How results are read and shown. Like limits, none of it changes a number of a cell."""

    region: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Of practical equivalence: a difference in accuracy within plus or minus this counts as none."""
    price_per_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of the machine, in any currency: costs are shown in money too. 0: they are not."""
    thumbnails: bool = True
    """Whether the page shows test images; false for private data."""


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


def _checked(backbone: str) -> str:
    automatic(backbone)
    return backbone


class Plan(_Section):
    """What to run: the product of datasets, backbones, strategies, fractions and seeds.

    Files, dictionaries and flags may give ``weights`` as well: every backbone is then run with each of them.
    The defaults are those of ``python -m bench run --dataset D --backbone B``.
    """

    datasets: Annotated[list[str], Field(min_length=1)]
    backbones: Annotated[list[Annotated[str, AfterValidator(_checked)]], Field(min_length=1)] = [
        "EfficientNetLite0"
    ]
    strategies: Annotated[list[str], Field(min_length=1)] = list(DEFAULT_STRATEGIES)
    fractions: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)] = [0.1, 0.3, 1.0]
    seeds: Annotated[int, Field(ge=1, le=1000)] = 3
    image_size: Annotated[int, Field(ge=8, le=2048)] = 96
    # crop: the centre, in its proportions, as pretrained networks expect; on clothing a linear probe on stretched
    # images is 4 points worse.
    resizing: Literal["crop", "stretch", "pad"] = "crop"
    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 32
    augmentation: Literal["none", "light", "strong", "affine"] = "light"
    flip: bool | Literal["auto"] = "auto"
    threads: Annotated[int, Field(ge=1)] = 1
    source_dataset: str = ""
    """A labelled dataset with the same classes that looks different, for strategies that adapt from it."""
    source_groups: Literal["auto", "names", "none"] = "auto"
    """Which of its images count as one group with images of the dataset: ``companions.source.pair``."""
    protocol: Literal["fractions", "few-shot"] = "fractions"
    """``fractions``: learn from shares of the labels. ``few-shot``: tell new classes apart by a few labels each,
    after learning from the other classes of ``source_dataset``."""
    few_shot: FewShot = FewShot()
    auxiliary: list[Annotated[str, Field(min_length=1)]] = []
    """Further columns of the manifest, for strategies that learn their labels beside the dataset's own."""
    auxiliary_dataset: str = ""
    """Another dataset, with classes of its own, for the same strategies."""
    auxiliary_groups: Literal["auto", "names", "none"] = "auto"
    """Like ``source_groups``, of the auxiliary dataset."""
    # What KERAS_BACKEND says is checked when a plan is prepared: a report needs no backend.
    backend: Literal["tensorflow", "torch", "jax"] = Field(default_factory=backends.asked_for)  # type: ignore[arg-type]
    # mixed: activations of 16 bits, weights and head of 32; faster on GPUs and on CPUs with AVX512-BF16.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
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
        twice = [v for i, v in enumerate(values) if v in values[:i]]
        if twice:
            raise ValueError(f"every value once; {twice[0]!r} is given twice")
        return sorted(values) if values and isinstance(values[0], float) else values

    @model_serializer(mode="wrap")
    def _without_source(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A plan without a source is written, and hashed, as before there were any; so with auxiliary labels, and
        # with protocols.
        content: dict[str, Any] = handler(self)
        unused = [] if self.source_dataset else ["source_dataset", "source_groups"]
        unused += [] if self.auxiliary else ["auxiliary"]
        unused += [] if self.auxiliary_dataset else ["auxiliary_dataset", "auxiliary_groups"]
        unused += ["fractions"] if self.protocol == "few-shot" else ["protocol", "few_shot"]
        for key in unused:
            content.pop(key, None)
        return content

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


QUICKSTART: dict[str, Any] = {
    "datasets": ["digits"],
    "backbones": ["EfficientNetLite0"],
    "fractions": [0.03, 0.1, 0.28],
    "seeds": 2,
    "image_size": 32,
    "epochs": 8,
    "tuning": {"trials": 2},
}
"""The plan of ``python -m bench run`` without arguments: real weights, no download, minutes."""


def load_plan(plan: str | Path | dict[str, Any] | Plan) -> Plan:
    """Reads and validates a plan.

    Args:
        plan: the path of a TOML file, or a dictionary with the same keys.

    Returns:
        The plan; dataset paths that were relative in a file are relative to the current folder.

    Raises:
        RequestError: the file is missing or not TOML, or a key is unknown or has an unusable value.
    """
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, (str, Path)):
        return _validated(read_toml(Path(plan)))
    return _validated(plan)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a plan file, not yet validated."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError("PLAN", str(path), "the path of a TOML file that exists") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError("PLAN", str(path), f"a readable TOML file ({error})") from None


def read_stored_plan(path: Path) -> dict[str, Any]:
    """The content of a run directory's ``plan.toml``; early ones do not name the backend, which was TensorFlow."""
    return {"backend": backends.DEFAULT, **read_toml(path)}


def set_key(plan: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of ``plan`` in which ``key`` (dotted for a section: ``tuning.trials``) has a new value."""
    section, dot, rest = key.partition(".")
    if not dot:
        return {**plan, key: value}
    inner = plan.get(section, {})
    if not isinstance(inner, dict):
        raise RequestError("--set", key, f"a key of the plan; {section!r} has no keys of its own")
    return {**plan, section: set_key(inner, rest, value)}


def parse_assignment(text: str) -> tuple[str, Any]:
    """Reads one ``key=value`` of ``--set``; the value is TOML, or else taken as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RequestError("--set", text, "key=value, for instance tuning.trials=8")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def change_report(settings: Report, changes: dict[str, Any]) -> Report:
    """Report settings with other values; those that are None stay.

    Raises:
        RequestError: a value cannot be used.
    """
    content = settings.model_dump() | {key: value for key, value in changes.items() if value is not None}
    return _validated({"datasets": ["any"], "report": content}).report


def _validated(content: dict[str, Any]) -> Plan:
    # In TOML and in a dictionary 1 is as good a fraction as 1.0.
    content = dict(content)
    if isinstance(content.get("fractions"), (list, tuple)):
        content["fractions"] = [
            float(f) + 0.0 if isinstance(f, (int, float)) and not isinstance(f, bool) else f  # -0.0 is 0.0
            for f in content["fractions"]
        ]
    if str(content.get("backbones")).strip().startswith(AUTO):  # backbones = "auto:5"
        content["backbones"] = [content["backbones"]]
    if "weights" in content:
        content["backbones"] = _crossed(
            content.get("backbones", Plan.model_fields["backbones"].default), content.pop("weights")
        )
    if content.get("protocol") == "few-shot":
        if "fractions" in content:
            remedy = "It takes --shots, labels a class."
            raise RequestError("fractions", content["fractions"], "nothing in the few-shot protocol", remedy)
        content.setdefault("strategies", list(FEW_SHOT_STRATEGIES))
    elif "few_shot" in content:
        raise RequestError("few_shot", content["few_shot"], "nothing without --protocol few-shot")
    if "datasets" not in content:
        raise RequestError(
            "datasets", "nothing", "at least one dataset", "See 'python -m bench ls datasets'."
        )
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        raise _request_error(error, content) from None
    if 0 in plan.fractions and not plan.source_dataset:
        remedy = "Without any label of the target there has to be a labelled source: --source-dataset."
        raise RequestError("fractions", 0.0, _SHARE, remedy)
    if plan.source_groups != "auto" and not plan.source_dataset:
        raise RequestError("source_groups", plan.source_groups, "a source_dataset beside it")
    if plan.auxiliary_groups != "auto" and not plan.auxiliary_dataset:
        raise RequestError("auxiliary_groups", plan.auxiliary_groups, "an auxiliary_dataset beside it")
    return plan


_SHARE = "a share of the labelled images, above 0 and at most 1"
"""What a fraction is; with a source dataset also 0."""


def _crossed(backbones: Any, weights: Any) -> Any:
    """Every backbone with each of the weights; what is no list of texts is left for the plan's own checks.

    Raises:
        RequestError: ``weights`` is no list of texts, or a backbone names weights itself.
    """
    if not isinstance(weights, (list, tuple)) or not weights or not all(isinstance(w, str) for w in weights):
        raise RequestError("weights", weights, "a list of imagenet, none, source:DIR or files")
    if not isinstance(backbones, (list, tuple)) or not all(isinstance(b, str) for b in backbones):
        return backbones
    for backbone in backbones:
        if backbone.strip().startswith(f"{AUTO}:"):
            expected = "backbones that are named: auto:K chooses among those with ImageNet weights"
            raise RequestError("weights", backbone, expected, "Leave --weights out, or name backbones.")
        if names_weights(backbone):
            remedy = "Name weights either with each backbone or for all of them."
            raise RequestError("weights", backbone, "backbones that name no weights themselves", remedy)
    return [with_weights(backbone, w) for backbone in backbones for w in weights]


def _request_error(error: ValidationError, content: dict[str, Any]) -> RequestError:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    section = _SECTIONS.get(path[0])
    # Behind the key stand list indices and pydantic's names of the alternatives of a union.
    names = path[: 2 if section else 1]
    field = ".".join(names)
    if first["type"] == "extra_forbidden":
        valid = list((section or Plan).model_fields) + ([] if section else ["weights"])
        expected = f"a known key: {', '.join(valid)}"
        return RequestError(field, first["input"], expected, did_you_mean(names[-1], valid))
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if names[:1] == ["fractions"] and "than" in expected:
        expected = _SHARE
    remedy = (
        did_you_mean(str(first["input"]), _literals(expected)) if first["type"] == "literal_error" else ""
    )
    return RequestError(field, first["input"], expected[0].lower() + expected[1:], remedy)


_SECTIONS: dict[str, type[BaseModel]] = {
    "head": Head,
    "tuning": Tuning,
    "limits": Limits,
    "few_shot": FewShot,
    "ranking": Ranking,
    "report": Report,
}


def _literals(expected: str) -> list[str]:
    return [part for part in expected.split("'") if part.isidentifier() and part != "or"]
