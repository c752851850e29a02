"""The JSON schema of a plan file, for editors: from the plan's own types, ranges, defaults and docstrings."""

from __future__ import annotations

import re
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from bench.plans.plan import AMOUNT, AUTO, Plan, section
from bench.plans.protocol import PROTOCOLS, protocol
from bench.records import FRACTIONS

Schema = dict[str, Any]

TITLE = "A plan of transfer-bench"

WEIGHTS: Schema = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
    "uniqueItems": True,
    "description": "Every backbone is run with each of them: `imagenet`, `none`, `source:DIR` or weights files.",
}
"""The key that only files, dictionaries and flags have."""


class _Schemas(GenerateJsonSchema):
    """Schemas that refuse infinity and repetition where a plan does, without titles that repeat the key."""

    def list_schema(self, schema: Any) -> Schema:
        return super().list_schema(schema) | {"uniqueItems": True}

    def float_schema(self, schema: Any) -> Schema:
        found = super().float_schema(schema)
        if schema.get("allow_inf_nan") is False:
            return found | {"maximum": sys.float_info.max}
        # TOML knows no null, but Taplo reads inf as one.
        return found if {"le", "lt"} & set(schema) else found | {"type": ["number", "null"]}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def plan_schema() -> Schema:
    """The schema, of draft 2020-12. It refuses every key, type and range that ``load_plan`` refuses.

    It knows no names: whether a dataset or a strategy exists is found out by ``bench plan``. JSON has one kind of
    number, so ``3.0`` passes where a plan wants ``3``.
    """
    found = Plan.model_json_schema(schema_generator=_Schemas)
    keys = found["properties"]
    del keys["protocol_settings"]  # in a file: the section of the protocol's name
    for searched in ("hidden_units", "dropout"):
        found["$defs"]["Head"]["properties"][searched]["anyOf"][1] |= {"minItems": 1, "uniqueItems": False}
    keys["weights"] = WEIGHTS
    keys["fractions"]["minItems"] = 1
    keys["protocol"]["enum"] = list(PROTOCOLS)
    keys["budget"]["pattern"] = rf"^$|^(?=.*[1-9])\s*(?:{AMOUNT})\s*[smh]\s*$"
    keys["backbones"] = _or_one_automatic(keys["backbones"])
    rules = []
    for name in (name for name in PROTOCOLS if name != FRACTIONS):
        settings = protocol(name).settings
        assert settings is not None
        found["$defs"][section(name)] = settings.model_json_schema(schema_generator=_Schemas)
        keys[section(name)] = {"$ref": f"#/$defs/{section(name)}"}
        rules.append(_only_with(name))
    whole = {"$schema": GenerateJsonSchema.schema_dialect, **found, "title": TITLE, "allOf": rules}
    return _as_markdown(whole)


def _or_one_automatic(backbones: Schema) -> Schema:
    """``backbones = "auto:5"`` stands for a list with it."""
    outer = {name: backbones.pop(name) for name in ("default", "description")}
    one = {"type": "string", "pattern": rf"^\s*{AUTO}\s*:\s*0*[1-9][0-9]*\s*$"}
    backbones["items"]["pattern"] = rf"^(?!\s*{AUTO}\s*(:|$))|{one['pattern']}"
    return {"anyOf": [backbones, one], **outer}


def _only_with(name: str) -> Schema:
    """A protocol's section stands in its own plans alone. They have fractions only if it shares labels."""
    is_it = {"properties": {"protocol": {"const": name}}, "required": ["protocol"]}
    without = [] if protocol(name).shares_labels else ["fractions"]
    return {"if": is_it, "then": _none_of(without), "else": _none_of([section(name)])}


def _none_of(keys: list[str]) -> Schema:
    return {"properties": dict.fromkeys(keys, False)}


def _as_markdown(value: Any) -> Any:
    """Descriptions as editors show them: single backticks, lines joined."""
    if isinstance(value, list):
        return [_as_markdown(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _as_markdown(one) for key, one in value.items()}
    if isinstance(text := found.get("description"), str):
        text = re.sub(r"``(.+?)``", r"`\1`", text)
        found["description"] = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
    return found
