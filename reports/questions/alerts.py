"""What a reader should know before believing the answer."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.modalities.findings import BALANCING, UNEVEN
from bench.modalities.groups import GroupCounts
from bench.modalities.nouns import Noun
from bench.records import ACCURACY, FRACTIONS, STEPS_SINCE, Record
from bench.store import Store
from bench.system.names import LEARNED_NOTHING
from reports import words
from reports.claims import more_like, no_network
from reports.phrases import STATUSES, small_maps
from reports.questions.overfitting import gap_numbers
from reports.results import Results
from reports.sections import Section
from reports.statistics.credits import metric_of
from reports.statistics.decisions import Decision
from reports.statistics.intervals import MINIMUM_SEEDS
from reports.tables import backbone_title, several_backbones, summary_frame

FITTED = 0.95
"""Training accuracy from which on there is little left to learn."""
LEVELS = ("problem", "caution", "note")
"""The gravest first."""


FEW_GROUPS = 5
"""With so many in the test set, Student's t of their scatter is no longer wide by itself."""


@dataclass(frozen=True)
class Alert:
    """Something that a reader should know before believing the answer."""

    level: str
    """One of ``LEVELS``, the gravest first."""
    text: str
    details: list[str] = field(default_factory=list)


def section(run: Results) -> Section:
    """What a reader should know first."""
    return Section(
        "warnings",
        "Before you rely on it",
        link="Warnings",
        template="alerts.html.j2",
        content=sorted_alerts(run),
    )


def sorted_alerts(run: Results) -> list[Alert]:
    """All alerts, the gravest first; within a level, the data come first."""
    found = [alert for look in _LOOKS for alert in look(run)]
    return sorted(found, key=lambda alert: LEVELS.index(alert.level))


OF_A_TEST_PART = (
    "identical_across_splits", "near_across_splits", "names_across_splits", "classes_without_test", "class_mix",
    "test_brightness",
)  # fmt: skip
"""Kinds of findings that matter only where the test part is scored."""


def findings(run: Results, about: dict[str, Any]) -> list[dict[str, Any]]:
    """What was found in a dataset and touches what is scored.

    Args:
        run: the run.
        about: a dataset as in run.json.
    """
    scored = any(about is found for found in run.run_info.get("datasets", {}).values())
    return [one for one in about.get("findings", []) if scored or one.get("kind") not in OF_A_TEST_PART]


def _data(run: Results) -> Iterator[Alert]:
    """What was found in the data that was used."""
    info = run.run_info
    data = [*_scored(run), *filter(None, [info.get("source_dataset")])]
    data += {t["name"]: t for tasks in info.get("auxiliary", {}).values() for t in tasks}.values()
    for content in data:
        name = words.clean(content.get("name", "dataset"), 40)
        for finding in findings(run, content):
            details = [words.clean(example, 240) for example in finding.get("examples", [])]
            yield Alert("problem", f"{name}: {words.clean(finding['text'], 400)}", details)


def _scored(run: Results) -> list[dict[str, Any]]:
    """The datasets that a cell was scored on; before there is any, all."""
    used = {record.cell["fingerprint"] for record in run.records}
    return [about for key, about in run.run_info.get("datasets", {}).items() if key in used or not used]


def _altered(run: Results) -> Iterator[Alert]:
    """Predictions that are not those of their cells: nothing is said that rests on them."""
    store = Store(run.directory)
    files = [f"{record.cell_id}.npz" for record in run.records if store.has_other_predictions(record)]
    if files:
        yield Alert(
            "problem",
            f"The predictions of {words.plural(len(files), 'cell')} were changed or exchanged after the run. The "
            "report does not use them: some intervals are wider, and results by class or example may be missing. "
            "Restore the files in predictions/, or delete these records in cells/ and run again.",
            files,
        )


def _imbalance(run: Results) -> Iterator[Alert]:
    """Classes of very different sizes, where accuracy decides."""
    for about in _scored(run) if run.metric == ACCURACY else ():
        counts = _test_counts(about)
        if run.protocol == FRACTIONS and max(counts) > UNEVEN * min(counts):
            yield Alert(
                "note",
                f"{words.clean(about.get('name', 'dataset'), 40)}: classes have {words.count(min(counts))} to "
                f"{words.count(max(counts))} test {run.noun.many}, and accuracy speaks mostly of the large ones. "
                f"{BALANCING}",
            )


