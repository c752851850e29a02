"""What was not run, and why: of a run that ended when it was decided, or when nothing more fitted its budget."""

from __future__ import annotations

from typing import Any

from bench.system.names import titled
from reports import words
from reports.claims import would_decide
from reports.results import Results
from reports.sections import Section, Table
from reports.tables import dataset_names

ENDED = {
    "decided": "It ended because the answer is decided.",
    "unsettled": "It ended undecided: more seeds, up to the last look, would probably not settle it.",
    "budget": "It ended because nothing that was left fitted the budget. More time goes on from here: --budget 1h.",
    "": "It has not ended.",
}
"""By ``Course.ended``."""

WHY = {
    "out": "ruled out: something tried is at least as good",
    "decided": "not needed: the answer was decided without it",
    "unsettled": "more seeds would probably not settle it",
    "failed": "another seed of the same candidate failed or was skipped",
    "budget": "did not fit the budget",
    "curve": "label counts between the fewest and the most, of what is not recommended",
    "waiting": "not reached",
}
"""By the reason in ``Course.left``."""


def ends(run: Results) -> list[str]:
    """Why a run that was cut short has ended, and what would decide it: a line for each dataset."""
    course, names = run.run_info.get("course") or {}, dataset_names(run.records)
    last = {decision.dataset: decision for decision in run.decisions}  # with the most labels
    found = []
    for print_, each in course.items():
        name = names.get(print_, "")
        said = [ENDED.get(each["ended"], ENDED[""])]
        if each["ended"] == "unsettled" and name in last:
            said.append(would_decide(last[name], run.noun))
        dataset = f"{words.clean(name, 60)}: " if len(course) > 1 else ""
        found.append(f"{dataset}{' '.join(filter(None, said))}")
    return found


def section(run: Results) -> Section | None:
    """The ledger of each dataset; None for a run of a whole grid."""
    course = run.run_info.get("course") or {}
    names = dataset_names(run.records)
    tables = [
        _table(names[print_], found, len(course) > 1) for print_, found in course.items() if print_ in names
    ]
    return Section("course", "Cells that were not run", tables, "Not run") if tables else None


def _table(dataset: str, found: dict[str, Any], several: bool) -> Table:
    out = [
        " on ".join(filter(None, [words.strategy_name(s), titled(b, w) if b else ""]))
        for s, b, w in found["out"]
    ]
    said = [ENDED.get(found["ended"], ENDED[""])]
    if out:
        said.append(f"Ruled out: {words.some(out, 8)}.")
    rows = [[WHY.get(why, why), words.count(cells)] for why, cells in found["left"].items()]
    return Table(
        [f"{words.clean(dataset, 60)}: {text}" if several else text for text in said],
        ["why", "cells that were not run"],
        rows,
        "The counts cover all cells of the plan, with as many seeds as the last look has.",
        label="Cells that were not run",
    )
