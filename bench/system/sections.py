"""A group of keys of a plan, with strict types."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    # Strict: "3" is not 3 and true is not 1; a typing mistake in a plan is to be told, not guessed at.
    # The docstring below a key is its description in the JSON schema.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        ser_json_inf_nan="constants",
        use_attribute_docstrings=True,
    )


def distinct(values: list[Any]) -> list[Any]:
    """The values, unless one of them is given twice.

    Raises:
        ValueError: one is.
    """
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"given without repetition of {twice[0]!r}")
    return values