def _test_counts(about: dict[str, Any]) -> list[int]:
    """Test examples by class, which accuracy is about; of a run that did not note them, all examples."""
    counts, pool = about.get("class_counts") or [1], about.get("pool_counts") or []
    return [n - p for n, p in zip(counts, pool, strict=True)] if len(pool) == len(counts) else counts


def _sources(run: Results) -> Iterator[Alert]:
    for source in run.run_info.get("sources", {}).values():
        if not source["learned"]:
            yield Alert("problem", LEARNED_NOTHING.format(words.clean(source["name"], 40)))


def _small_maps(run: Results) -> Iterator[Alert]:
    for text in small_maps(run.records):
        yield Alert("caution", text)


def _became(status: str) -> str:
    """``oom`` as ``ran out of memory``, ``killed`` as ``killed``: of one cell and of many."""
    return STATUSES.get(status, status).removeprefix("was ")


def _without_result(run: Results) -> Iterator[Alert]:
    """Cells that failed, and cells that were not run."""
    lost = Counter(record.status for record in run.records if record.status not in ("ok", "skipped"))
    if lost:
        what = words.listed([f"{number} {_became(status)}" for status, number in lost.most_common()])
        cells = words.plural(lost.total(), "cell has", "cells have")
        yield Alert("problem", f"{cells} no result: {what}. The table of failures says why.")
    missing, details = _missing(run.records, run.run_info, run.plan_toml)
    if missing:
        text = f"{words.plural(missing, 'planned cell was', 'planned cells were')} not run yet."
        yield Alert("problem", text, details)


def _answers(run: Results) -> Iterator[Alert]:
    """What speaks against the answer for each dataset, at its largest label count."""
    many = run.noun.many
    largest = {decision.dataset: decision for decision in run.decisions}
    for decision in largest.values():
        of = f" ({words.clean(decision.dataset, 40)})" if len(largest) > 1 else ""
        yield from _scratch(run.frame[run.frame["dataset"] == decision.dataset], of)
        if text := no_network(decision):
            yield Alert("caution", f"{text.rstrip('.')}{of}. {more_like(decision, run.noun)}")
        yield from _few(decision, of, run.noun)
        if any(c.verdict != "unknown" and not c.paired for c in decision.comparisons):
            yield Alert(
                "note",
                f"Predictions on the same test {many} were not found{of}: intervals are wider than need be.",
            )


def _few_groups(run: Results) -> Iterator[Alert]:
    """Test sets of so few persons, say, that hardly anything is known of new ones."""
    for about in run.run_info.get("datasets", {}).values():
        counts = GroupCounts.read(about.get("groups"))
        if counts is not None and counts.test < FEW_GROUPS:
            name, groups = words.clean(about.get("name", "dataset"), 40), words.plural(counts.test, "group")
            yield Alert(
                "caution",
                f"The test set of {name} has {groups}. What is claimed of new groups gets much sharper with "
                f"{FEW_GROUPS} or more.",
            )


def _scratch(results: pd.DataFrame, of: str) -> Iterator[Alert]:
    if below := _scratch_at_floor(results):
        yield Alert(
            "problem",
            f"Training from scratch did not beat the majority class{of} with {words.listed(below)} labels: a "
            "comparison with scratch says little there.",
        )


def _few(decision: Decision, of: str, noun: Noun) -> Iterator[Alert]:
    """Too few seeds, or test examples, to tell."""
    many = noun.many
    if decision.leader.seeds < MINIMUM_SEEDS:
        seeds = words.plural(decision.leader.seeds, "seed")
        yield Alert("caution", f"Only {seeds}{of}: too few to say how much results vary.")
    first = decision.comparisons[0] if decision.comparisons else None
    if first is None or decision.claim != "undecided" or first.verdict == "better":
        return
    apart = abs(first.difference)
    if decision.margin > apart:
        narrower = "" if first.paired else f" Predictions on the same {many} would narrow that."
        yield Alert(
            "caution",
            f"The test set{of} is small: {words.count(decision.n_test)} {many} determine one "
            f"{words.metric_name(decision.metric)} to within ±{words.points(decision.margin)} points. The two best "
            f"are {words.in_points(apart)} apart.{narrower}",
        )


