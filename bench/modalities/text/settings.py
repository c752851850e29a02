"""The plan's keys that are of texts alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench.system.sections import Section


class Settings(Section):
    max_tokens: Annotated[int, Field(ge=8, le=4096)] = 128
    """Tokens of a text that a network sees at most. Longer texts are cut. Short ones cost no more for it."""
