"""The answer while a run goes on, in a line or two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.records import Record
from reports import words
from reports.claims import floor_said, gives_up
from reports.phrases import has_several, who
from reports.statistics.decisions import Decision, decide
from reports.tables import results_frame


def so_far(records: Sequence[Record], directory: Path, region: float) -> list[str]:
    """One sentence or two a dataset, at its most labels; empty without any result.

    Args:
        records: those that are there.
        directory: the run directory, for predictions.
        region: differences within plus or minus this count as none.
    """
    decisions = decide(results_frame(records), directory, region)
    last = {decision.dataset: decision for decision in decisions}
    return [_said(decision, len(last) > 1) for decision in last.values()]


def _said(decision: Decision, several: bool) -> str:
    chosen, named = decision.recommended, has_several([decision])
    where = f"{words.clean(decision.dataset, 40)}: " if several else ""
    value = f"{words.percent(chosen.value)} with {words.count(decision.n)} labels"
    name = who(chosen, named)
    if decision.claim == "floor":
        return f"{where}{floor_said(decision)}, so far."
    if decision.claim == "provisional" or decision.compared < 2:
        others = len(decision.comparisons)
        beside = f", of {others + 1} tried" if others else ""
        seeds = words.capital(words.plural(decision.leader.seeds, "seed"))
        return f"{where}{name}, {value}{beside}. {seeds} so far, no comparison yet."
    out = [who(c, named) for c in decision.with_verdict("better")]
    ruled_out = f" Ruled out: {words.some(out, 3)}." if out else ""
    return f"{where}use {name} ({value}): {gives_up(decision)}.{ruled_out}"
