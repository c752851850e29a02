"""What a person reads on a page: short sentences that say one thing, as WORDS asks for."""

from __future__ import annotations

import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fake
import pytest
import test_report_adaptation as adaptation
import test_report_few_shot as few_shot
import test_report_multitask as multitask

from bench.records import Record
from reports import figure_files
from reports.drawing import Plan
from reports.html import render

LONGEST, LONGEST_MEAN = 25, 16
BANNED = ("Of ", "What ", "Those that ")
READ = {"p", "li", "caption", "figcaption", "h1", "h2", "h3"}
OPENINGS = r"(?<=[.?!])\s+(?=[A-Z0-9(±])"
NOT_READ = {"style", "script", "details", "nav", "svg", "code", "pre", "td", "th", "button", "small"}
VOID = {"meta", "br", "img", "input", "link", "hr"}
HEADINGS = {"h1", "h2", "h3"}


class Reader(HTMLParser):
    """Collects the text of each element that is read, without what is folded away."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self._said = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in READ:
            self._end(self._reading())
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in READ:
            self._end(tag)
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if NOT_READ & {*self._open} - {"code"}:
            return
        if self._reading():
            # A command or a file name is one word.
            self._said += "CODE" if "code" in self._open else data

    def _reading(self) -> str:
        return next((tag for tag in reversed(self._open) if tag in READ), "")

    def _end(self, tag: str) -> None:
        said = " ".join(self._said.split())
        if said:
            (self.headings if tag in HEADINGS else self.texts).append(said)
        self._said = ""


def sentences(texts: list[str]) -> list[str]:
    """Cut where one ends and another begins with a capital, a number or a sign."""
    return [s for text in texts for s in re.split(OPENINGS, text) if s.strip(" .")]


def length(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


def _scarce(record: Record) -> None:
    if record.cell["strategy"] == "full_finetune" and record.cell["seed"] == 1:
        fake.fail(record, "timeout", "took longer than 3600 s")
    if record.cell["strategy"] == "scratch":
        record.metrics = record.metrics and record.metrics | {"accuracy": 0.1}


RUNS: dict[str, dict[str, Any]] = {
    "four label counts": {"fractions": (0.05, 0.1, 0.33, 1.0)},
    "five label counts": {"fractions": (0.05, 0.1, 0.2, 0.5, 1.0)},
    "two backbones": {"backbones": ("A", "B")},
    "two datasets": {"datasets": ("first", "second")},
    "depths": {"strategies": ("scratch", "feature_extraction", "partial_finetune:unfreeze=0.25",
                              "partial_finetune:unfreeze=0.5", "full_finetune", "majority")},
    "failures": {"spoil": _scarce},
    "one seed, one label count": {"seeds": 1, "fractions": (1.0,)},
    "two seeds": {"seeds": 2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(plan: Plan, out: Path) -> figure_files.FigureInfo:
        return figure_files.FigureInfo(
            plan.name, plan.dataset, plan.title, out, plan.alt, plan.conclusion, (), plan.numbers
        )

    monkeypatch.setattr(figure_files, "_save", told)


def _page(directory: Path, records: list[Record], **info: Any) -> Reader:
    fake.write_predictions(records, directory)
    page = render(records, fake.run_info(records) | info, fake.plan_toml(records), directory)
    return Reader(page.read_text(encoding="utf-8"))


def test_sentences_on_adaptation_and_auxiliary_labels(tmp_path: Path) -> None:
    for place, (made, info) in enumerate(
        ((adaptation.made, adaptation.RUN), (multitask.made, multitask.RUN))
    ):
        (folder := tmp_path / str(place)).mkdir()
        _check(_page(folder, made(folder), **info))


def test_sentences_on_few_shot(tmp_path: Path) -> None:
    page = render(few_shot.made(tmp_path), {}, "", tmp_path)
    _check(Reader(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", RUNS)
def test_sentences_are_short_and_open_with_what_they_say(name: str, tmp_path: Path) -> None:
    _check(_page(tmp_path, fake.records(**RUNS[name])))


def _check(page: Reader) -> None:
    found = sentences(page.texts)
    assert len(found) > 10
    assert [s for s in found if length(s) > LONGEST] == []
    assert [s for s in found if ";" in s] == []
    assert [s for s in [*found, *page.headings] if s.startswith(BANNED)] == []
    assert [s for s in found if re.search(r"(?<![\d.])1\.0 points|(?<![\d.,])1 points", s)] == []
    assert statistics.mean(map(length, found)) <= LONGEST_MEAN


def test_the_reader_reads_what_a_person_reads() -> None:
    page = Reader(
        "<main><h2>Cost</h2><p>One <b>two</b>. Three four; <code>a b c</code>.</p><details><p>Folded.</p>"
        "</details><table><caption>Five.</caption><tr><td>cell</td></tr></table><script>1;</script></main>"
    )
    assert page.headings == ["Cost"]
    assert sentences(page.texts) == ["One two.", "Three four; CODE.", "Five."]
    assert [length(s) for s in sentences(page.texts)] == [2, 3, 1]