def _trials(run: Results) -> Iterator[Alert]:
    """Trials that diverged, and unequal numbers of trials."""
    diverged: Counter[str] = Counter()
    for record in run.records:
        diverged[record.cell["strategy"]] += sum(trial.get("status") == "diverged" for trial in record.trials)
    if diverged.total():
        details = [f"{words.strategy_name(s)}: {number}" for s, number in sorted(diverged.items()) if number]
        text = f"{words.plural(diverged.total(), 'trial')} diverged (the loss was not finite) and counted as worst."
        yield Alert("caution", text, details)
    ok = run.frame[(run.frame["status"] == "ok") & (run.frame["strategy"] != "majority")]
    budgets = ok.groupby("strategy")["trials"].agg(["min", "max"])
    if len(budgets) and budgets["min"].min() != budgets["max"].max():
        details = [
            f"{words.strategy_name(str(name))}: {low:g}" + (f" to {high:g}" if high > low else "")
            for name, low, high in budgets.itertuples()
        ]
        yield Alert("note", "Strategies had different numbers of trials.", details)


def _cut_short(run: Results) -> Iterator[Alert]:
    """Strategies that still learned when the plan's epochs ended their training, with the most labels."""
    most = run.frame["fraction"].max()
    capped = [record for record in run.records if record.cell["fraction"] == most and _at_cap(record)]
    ids = {record.cell_id for record in capped}
    numbers = gap_numbers(run.frame[run.frame["cell_id"].isin(ids)], run.curves)
    learning = numbers[(numbers["train"] < numbers["val"]) & (numbers["train"] < FITTED)]
    if len(learning):
        names = words.listed([words.strategy_name(name) for name in dict.fromkeys(learning["strategy"])])
        text = (
            f"{words.capital(names)} still learned when training ended: it fits training {run.noun.many} no better "
            f"than validation {run.noun.many}. Train longer: --epochs {2 * capped[0].cell['epochs']}."
        )
        yield Alert("caution", text)


def _at_cap(record: Record) -> bool:
    """Whether the plan's epochs, and not the strategy's own steps, decided how long the last stage trained."""
    cell = record.cell
    return cell["protocol_version"] >= STEPS_SINCE and record.epochs == round(cell["length"] * cell["epochs"])


def _warnings(run: Results) -> Iterator[Alert]:
    """What cells and the run itself have warned of."""
    said = Counter(words.clean(warning, 400) for record in run.records for warning in record.warnings)
    for warning, times in said.most_common(20):
        yield Alert("note", f"{warning} ({words.plural(times, 'cell')})")
    for note in run.run_info.get("notes", []):
        yield Alert("note", words.clean(note, 400))


_LOOKS = (
    _data,
    _altered,
    _imbalance,
    _sources,
    _few_groups,
    _small_maps,
    _without_result,
    _answers,
    _cut_short,
    _trials,
    _warnings,
)
"""Each gives the alerts of one kind."""


def _scratch_at_floor(results: pd.DataFrame) -> list[str]:
    """The label counts at which training from scratch is at or below the majority class, on some backbone."""
    summary = summary_frame(results[results["strategy"].isin(["scratch", "majority"])])
    several = several_backbones(zip(summary["backbone"], summary["weights"], strict=True))
    metric, found = metric_of(summary), []
    for n, group in summary.dropna(subset="n").groupby("n"):
        floor = group.loc[group["strategy"] == "majority", metric].max()
        for row in group[group["strategy"] == "scratch"].to_dict("records"):
            if row[metric] <= floor:
                on = f" ({backbone_title(row['backbone'], row['weights'])})" if several else ""
                found.append(words.count(float(str(n))) + on)
    return found


def _missing(records: Sequence[Record], run_info: dict[str, Any], plan_toml: str) -> tuple[int, list[str]]:
    """How many planned cells have no record, and which combinations of the plan have none at all. A run that is cut
    short has a list of its own of what was not run."""
    have = {record.cell_id for record in records}
    count = len(set(run_info.get("cells", [])) - have)
    try:
        plan = tomllib.loads(plan_toml)
        seeds = range(plan["seeds"])
        wanted = [(s, f, i) for s in plan["strategies"] for f in plan["fractions"] for i in seeds]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        return count, []
    if run_info.get("course") or plan.get("until") == "decided" or plan.get("budget"):
        return count, []
    seen = {(r.cell["strategy"], r.cell["fraction"], r.cell["seed"]) for r in records}
    by_place: dict[tuple[str, float], list[int]] = defaultdict(list)
    for strategy, fraction, seed in wanted:
        if (strategy, fraction, seed) not in seen:
            by_place[strategy, fraction].append(seed)
    details = [
        f"{words.strategy_name(strategy)} at {words.fraction_name(fraction)}: "
        f"{'seed' if len(which) == 1 else 'seeds'} {words.listed([str(seed) for seed in which])}"
        for (strategy, fraction), which in by_place.items()
    ]
    return max(count, sum(map(len, by_place.values()))), details[:20]
