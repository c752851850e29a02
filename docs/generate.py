"""Writes the pages of docs/reference that the code knows best: ``python docs/generate.py``.

Loads neither Keras nor pandas. A test compares the committed pages with what the code says now.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS / "reference"
WIDTH = 80
"""Columns of the help texts."""

NOTE = "\n\n<!-- Written by docs/generate.py. Change the code, then run it again. -->\n"

# ------------------------------------------------------------------------------------------------- Markdown


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; a bar within a cell is escaped."""
    lines = [list(heads)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "".join("| " + " | ".join(_cell(text) for text in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def plain(docstring: str | None) -> str:
    """A docstring as Markdown: double backticks become single ones."""
    return re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(docstring or "").strip())


def described(kind: type) -> dict[str, str]:
    """The docstring below each attribute of a class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        except (OSError, TypeError):
            continue
        for line, after in pairwise(body):
            words = after.value if isinstance(after, ast.Expr) else None
            if isinstance(line, ast.AnnAssign) and isinstance(words, ast.Constant):
                found[ast.unparse(line.target)] = plain(words.value)
    return found


# ------------------------------------------------------------------------------------- types, from JSON schemas


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the name, the type in words and the schema of each field of an object."""
    for name, field in schema.get("properties", {}).items():
        yield name, typed(field, schema.get("$defs", {})), field


def typed(field: dict[str, Any], defs: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in field:
        return _object(defs[field["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(typed(one, defs) for one in field["anyOf"]))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = field.get("type", "anything")
    if kind == "array":
        one = typed(field.get("items", {}), defs)
        return "list of " + re.sub(r"^(text|table|(?:whole )?number)", r"\1s", one)
    if kind == "object":
        return _object(field, defs)
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
             "null": "nothing"}  # fmt: skip
    return words.get(kind, kind) + _range(field)


def _object(field: dict[str, Any], defs: dict[str, Any]) -> str:
    if "enum" in field or "anyOf" in field:
        return typed(field, defs)
    if field.get("properties"):
        return f"table `{field.get('title', '')}`"
    return "table"


def _range(field: dict[str, Any]) -> str:
    """The bounds of a number; those that only keep out what no run can have are not named."""
    least, above = field.get("minimum"), field.get("exclusiveMinimum")
    most, below = field.get("maximum"), field.get("exclusiveMaximum")
    words = [
        f"from {_number(least)}" if least is not None and least > -1e15 else "",
        f"above {_number(above)}" if above is not None and above > -1e15 else "",
        f"to {_number(most)}" if most is not None and most < 1e15 else "",
        f"below {_number(below)}" if below is not None and below < 1e15 else "",
    ]
    told = " ".join(filter(None, words))
    return f" {told}" if told else ""


def _number(value: float) -> str:
    rounded = round(value, 3)  # a share may be off by rounding
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)


# ---------------------------------------------------------------------------------------------------- pages


def plan_page() -> str:
    """Every key of a plan file."""
    from bench.plans import plan
    from bench.protocols.few_shot.protocol import Episodic

    sections = {"head": plan.Head, "tuning": plan.Tuning, "limits": plan.Limits, "report": plan.Report,
                "ranking": plan.Ranking, "few_shot": Episodic}  # fmt: skip
    parts = [
        "# Plan keys\n\nA plan is a TOML file: `python -m bench run plan.toml`. Every run directory holds its own. "
        "`--set KEY=VALUE` sets any key on the command line, such as `--set tuning.algorithm=grid`. "
        "In Python, `bench.run` takes a dictionary with the same keys.\n\n"
        "`python -m bench schema > plan.schema.json` writes [its JSON schema](plan.schema.json). Make "
        "`#:schema plan.schema.json` the first line of your plan. Editors with Taplo, such as Even Better TOML, "
        "then complete keys and mark mistakes.\n",
        _keys(plan.Plan, hidden={*sections, "protocol_settings"}),
    ]
    for name, section in sections.items():
        parts.append(f"## [{name}]\n\n{plain(section.__doc__)}\n\n{_keys(section)}")
    return "\n".join(parts)


def _keys(section: Any, hidden: Iterable[str] = ()) -> str:
    words = described(section)
    own = section.__annotations__  # before those of a base
    found = sorted(fields(section.model_json_schema()), key=lambda field: field[0] not in own)
    return table(
        ("key", "values", "default", "meaning"),
        (
            (f"`{name}`", kind, _default(field), words.get(name, ""))
            for name, kind, field in found
            if name not in hidden
        ),
    )


def _default(field: dict[str, Any]) -> str:
    import json

    return f"`{json.dumps(field['default'])}`" if "default" in field else ""


def plan_schema() -> str:
    """The JSON schema of a plan, as ``bench schema`` prints it."""
    from bench.cli.terminal import json_text
    from bench.plans import schema

    return json_text(schema.plan_schema())


def columns_page() -> str:
    """The columns of the tables."""
    from reports.columns import TABLES

    parts = ["# Results columns\n\nNumbers are raw. Shares run from 0 to 1. `python -m bench ls columns` shows the "
             "same in the terminal. New columns are only ever appended.\n"]  # fmt: skip
    return "\n".join([*parts, *(_columns(name) for name in TABLES if "record" not in name)])


def _columns(name: str) -> str:
    from reports.columns import TABLES

    kinds = {"text": "text", "whole": "whole number", "number": "number"}
    rows = ((f"`{key}`", kinds[column.kind], column.meaning) for key, column in TABLES[name].items())
    return f"## {name[0].upper()}{name[1:]}\n\n{table(('column', 'kind', 'meaning'), rows)}"


def record_page() -> str:
    """Records and run.json: names, types and ranges."""
    from pydantic import TypeAdapter

    from bench import schemas
    from bench.records import SCHEMA_VERSION, Cell
    from reports.columns import TABLES

    parts = [
        f"# Records\n\nA run directory holds one JSON file per cell, `cells/ID.json`. It is the truth: every table "
        f"and every page is made from these files. They are written with schema version {SCHEMA_VERSION}. Older "
        "versions are read too. A field that is not named here is refused.\n",
        *(_columns(name) for name in TABLES if "record" in name),
        "## The cell of a record\n\nThis is what was asked for. The cell's ID is a hash of everything here that "
        "can change a number.\n",
        _shape(schemas.shape_of(Cell), Cell, TypeAdapter),
        "## run.json\n\nVersions, hardware and data of the run as a whole.\n",
        _shape(schemas.RunFile, schemas.RunFile, TypeAdapter),
        "## ranking.json\n\nWith `auto:K` among the backbones: the ranking, and what it chose.\n",
        _shape(schemas.RankingFile, schemas.RankingFile, TypeAdapter),
    ]
    return "\n".join(parts)


def _shape(shape: Any, kind: type, adapter: Callable[[Any], Any]) -> str:
    words = described(kind)
    schema = adapter(shape).json_schema()
    rows = ((f"`{name}`", typed_as, words.get(name, "")) for name, typed_as, _ in fields(schema))
    return table(("field", "kind", "meaning"), rows)


FAMILY = {
    "everything, from random weights": "scratch",
    "a head, on stored features": "feature_extraction logistic knn nearest_mean all_layer_probe",
    "the top blocks": "partial_finetune",
    "everything": "full_finetune plain_finetune lp_ft gradual_unfreeze discriminative_lr l2_sp wise_ft hyperrule",
    "little of the network": "norm_only bias_only surgical lora",
    "an embedding, whose classes are the nearest mean": "prototypical siamese",
    "everything, for auxiliary labels too": "multi_task",
    "everything, from a labelled source too": (
        "source_only source_and_target source_then_target adabn deep_coral mmd dann cycle_gan"
    ),
    "no network": "tf_idf nearest_pixel majority",
}
"""What trains, and the strategies that train it."""


def strategies_page() -> str:
    """All strategies."""
    from bench.plans.given import hyperparameters
    from bench.plans.lengths import default_stages
    from bench.plans.lengths import described as trained
    from bench.plans.strategies import get_strategy
    from strategies import STRATEGIES

    parts = [
        "# Strategies\n\n`--strategy NAME` runs a strategy. Costs are compared with `feature_extraction`, with the "
        "same number of trials. By default a run has `scratch`, `feature_extraction`, `partial_finetune`, "
        "`full_finetune` and `majority`, and on texts `tf_idf`.\n\nEvery searched hyperparameter can be fixed: "
        "`--strategy partial_finetune:unfreeze=0.25`. Each value is then a strategy of its own in tables and "
        "answer.\n\n**Trains** gives the steps with few labels. With many labels a stage takes the epochs instead, "
        "if that is longer. `--length 2` doubles both.\n"
    ]
    assert sorted(" ".join(FAMILY.values()).split()) == sorted(STRATEGIES), (
        "a strategy is not in FAMILY, or twice"
    )
    family = (
        (what, ", ".join(f"[`{one}`](#{one})" for one in names.split())) for what, names in FAMILY.items()
    )
    parts.append(table(("what trains", "strategies"), family))
    for name in STRATEGIES:
        strategy = get_strategy(name)
        searched, stages = hyperparameters(strategy), trained(default_stages(strategy))
        lines = {
            "When": strategy.when,
            "Cost": strategy.cost,
            "Searches": f"`{searched}`" if searched else "",
            "Trains": f"`{stages}`" if stages else "",
            "Reference": strategy.reference.replace("; ", ", "),
        }
        told = "".join(f"- **{title}:** {line}\n" for title, line in lines.items() if line)
        parts.append(f"## `{name}`\n\n{strategy.summary}\n\n{told}")
    return "\n".join(parts)


def backbones_page() -> str:
    """All backbones."""
    from bench.backbones.registry import BACKBONES

    rows = (
        (
            f"`{info.name}`",
            "" if info.params_millions is None else f"{info.params_millions:.1f} M",
            "" if info.imagenet_top1 is None else f"{info.imagenet_top1:.1f}%",
            f"{info.minimum_size} px",
            ", ".join(f"`{option}`" for option in info.options),
        )
        for info in BACKBONES.values()
    )
    return (
        "# Backbones\n\nKeras Applications by their own names, and two more. The ImageNet weights of "
        "`EfficientNetLite0` come with the installation. `Conv4` is small and has no pretrained weights.\n\n"
        "Options follow the name: `MobileNet:alpha=0.25`. Every backbone takes these weights:\n\n"
        + table(
            ("option", "weights"),
            (
                ("`weights=imagenet`", "ImageNet, the default"),
                ("`weights=none`", "random initial weights"),
                (
                    "`weights=PATH.weights.h5`",
                    "a weights file, such as `Xception:weights=/data/x.weights.h5`",
                ),
                ("`weights=source:DIR`", "what [`pretrain`](../howto/own-source.md) has made"),
            ),
        )
        + "\nA weights file is tried before any cell runs. `plan` and `run` refuse a git-lfs pointer, a web page, "
        "a whole model, or the weights of another network.\n\n"
        + table(("name", "parameters", "ImageNet top-1", "smallest input", "options"), rows)
    )


def command_line_page() -> str:
    """The help of every command."""
    import typer

    from bench.cli.app import app

    group = typer.main.get_command(app)
    context = group.context_class(group, info_name="python -m bench", terminal_width=WIDTH)
    parts = [
        "# Command line\n\n`python -m bench` is also installed as `transfer-bench`. Exit codes: 0 every cell has a "
        "result, 1 some cell failed and all others are kept, 2 the request is wrong, 130 interrupted.\n",
        f"```text\n{_help(group, context)}\n```\n",
    ]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = command.context_class(command, info_name=name, parent=context, terminal_width=WIDTH)
        parts.append(f"## {name}\n\n```text\n{_help(command, below)}\n```\n")
    return "\n".join(parts)


def _help(command: Any, context: Any) -> str:
    return "\n".join(line.rstrip() for line in command.get_help(context).strip().splitlines())


def api_page() -> str:
    """What a strategy is given and returns."""
    from strategies import base

    parts = [
        "# Strategy API\n\nAll of it is in `strategies/base.py`. [A strategy of your own]"
        "(../howto/own-strategy-or-backbone.md) shows how to write, check and share one.\n"
    ]
    for kind in (base.Strategy, base.Stage, base.Info, base.Limit, base.Limits, base.Task, base.Examples,
                 base.AuxiliaryLabels, base.Predictor, base.Training, base.Fitted, base.Embedding):  # fmt: skip
        parts.append(f"## {kind.__name__}\n\n{_about(kind)}")
    return "\n".join(parts)


def _about(kind: type) -> str:
    words, arguments = _split(plain(kind.__doc__))
    told = arguments | {name: text for name, text in _own(kind).items() if text or name not in arguments}
    rows = ((f"`{name}`", _given(kind, name), text) for name, text in told.items())
    attributes = table(("attribute", "default", "meaning"), rows)
    methods = (f"### `{signature}`\n\n{_method(text)}\n" for signature, text in _methods(kind))
    return "\n".join(filter(None, [f"{words}\n", attributes if told else "", *methods]))


def _given(kind: type, name: str) -> str:
    """The default of an attribute, if it has one that says something."""
    value = vars(kind).get(name)
    return f"`{value!r}`" if isinstance(value, bool | int | float | str) and value != "" else ""


def _own(kind: type) -> dict[str, str]:
    """The annotated attributes and properties of a class, with their docstrings."""
    words = described(kind)
    found = {name: words.get(name, "") for name in vars(kind).get("__annotations__", {}) if name != "_"}
    for name, value in vars(kind).items():
        if isinstance(value, property):
            found[name] = plain(value.__doc__)
    return {name: text for name, text in found.items() if text}


def _methods(kind: type) -> Iterator[tuple[str, str]]:
    for name, value in vars(kind).items():
        if inspect.isfunction(value) and not name.startswith("_") and value.__doc__:
            names = [one for one in inspect.signature(value).parameters if one != "self"]
            yield f"{name}({', '.join(names)})", plain(value.__doc__)


def _method(text: str) -> str:
    words, arguments = _split(text)
    return f"{words}\n" + "".join(f"\n- `{name}`: {meaning}" for name, meaning in arguments.items())


def _split(docstring: str) -> tuple[str, dict[str, str]]:
    """A docstring without its arguments, and these by name."""
    words, _, section = docstring.partition("\nArgs:\n")
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section, re.M | re.S)
    return words.strip(), {name: " ".join((text[0].upper() + text[1:]).split()) for name, text in found}


PAGES: dict[str, Callable[[], str]] = {
    "plan.md": plan_page,
    "plan.schema.json": plan_schema,
    "results-columns.md": columns_page,
    "record.md": record_page,
    "strategies.md": strategies_page,
    "backbones.md": backbones_page,
    "command-line.md": command_line_page,
    "strategy-api.md": api_page,
}
"""File in docs/reference to what writes it."""


def page(name: str) -> str:
    """A page as it is committed."""
    return PAGES[name]().strip() + (NOTE if name.endswith(".md") else "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent))
    for name in PAGES:
        (REFERENCE / name).write_text(page(name), encoding="utf-8")
