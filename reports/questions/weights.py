"""Which weights to begin with? The sets of weights that one backbone was run with, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.phrases import which_weights
from reports.results import Results
from reports.sections import Section, Table
from reports.statistics.decisions import Decision
from reports.statistics.pairs import Candidate
from reports.words import IMAGES


def section(run: Results) -> Section | None:
    """Which weights are best, and what is known of each source."""
    tables = weights_tables(run.decisions, run.run_info.get("sources", {}), run.several, run.noun)
    if not tables:
        return None
    return Section("weights", "Which initial weights?", tables, "Weights")


def weights_tables(
    decisions: Sequence[Decision], sources: dict[str, dict[str, Any]], several: bool, noun: Noun = IMAGES
) -> list[Table]:
    """Which weights are best to begin with, wherever a backbone was run with more than one set of them.

    Args:
        decisions: of ``decide``.
        sources: of run.json: what is known of each source, by its weights in the records.
        several: whether there is more than one dataset.
        noun: what examples are called.
    """
    conclusions: list[str] = []
    rows: list[list[str]] = []
    counts: list[float] = []
    for dataset in dict.fromkeys(decision.dataset for decision in decisions):
        mine = [decision for decision in decisions if decision.dataset == dataset]
        for backbone in dict.fromkeys(c.backbone for d in mine for c in d.candidates if c.backbone):
            found = {decision.n: decision.by_weights(backbone) for decision in mine}
            everything = list(dict.fromkeys(w for by in reversed(found.values()) for w in by))
            if len([weights for weights in everything if weights]) < 2:
                continue
            counts += [n for n in found if n not in counts]
            prefix = f"{words.clean(dataset, 40)}: " if several else ""
            for weights in everything:
                cells = {n: by[weights][0] for n, by in found.items() if weights in by}
                rows.append(
                    [f"{prefix}{words.clean(backbone, 40)}, {words.weights_name(weights)}"]
                    + [_best(cells[n]) if n in cells else "–" for n in counts]
                )
            conclusions += [prefix + text for text in [which_weights(mine[-1])] if text]
    if not rows:
        return []
    order = sorted(range(len(counts)), key=lambda i: counts[i])
    rows = [[row[0], *((row[1:] + ["–"] * len(counts))[i] for i in order)] for row in rows]
    columns = ["initial weights", *(f"{words.count(counts[i])} labels" for i in order)]
    metric = decisions[0].metric
    name = words.metric_name(metric)
    note = (
        f"The best strategy with each set of weights, and its test {name}. Random weights: from scratch."
        if metric != ACCURACY
        else "The most accurate strategy with each set of weights, and its accuracy. Random weights: from scratch."
    )
    label = f"{words.capital(name)} by initial weights"
    tables = [Table(conclusions, columns, rows, note, label=label)]
    if sources:
        tables.append(_sources_table(sources, noun))
    return tables


def _best(candidate: Candidate) -> str:
    return f"{words.percent(candidate.value)} ({words.strategy_name(candidate.strategy)})"


def _sources_table(sources: dict[str, dict[str, Any]], noun: Noun) -> Table:
    rows = []
    for source in sources.values():
        held_out = f"{words.percent(source['accuracy'])} ({words.percent(source['low'])} to "
        held_out += f"{words.percent(source['high'])})" + ("" if source["learned"] else ": nothing learned")
        rows.append(
            [
                words.clean(source["name"], 40),
                words.clean(source["dataset"], 40),
                words.count(source["n"]),
                words.count(source["classes"]),
                f"{source['image_size']} px",
                words.weights_name(source["start"]),
                held_out,
                f"{words.percent(source['baseline_accuracy'])} ({source['baseline']})",
            ]
        )
    leads = {s["name"]: s["accuracy"] - s["baseline_accuracy"] for s in sources.values() if s["learned"]}
    told = [f"{words.clean(name, 40)} by {words.in_points(lead)}" for name, lead in leads.items() if lead > 0]
    level = [words.clean(name, 40) for name, lead in leads.items() if lead <= 0]
    nothing = [words.clean(s["name"], 40) for s in sources.values() if not s["learned"]]
    conclusions = (
        [f"Ahead of the strongest baseline on its own dataset: {words.brief(told)}."] if told else []
    )
    if level:
        conclusions.append(f"No better than a baseline on its own dataset: {words.brief(level)}.")
    if nothing:
        conclusions.append(
            f"Little can be transferred, because training learned nothing: {words.brief(nothing)}."
        )
    return Table(
        conclusions,
        [
            "source",
            "trained on",
            noun.many,
            "classes",
            "size",
            "initial weights",
            "accuracy there",
            "baseline there",
        ],
        rows,
        f"Accuracy of each source on held-out {noun.many} of its own dataset with its 95% CI, beside the strongest "
        "baseline there.",
        label="Sources",
    )
