"""Values that must not change while code moves: ids of cells, cells that are run, and what a page says.

``python tests/golden/golden.py`` compares all of them to the last digit and says what differs; ``--write`` keeps
what it finds. Ids are the same everywhere; what is trained may differ a little on another processor.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent / "report")]

from plans import plans, runs, write_data

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?%?")


def ids(data: Path) -> dict[str, list[str]]:
    """The ids of all cells of each plan, in the order in which they run."""
    from bench.plans.loading import load_plan
    from bench.runs.prepare import prepare

    return {name: [cell.id for cell in prepare(load_plan(plan)).cells] for name, plan in plans(data).items()}


def cells(name: str, data: Path, out: Path) -> dict[str, dict[str, Any]]:
    """What the cells of one of ``runs`` give, by strategy."""
    import bench

    return {
        record.cell["strategy"]: {
            "id": record.cell_id,
            "status": record.status,
            "n": record.n,
            "epochs": record.epochs,
            # What was tried, and not which was chosen: of two that are nearly as good, rounding decides.
            "trials": [trial["hyperparameters"] for trial in record.trials],
            "metrics": record.metrics,
            "episodes": [entry["accuracy"] for entry in record.episodes],
        }
        for record in bench.run(runs(data)[name], out, workers=1).records
    }


def pages(folder: Path) -> dict[str, dict[str, list[str]]]:
    """The numbers that a page shows under each of its headings, of made-up runs of all kinds."""
    import fake
    import test_report_adaptation as adaptation
    import test_report_few_shot as few_shot
    import test_report_multitask as multitask

    from bench.records import Record
    from reports.html import render

    def page(name: str, records: Sequence[Record], info: dict[str, Any]) -> dict[str, list[str]]:
        page = render(records, info, fake.plan_toml(records), folder / name).read_text()
        return _Numbers(page.replace(str(folder), "")).found

    found = {}
    records = fake.records(backbones=("MobileNet:alpha=0.25", "EfficientNetLite0"))
    fake.write_predictions(records, folder / "fractions")
    found["fractions"] = page("fractions", records, fake.run_info(records))
    found["few_shot"] = page("few_shot", few_shot.made(folder / "few_shot"), {})
    records = adaptation.made(folder / "adaptation")
    found["adaptation"] = page("adaptation", records, fake.run_info(records) | adaptation.RUN)
    records = multitask.made(folder / "multitask")
    found["multitask"] = page("multitask", records, fake.run_info(records) | multitask.RUN)
    return found


class _Numbers(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self.heading, self.open = "top", list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "link", "img", "input", "hr"):
            self.open.append(tag)
        if tag == "h2":
            self.heading = ""

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "h2" in self.open:
            self.heading += data
        elif not {"style", "script", "svg"} & set(self.open):
            self.found.setdefault(self.heading, []).extend(NUMBER.findall(data))


def kept(name: str) -> dict[str, Any]:
    """The values that are kept under a name: ``ids``, ``cells`` or ``pages``."""
    content: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return content


def _main() -> None:
    import logging

    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        write_data(data)
        found = {"ids": ids(data), "pages": pages(Path(folder))}
        found["cells"] = {name: cells(name, data, Path(folder) / "runs" / name) for name in runs(data)}
    found = json.loads(json.dumps(found))
    for name, content in found.items():
        if "--write" in sys.argv:
            (HERE / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
        else:
            before = kept(name)
            differ = [key for key in {*before, *content} if before.get(key) != content.get(key)]
            print(f"{name}: {len(content)} compared, {', '.join(differ) or 'none'} differ")
            for key in differ:
                print(json.dumps({key: [before.get(key), content.get(key)]})[:2000])


if __name__ == "__main__":
    _main()
