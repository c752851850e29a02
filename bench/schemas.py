"""What may stand in the JSON files of a run directory: names, types and ranges, held when they are read.

A run directory may come from anywhere. What is read is what was written here, of this schema or an older one,
or it is refused in one message that names file and field. Nothing in it is code.
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, get_type_hints

from annotated_types import Interval, Len, Predicate
from typing_extensions import TypedDict

from bench.errors import RecordError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


@dataclasses.dataclass(frozen=True)
class Shape:
    """Stands beside a type in its ``Annotated``: what is held when a value is read, where that is more than mypy is
    to know."""

    of: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler.generate_schema(self.of)


@dataclasses.dataclass(frozen=True)
class Further:
    """Stands beside a shape in its ``Annotated``: numbers under further keys, which begin with a prefix."""

    prefix: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self._rest, handler(source))

    def _rest(self, content: Any) -> Any:
        """Without these keys, whose values are looked at here."""
        if not isinstance(content, dict):
            return content
        further = {key: value for key, value in content.items() if str(key).startswith(self.prefix)}
        for key, value in further.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"be a number under {key!r}")
            if value is not None and not abs(value) <= 1e18:
                raise ValueError(f"be a finite number under {key!r}")
        return {key: value for key, value in content.items() if key not in further}


Text = str
"""Names of files among them: where these are no UTF-8 they have unpaired surrogates."""
Word = Annotated[str, Predicate(str.isprintable)]
"""What is a column of a table as it stands."""
Count = Annotated[int, Interval(ge=0, lt=2**53)]
AtLeastOne = Annotated[int, Interval(ge=1, lt=2**53)]
Threads = Annotated[int, Interval(ge=1, le=1024)]
"""Of one process: more are none that compute, and a backend that is asked for a million of them ends."""
Share = Annotated[float, Interval(ge=-1e-6, le=1 + 1e-6)]
"""From 0 to 1, but for rounding."""
Amount = Annotated[float, Interval(ge=0, le=1e18)]
"""Seconds, losses, sizes."""
Finite = Annotated[float, Interval(ge=-1e18, le=1e18)]
Scalar = Text | bool | Annotated[int, Interval(gt=-(2**53), lt=2**53)] | Finite | None
Setting = Scalar | list[Scalar]
Settings = dict[Text, Setting]
Empty = Annotated[dict[Text, Any], Len(0, 0)]
Plugins = dict[Literal["strategy", "backbone"], Text]
"""See ``Cell.plugins``."""


class Stamp(TypedDict, total=False):
    """Another dataset that a cell learns from."""

    dataset: Text
    name: Text
    fingerprint: Text
    groups: Text


class AuxiliaryStamp(Stamp, total=False):
    """Auxiliary labels: of another dataset, and of columns, each with its fingerprint."""

    columns: dict[Text, Text]


class Companions(TypedDict, total=False):
    """See ``Cell.companions``."""

    source: Stamp
    auxiliary: AuxiliaryStamp


class Metrics(TypedDict, total=False):
    """See ``Record.metrics``."""

    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share
    auroc: Share
    mean_average_precision: Share
    micro_f1: Share
    label_accuracy: Share
    log_loss: Amount
    ece: Share
    verification_auc: Share
    verification_eer: Share
    verification_false_accepts: Share
    verification_false_rejects: Share


class Costs(TypedDict, total=False):
    """See ``Record.costs``."""

    tune_seconds: Amount | None
    fit_seconds: Amount | None
    prefix_seconds: Amount | None
    total_seconds: Amount | None
    wall_seconds: Amount | None
    inference_ms_per_image: Amount | None
    params: Amount | None
    trainable_params: Amount | None
    peak_memory_mb: Amount | None


class Trial(TypedDict, total=False):
    """See ``Record.trials``."""

    trial: Count
    status: Literal["ok", "diverged"]
    hyperparameters: Settings
    length: Amount
    epoch_limit: Count | None
    chosen: bool
    score: Finite | None
    val_accuracy: Share | None
    val_class_accuracy: list[Share | None]
    val_log_loss: Amount | None
    val_threshold: Amount | None
    epochs: Count | None
    steps: Count | None
    seconds: Amount
    error: Text


WEIGHT_OF = "weight of "
"""What the key of an auxiliary task's learned weight begins with, in a point of a curve."""


