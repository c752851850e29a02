"""The page that a person reads: the answer first, then what speaks against it, then how it was found.

One file that needs no network and no script. All text is escaped by the template; the only markup that is passed
through is our own. What stands on it says ``reports.pages``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.records import Record
from bench.system.files import write_atomic
from reports import words
from reports.figure_files import Drawing, collecting_rarely
from reports.pages import ask, page_of
from reports.results import Previews, Results
from reports.statistics.decisions import EQUIVALENCE
from reports.tables import ordered, write_csv
from reports.terms import Explained

_TEMPLATES = Path(__file__).parent / "templates"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@collecting_rarely()
def render(
    records: Sequence[Record],
    run_info: dict[str, Any],
    plan_toml: str,
    directory: Path,
    region: float = EQUIVALENCE,
    price_per_hour: float = 0.0,
    images: Previews | None = None,
    ranking: dict[str, Any] | None = None,
    sounds: Previews | None = None,
) -> Path:
    """Writes results.csv, figures/ and report.html of a run directory, each atomically.

    Args:
        records: all records of the run, in any order.
        run_info: the content of run.json; any key may be missing.
        plan_toml: the text of plan.toml.
        directory: the run directory; predictions/ in it is read where it exists.
        region: a difference in the metric that decides within plus or minus this counts as none.
        price_per_hour: of the machine; 0 shows no money.
        images: gives previews of test examples to be shown; None: none is.
        ranking: the content of ranking.json, if backbones were chosen by it.
        sounds: gives those of test examples to listen to; None: none is.

    Returns:
        The path of the page. The same input gives the same bytes.
    """
    run = Results(
        records, run_info, plan_toml, directory, region, price_per_hour, images, ranking or {}, sounds
    )
    page = page_of(run)
    for name, table in page.tables.items():
        write_csv(table(run), directory / name)
    first, *others = page.questions
    section = ask(first, run)
    drawing = Drawing(section.plans if section else [], directory / "figures")
    found = {first: section}
    for question in others:
        found[question] = section = ask(question, run)
        drawing.add(section.plans if section else [])
    return _write(
        directory / "report.html",
        title=words.listed([words.clean(name, 60) for name in run.datasets]) or "an empty run",
        noun=run.noun,
        strategies=[(words.clean(s), words.strategy_name(s)) for s in ordered(run.frame["strategy"])],
        sections=page.arranged(found),
        figures=drawing.finish(),
    )


def _write(path: Path, **content: Any) -> Path:
    """Renders the page."""
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["clean"] = words.clean
    environment.filters["capital"] = words.capital
    environment.filters["explained"] = Explained()
    environment.filters["concat"] = lambda first, second: [*first, *second]
    template = environment.get_template("page.html.j2")
    page = template.render(script=Markup(script), script_hash=digest, **content)
    write_atomic(path, _UNPRINTABLE.sub("", page))
    return path
