"""What is asked right after the answer: would more labels help, and what is wrong with the data?"""

from __future__ import annotations

from typing import Any

from reports import words
from reports.questions.alerts import findings
from reports.questions.labels import fitted
from reports.results import Results
from reports.sections import Answer, Tile
from reports.statistics.decisions import Decision, succeeded
from reports.statistics.label_curves import MINIMUM_COUNTS, LabelCurve
from reports.tables import dataset_names

LONGEST = 90
"""Characters of a finding that stand in a tile; all of it stands with the warnings."""


def tiles(run: Results, answer: Answer) -> list[Tile]:
    """Those of one dataset."""
    return [tile for tile in (more_labels(run, answer.dataset), data(run, answer.dataset)) if tile]


def more_labels(run: Results, dataset: str) -> Tile | None:
    """What twice the labels would bring to the recommended one. Where that cannot be said, what the last increase
    brought, or why nothing is known."""
    mine = [decision for decision in run.decisions if words.clean(decision.dataset, 80) == dataset]
    if not mine:
        return None
    curves, reason = run.once(fitted)
    curve = _curve_of(mine[-1], curves)
    if curve is not None:
        text = _twice(curve, run.region)
    elif (gained := _last_gain(run, mine)) is not None:
        text = gained
    elif len(mine) < MINIMUM_COUNTS:
        text = f"Not known: a learning curve needs {MINIMUM_COUNTS} label counts, this run has {len(mine)}."
    else:
        text = reason or "Not known: the recommended one ran at too few label counts."
    return Tile("More labels?", text, link="labels")


def _curve_of(decision: Decision, curves: list[LabelCurve]) -> LabelCurve | None:
    chosen = decision.recommended
    key = decision.dataset, chosen.backbone, chosen.weights, chosen.strategy
    return next((curve for curve in curves if curve.key == key), None)


def _last_gain(run: Results, decisions: list[Decision]) -> str | None:
    """What the recommended one gained by the last increase of labels, over the seeds that both counts have."""
    frame, chosen = succeeded(run.frame), decisions[-1].recommended
    mine = frame[
        (frame["dataset"] == decisions[-1].dataset)
        & (frame["strategy"] == chosen.strategy)
        & (frame["backbone"] == chosen.backbone)
        & (frame["weights"] == chosen.weights)
    ]
    values = mine.pivot_table(index="seed", columns="fraction", values=run.metric)
    if values.shape[1] < 2:
        return None
    gains = values.iloc[:, -2:].dropna().diff(axis=1).iloc[:, -1]
    if gains.empty:
        return None
    # With groups, seeds of one fraction differ by a few labels.
    before, after = mine.groupby("fraction")["n"].median().iloc[-2:]
    name, seeds = words.strategy_name(chosen.strategy, 30), words.plural(len(gains), "seed")
    gain = words.in_points(gains.mean()) if gains.mean() > 0 else "nothing"
    return f"From {words.count(before)} to {words.count(after)} labels, {name} gained {gain} ({seeds})."


def _twice(curve: LabelCurve, region: float) -> str:
    """What doubling the labels adds, with its interval where it does not go without saying."""
    twice = words.count(2 * curve.n[-1])
    ahead = curve.predict(2 * curve.n[-1])
    gain, low, high = (value - curve.values[-1] for value in (ahead.value, ahead.low, ahead.high))
    if high < region:
        return f"Hardly: doubling to {twice} adds less than {words.in_points(region)}."
    said = f"{words.points(low, True)} to {words.points(high, True)}"
    return f"Doubling to {twice} adds about {words.in_points(max(gain, 0.0))} (95% CI {said})."


def data(run: Results, dataset: str) -> Tile | None:
    """How much is wrong with the data, and the worst of it; None where nobody looked."""
    names = dataset_names(run.records)
    prints = {print_ for print_, name in names.items() if words.clean(name, 80) == dataset}
    about = {key: found for key, found in run.run_info.get("datasets", {}).items() if key in prints}
    if not about or any("findings" not in found for found in about.values()):
        return None
    found: list[dict[str, Any]] = [one for of in about.values() for one in findings(run, of)]
    if not found:
        return Tile("Problems with the data", "No problems found.")
    title = f"{words.plural(len(found), 'problem')} with the data"
    return Tile(title, _shortened(found[0]["text"]), "problem", "warnings")


def _shortened(text: str) -> str:
    """The first sentence, cut at a word."""
    first = words.clean(text).split(". ")[0]
    if len(first) <= LONGEST:
        return first
    return f"{first[:LONGEST].rsplit(' ', 1)[0]} …"