class Point(TypedDict, total=False):
    """See ``Record.curves``."""

    run: Literal["search", "refit"]
    stage: Word
    epoch: Count
    images: Count
    seconds: Amount
    train_loss: Finite | None
    train_accuracy: Share | None
    val_loss: Amount | None
    val_accuracy: Share | None


Points = list[Annotated[Point, Further(WEIGHT_OF)]]


class Block(TypedDict):
    """See ``Record.similarity``."""

    block: Word
    depth: Share
    cka: Finite | None


class Episodes(TypedDict):
    """See ``Record.episodes``."""

    ways: AtLeastOne
    shots: AtLeastOne
    scope: Word
    accuracy: Share
    deviation: Amount


class Failure(TypedDict, total=False):
    """See ``Record.error``."""

    type: Text
    message: Text
    traceback: Text


class Commit(TypedDict):
    """Of this project's own checkout."""

    commit: Text
    dirty: bool


class Hardware(TypedDict, total=False):
    """See ``system.provenance.hardware``."""

    cpu: Text | None
    cores: Count
    memory_gb: Amount
    gpu: list[Text]
    os: Text


class Provenance(TypedDict, total=False):
    """Where something was made."""

    versions: dict[Text, Text]
    """Versions of Python and of the packages that matter."""
    git: Commit | Empty | None
    """Commit of this project's own checkout, if there is one."""
    hardware: Hardware
    """Processor, cores, memory, GPUs and operating system."""


class Finding(TypedDict):
    """What speaks against a dataset."""

    kind: NotRequired[Text]
    text: Text
    examples: NotRequired[list[Text]]


class Grouped(TypedDict):
    """See ``modalities.groups.GroupCounts``."""

    pool: Count
    test: Count
    both: Count
    n_test: Count
    largest: Count
    worth: Amount
    made_of: Text


class About(TypedDict, total=False):
    """A dataset of a run."""

    name: Text
    spec: Text
    modality: Text
    class_names: list[Text]
    class_counts: list[Count]
    pool_counts: list[Count]
    groups: Grouped
    n_pool: Count
    n_test: Count
    findings: list[Finding]
    left_out: list[list[Text]]


class Target(TypedDict):
    """What became of a companion beside a dataset."""

    grouping: Text
    left_out: Count


class Beside(TypedDict):
    """The source dataset of a run."""

    name: Text
    spec: Text
    fingerprint: Text
    n: Count
    findings: NotRequired[list[Finding]]
    targets: NotRequired[dict[Text, Target]]


class Task(TypedDict):
    """An auxiliary task."""

    name: Text
    class_names: list[Text]
    kind: Literal["column", "dataset"]
    fingerprint: Text
    known: Count
    n: Count
    spec: NotRequired[Text]
    grouping: NotRequired[Text]
    left_out: NotRequired[Count]
    findings: NotRequired[list[Finding]]


class OwnSource(TypedDict):
    """A source of weights of the user's own."""

    name: Text
    backbone: NotRequired[Text]
    image_size: Count
    start: Text
    dataset: Text
    fingerprint: NotRequired[Text]
    classes: Count
    n: Count
    n_test: NotRequired[Count]
    accuracy: Share
    low: Share
    high: Share
    baseline: Text
    baseline_accuracy: Share
    learned: bool


class CourseOf(TypedDict):
    """What became of the race for one dataset, see ``bench.deciding.chooser.Course``."""

    ended: Text
    out: list[list[Text]]
    left: dict[Text, Count]


MOST_SEEDS = 1000
"""Of a plan."""


