"""The plan's key of its own."""

from __future__ import annotations

from bench.system.sections import Section


class Settings(Section):
    scale: float = 1.0
