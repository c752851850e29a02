"""CONTRIBUTING's map: what it names is there, and every room is on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text() -> str:
    path = ROOT / "CONTRIBUTING.md"
    if not path.exists():
        pytest.skip("CONTRIBUTING.md is not installed with the packages")
    return path.read_text(encoding="utf-8")


def test_what_it_names_is_there(text: str) -> None:
    named = set(re.findall(r"`((?:bench|strategies|reports|tests)/[\w/.]*)`", text))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_room_is_on_it(text: str) -> None:
    rooms = [path.name for path in (ROOT / "bench").iterdir() if (path / "__init__.py").exists()]
    assert [room for room in rooms if f"`bench/{room}/`" not in text] == []
