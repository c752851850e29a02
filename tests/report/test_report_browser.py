"""The page in a real browser: no error, no request, hostile names stay text, sorting works."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import fake
import pytest

import reports.html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM: the report was NOT checked in a browser; install chromium to do so"
)


def _dump(page: Path, profile: Path) -> tuple[str, str]:
    """The document after its scripts have run, and what the browser logged."""
    assert CHROMIUM
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--no-first-run", "--enable-logging=stderr", f"--user-data-dir={profile}", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_the_page_opens_without_a_word_of_complaint(tmp_path: Path) -> None:
    name = fake.HOSTILE
    records = fake.records(datasets=(name,), backbones=(name,), seeds=2)
    page = reports.html.render(records, fake.run_info(records), fake.plan_toml(records), tmp_path)
    document, log = _dump(page, tmp_path / "profile")
    assert document.count("<script") == 1
    assert '<button type="button">accuracy</button>' in document  # our script ran: its hash is right
    assert "CONSOLE" not in log, log


def test_sorting(tmp_path: Path) -> None:
    script = (Path(reports.html.__file__).parent / "templates" / "report.js").read_text()
    cells = "".join(
        f'<tr><td data-v="{v}">{v}</td><td>{t}</td></tr>' for v, t in ((2, "b"), ("nan", "a"), (10, "c"))
    )
    page = tmp_path / "sort.html"
    page.write_text(
        "<p id=sorted></p><table class=sortable><thead><tr><th>number<th>text</thead>"
        f"<tbody>{cells}</tbody></table><script>{script}</script><pre></pre><script>"
        "const say = () => document.querySelector('pre').append([...document.querySelectorAll('td')]"
        ".map(c => c.textContent).join(' ') + '; ' + document.getElementById('sorted').textContent + '|');"
        "const [number, text] = document.querySelectorAll('th button');"
        "number.click(); say(); number.click(); say(); text.click(); say();</script>"
    )
    document, _ = _dump(page, tmp_path / "profile")
    said = document.split("<pre>")[1].split("</pre>")[0].split("|")
    assert said[:3] == [
        "2 b 10 c nan a; Sorted by number, ascending.",
        "10 c 2 b nan a; Sorted by number, descending.",
        "nan a 2 b 10 c; Sorted by text, ascending.",
    ]
