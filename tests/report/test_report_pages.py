"""Which questions stand on which page."""

from __future__ import annotations

from pathlib import Path

import pytest

import reports.questions
from reports.pages import PAGES

HERE = Path(reports.questions.__file__).parent


@pytest.mark.parametrize("protocol", PAGES)
def test_each_line_is_a_question_of_its_own(protocol: str) -> None:
    questions = PAGES[protocol].questions
    assert len(questions) == len(set(questions))
    assert questions[0] == PAGES[protocol].figures


def test_each_question_stands_on_a_page() -> None:
    asked = {name for page in PAGES.values() for name in page.questions}
    files = {
        ".".join(path.relative_to(HERE).with_suffix("").parts)
        for path in HERE.rglob("*.py")
        if "\ndef section(" in path.read_text(encoding="utf-8")
    }
    assert asked == files
