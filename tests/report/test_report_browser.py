"""The page in a real browser: no error, no request, hostile names stay text, usable by keyboard and screen
reader."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pytest
from browser import CHROMIUM, Browser

import reports.html
from bench.modalities.image.preview import thumbnail

AXE = "axe-core@4.11.0"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM: the report was NOT checked in a browser; install chromium to do so"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it, by people who wish us ill."""
    directory, name = tmp_path_factory.mktemp("run"), fake.HOSTILE
    records = fake.records(
        datasets=(name, "second"), backbones=(name, "B"), fractions=(0.1, 0.2, 0.5, 1.0), seeds=3
    )
    fake.fail(records[0], message=name)
    fake.write_predictions(records, directory)
    info = fake.run_info(records)
    for about in info["datasets"].values():
        about["class_names"] = [f"{name} {i}" for i in range(10)]
    return reports.html.render(
        records, info, fake.plan_toml(records), directory, price_per_hour=1.2,
        images=lambda fingerprint, ids: {i: thumbnail(np.full((96, 96, 3), 90, np.uint8)) for i in ids},
    )  # fmt: skip


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder, npm = tmp_path_factory.mktemp("axe"), shutil.which("npm")
    if npm is None:
        pytest.skip("no npm: the report was NOT checked with axe-core")
    done = subprocess.run(
        [npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(
            f"axe-core could not be fetched, the report was NOT checked with it: {done.stderr[-200:]}"
        )
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


def test_the_page_opens_without_a_word_of_complaint_and_asks_for_nothing(
    browser: Browser, page: Path
) -> None:
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]
    assert browser.evaluate("document.scripts.length") == 1
    assert (
        browser.evaluate("document.querySelectorAll('th button').length") > 0
    )  # our script ran: its hash is right
    assert browser.evaluate("[...document.images].every(i => i.alt.trim() && i.complete && i.naturalWidth)")
    assert browser.evaluate(
        "[...document.querySelectorAll('svg')].every(s => s.ariaHidden === 'true' || s.ariaLabel)"
    )


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(browser: Browser, page: Path, axe: str, dark: bool, width: int) -> None:
    browser.call("Page.setBypassCSP", enabled=True)
    try:
        browser.open(page, dark, width)
        browser.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        browser.evaluate(axe)
        # Figures are one image each, described by its label; what is inside is no text for a screen reader.
        found: list[dict[str, Any]] = browser.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => "
            "({id: v.id, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + n.failureSummary)})))"
        )
    finally:
        browser.call("Page.setBypassCSP", enabled=False)
    assert found == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out to the side


def test_sorting_by_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    browser.evaluate(
        "[...document.querySelectorAll('table.all th button')].find(b => b.textContent === 'seed').focus()"
    )
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "accuracy"
    column = "[...document.querySelectorAll('table.all th')].findIndex(h => h.textContent === 'accuracy')"
    values = (
        f"[...document.querySelectorAll('table.all tbody tr')].map(r => r.cells[{column}].dataset.v)"
        ".map(Number).map(v => isNaN(v) ? null : v)"
    )
    for key, down in (("Enter", False), (" ", True)):
        browser.press(key)
        found = browser.evaluate(values)
        known = [value for value in found if value is not None]
        assert known == sorted(known, reverse=down)
        assert found[len(known) :] == [None]  # what is missing comes last, either way
        sort = browser.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')")
        assert sort == ("descending" if down else "ascending")
        assert f"Sorted by accuracy, {sort}." in browser.evaluate(
            "document.querySelector('[role=status]').textContent"
        )