class RunFile(Provenance, total=False):
    """``run.json``."""

    schema_version: Count
    """Layout of the files."""
    protocol_version: Count
    """Version of what cells compute."""
    created: Text
    """When the run began."""
    command: Text
    """The command line."""
    backend: Text
    """The backend of Keras."""
    datasets: dict[Text, About]
    """By fingerprint: classes, counts, groups and findings of each dataset."""
    sources: dict[Text, OwnSource]
    """Sources of weights of your own, and what they learned."""
    source_dataset: Beside | Empty | None
    """The source dataset, if there is one."""
    auxiliary: dict[Text, list[Task]]
    """Auxiliary tasks of each dataset."""
    counterparts: dict[Text, Text]
    """Strategies, each with the one that it is compared with."""
    plugins: dict[Text, Text]
    """Versions of the plug-ins in use."""
    cells: list[Text]
    """IDs of all cells of the plan."""
    looks: Annotated[list[Annotated[int, Interval(ge=1, le=MOST_SEEDS)]], Len(0, MOST_SEEDS)]
    """Numbers of seeds at which claims are made, see ``reports.statistics.looks``."""
    fresh: bool
    """Whether nothing is taken over from other runs."""
    taken_over: list[Text]
    """Names of the run directories that finished cells were copied from."""
    course: dict[Text, CourseOf]
    """How a run that is cut short went for each dataset: what is out, and what is left."""
    notes: list[Text]
    """Remarks of the run."""


# What a newer or an older version says beside that is of no use here.
for _kind in (Provenance, Hardware, RunFile):
    _kind.__pydantic_config__ = {"allow_inf_nan": False}  # type: ignore[union-attr]


class RankedFile(TypedDict):
    """A backbone of ``ranking.json``."""

    backbone: Text
    scores: dict[Text, Finite | None]
    params: Count
    imagenet_top1: Annotated[float, Interval(ge=0, le=100)] | None


class RankingOf(TypedDict):
    """The ranking for one dataset."""

    name: Text
    images: Count
    pool: Count
    why: Text
    columns: dict[Text, Text]
    backbones: list[RankedFile]
    left_out: list[list[Text]]


class Asked(TypedDict):
    """What a plan says of its backbones."""

    backbones: list[Text]


class RankingFile(TypedDict):
    """``ranking.json``."""

    chosen: Annotated[list[Text], Len(1)]
    """The backbones of the run."""
    asked: Asked
    """The backbones as the plan names them."""
    rankings: list[RankingOf]
    """The ranking for each dataset, with scores and what was left out."""


RankingFile.__pydantic_config__ = RunFile.__pydantic_config__  # type: ignore[attr-defined]


def shape_of(kind: type) -> Any:
    """The shape of a dataclass, as an object of JSON."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {
        field.name: hints[field.name]
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        else NotRequired[hints[field.name]]
        for field in dataclasses.fields(kind)
    }
    shape = TypedDict(kind.__name__, fields)  # type: ignore[misc]
    shape.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # type: ignore[attr-defined]
    return shape


@cache
def _validator(shape: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(shape)


def parsed(data: bytes | str, shape: Any, where: str) -> Any:
    """What a JSON text holds.

    Raises:
        RecordError: it is no JSON, or not of this shape; names ``where`` and the first field that is not.
    """
    try:
        content = json.loads(data)
    except RecursionError:
        raise _error(where, "must be JSON that is not nested so deeply") from None
    except ValueError as error:  # no UTF-8, no JSON, a number of thousands of digits
        raise _error(where, f"must be JSON ({error})") from None
    held(content, shape, where)
    return content


def held(content: Any, shape: Any, where: str) -> None:
    """Refuses what is not of a shape.

    Raises:
        RecordError: see ``parsed``.
    """
    from pydantic import ValidationError

    try:
        _validator(shape).validate_python(content, strict=True)
    except ValidationError as error:
        raise _error(where, _told(error.errors(include_url=False, include_context=False)[0])) from None


def _error(where: str, reason: str) -> RecordError:
    return RecordError(": ".join(filter(None, [where, reason])))


def _told(error: ErrorDetails) -> str:
    """The field, what it must be, and what it is."""
    # Behind a key may stand pydantic's names of the alternatives of a union.
    place = ".".join(str(part) for part in error["loc"] if not isinstance(part, str) or "[" not in part)
    message = error["msg"]
    if not message.startswith("Input should "):
        return f"{place or 'content'}: {message[0].lower()}{message[1:]} (got {reprlib.repr(error['input'])})"
    must = message.removeprefix("Input should ")
    return f"{place or 'content'} must {must} (got {reprlib.repr(error['input'])})"