def test_filtering(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    browser.evaluate("document.querySelector('#cells ~ details .tools input').focus()")
    for letter in "scratch failed":
        browser.press(letter)
    rows = "[...document.querySelectorAll('table.all tbody tr')]"
    assert browser.evaluate(f"{rows}.filter(r => !r.hidden).length") == 1
    total = browser.evaluate(f"{rows}.length")
    assert (
        browser.evaluate("document.querySelector('[role=status]').textContent") == f"1 of {total} rows shown."
    )


def test_highlighting_a_strategy_everywhere_and_in_the_address(browser: Browser, page: Path) -> None:
    browser.open(page)
    opacity = "getComputedStyle(document.querySelector('{} [data-strategy={}]')).opacity"
    choose = (
        "(() => {{ const s = document.querySelector('#highlight select'); s.value = '{}';"
        " s.dispatchEvent(new Event('change')); }})()"
    )

    def highlighted(strategy: str) -> bool:
        faded = [
            float(browser.evaluate(opacity.format(place, "scratch"))) < 0.9 for place in ("svg", "table")
        ]
        full = [browser.evaluate(opacity.format(place, strategy)) == "1" for place in ("svg", "table")]
        return all(faded) and all(full)

    assert not highlighted("full_finetune")
    browser.evaluate(choose.format("full_finetune"))
    assert highlighted("full_finetune")
    assert browser.evaluate("location.hash") == "#strategy=full_finetune"
    browser.evaluate("document.querySelector('.contents a[href=\"#costs\"]').click()")
    browser.evaluate("new Promise(done => setTimeout(done, 50))")
    assert browser.evaluate("location.hash") == "#costs&strategy=full_finetune"
    browser.evaluate(
        "history.replaceState(null, '', '#strategy=partial_finetune'), dispatchEvent(new Event('hashchange'))"
    )
    assert highlighted("partial_finetune")
    browser.evaluate(choose.format(""))
    assert not highlighted("partial_finetune")


def test_points_say_their_values_by_pointer_and_by_keys(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("document.querySelector('.panels').focus()")
    tip = "(t => t.hidden ? '' : t.textContent)(document.querySelector('.tip'))"
    assert browser.evaluate(tip) == ""
    browser.press("ArrowRight")
    scrolled = (
        "new Promise(done => { scrollBy(0, 3); setTimeout(done, 200); })"  # as a point out of sight does
    )
    browser.evaluate(scrolled)
    first = browser.evaluate(tip)
    assert " labels: " in first
    assert browser.evaluate("document.querySelector('[role=status]').textContent") == first
    browser.press("ArrowRight")
    assert browser.evaluate(tip) != first
    browser.press("Escape")
    assert browser.evaluate(tip) == ""
    said = browser.evaluate(
        "(async () => { const mark = document.querySelector('[data-strategy=full_finetune][data-values] use');"
        " mark.scrollIntoView({block: 'center', behavior: 'instant'});"
        " await new Promise(done => setTimeout(done, 100));"
        " const b = mark.getBoundingClientRect();"
        " mark.closest('.panels').dispatchEvent(new PointerEvent('pointermove',"
        " {clientX: b.left + b.width / 2, clientY: b.top + b.height / 2}));"
        " await new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)));"
        f" return {tip}; }})()"
    )
    assert said.startswith("full fine-tuning, 341 labels: ")


def test_every_table_gives_its_rows_as_csv(browser: Browser, page: Path) -> None:
    browser.open(page)
    tables = "[...document.querySelectorAll('.scroll table:not(.fixed)')]"
    assert browser.evaluate(
        f"{tables}.every(t => t.closest('.scroll').previousElementSibling.matches('.tools'))"
    )
    text = browser.evaluate(
        "(async () => { let blob; URL.createObjectURL = (b) => { blob = b; return '#'; };"
        " document.querySelector('#costs ~ .tools button').click(); return await blob.text(); })()"
    )
    head, *rows = text.lstrip("\ufeff").strip().split("\r\n")
    assert head.startswith('"configuration","accuracy","time to tune and train"')
    assert len(rows) == browser.evaluate("document.querySelectorAll('#costs ~ .scroll tbody tr').length")


def test_what_is_folded_is_not_printed_and_the_contents_follow(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("document.getElementById('costs').scrollIntoView({behavior: 'instant'})")
    browser.evaluate("new Promise(done => setTimeout(done, 200))")
    assert browser.evaluate("document.querySelector('.contents [aria-current]').hash") == "#costs"
    assert browser.evaluate("document.querySelector('.contents').getBoundingClientRect().top") == 0
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert not browser.evaluate("document.getElementById('cells').checkVisibility()")
        assert browser.evaluate("document.getElementById('costs').checkVisibility()")
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_without_scripts_nothing_is_missing_but_comfort(browser: Browser, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.evaluate("document.querySelectorAll('th button').length") == 0
    assert browser.evaluate("getComputedStyle(document.getElementById('highlight')).display") == "none"
    assert browser.evaluate("document.querySelectorAll('table.all tbody tr').length") > 100


@pytest.mark.parametrize("width", [718, 958], ids=["as it is", "shrunk to fit"])
def test_nothing_is_cut_off_on_paper(browser: Browser, tmp_path: Path, width: int) -> None:
    """A4 with margins of a centimetre is 718 pixels wide; Chromium shrinks what is wider to three quarters."""
    records = fake.records(seeds=3, fractions=(0.05, 0.1, 0.2, 0.4, 0.7, 1.0))
    fake.write_predictions(records, tmp_path)
    info, plan = fake.run_info(records), fake.plan_toml(records)
    page = reports.html.render(records, info, plan, tmp_path, price_per_hour=2.5)
    browser.open(page, width=width)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        cut = browser.evaluate(
            "[...document.querySelectorAll('table, svg, p, li, pre')].filter(e => e.checkVisibility() && "
            "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent.trim().slice(0, 60))"
        )
        small = browser.evaluate("parseFloat(getComputedStyle(document.querySelector('td')).fontSize)")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
    assert cut == []
    assert small < 12.7  # 9.5 points: tables follow the size of print
