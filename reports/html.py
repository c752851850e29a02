"""The page that a person reads: the answer first, then what speaks against it, then how it was found.

One file that needs no network and no script. All text is escaped by the template; the only markup that is passed
through is our own SVG.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from bench.files import write_atomic
from bench.records import Record
from reports import words
from reports.figures import draw_all
from reports.sections import labels_table, transfer_tables
from reports.statistics import (
    MINIMUM_SEEDS,
    MOST_IMAGES,
    MOST_SEEDS,
    Candidate,
    Comparison,
    Decision,
    decide,
    wilson,
)
from reports.tables import (
    Panel,
    backbone_title,
    column_title,
    curves_frame,
    ordered,
    panels,
    results_frame,
    statuses,
    summary_frame,
    write_csv,
)
from reports.transfer import benefits

_TEMPLATES = Path(__file__).parent / "templates"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LIMIT = 200
"""Rows of the lists of what failed; the rest is in results.csv."""
_LEVELS = ("problem", "caution", "note")


@dataclass(frozen=True)
class Answer:
    """What may be said about one dataset, in words."""

    dataset: str
    claim: str
    headline: str
    sentences: list[str]
    by_labels: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Alert:
    """Something that a reader should know before believing the answer."""

    level: str
    """One of ``_LEVELS``, the gravest first."""
    text: str
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Value:
    """A table cell: the text to show and, of a number, the raw value to sort by."""

    text: str
    raw: float | None = None


def render(records: Sequence[Record], run_info: dict[str, Any], plan_toml: str, directory: Path) -> Path:
    """Writes results.csv, figures/ and report.html of a run directory, each atomically.

    Args:
        records: all records of the run, in any order.
        run_info: the content of run.json; any key may be missing.
        plan_toml: the text of plan.toml.
        directory: the run directory; predictions/ in it is read where it exists.

    Returns:
        The path of the page. The same input gives the same bytes.
    """
    results, curves = results_frame(records), curves_frame(records)
    write_csv(results, directory / "results.csv")
    figures = draw_all(results, curves, directory / "figures")
    decisions = decide(results, directory)
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    datasets = list(dict.fromkeys(results["dataset"]))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = words.clean
    found = alerts(records, results, decisions, run_info, plan_toml)
    page = environment.get_template("report.html.j2").render(
        title=words.listed([words.clean(name, 60) for name in datasets]) or "an empty run",
        answers=answers(results, decisions),
        alerts=sorted(found, key=lambda alert: _LEVELS.index(alert.level)),
        figures=[(figure, [Markup(svg) for svg in figure.svgs]) for figure in figures],
        several=len(datasets) > 1,
        transfer=transfer_tables(benefits(results, curves, directory), len(datasets) > 1),
        labels=labels_table(results, directory, len(datasets) > 1),
        summaries=[summary_table(panel) for panel in panels(results)],
        full=full_table(results),
        failures=_failures(records),
        skipped=_skipped(records),
        hyperparameters=_hyperparameters(records),
        method=_method(records, run_info),
        datasets=_datasets(run_info),
        provenance=_provenance(run_info),
        plan=plan_toml,
        resume=f"python -m bench run {shlex.quote(str(directory / 'plan.toml'))}",
        script=Markup(script),
        script_hash=digest,
        limit=_LIMIT,
    )
    path = directory / "report.html"
    write_atomic(path, _UNPRINTABLE.sub("", page))
    return path


# --- the answer -------------------------------------------------------------------------------------------


def answers(results: pd.DataFrame, decisions: Sequence[Decision]) -> list[Answer]:
    """One answer a dataset, at its largest label count that has a result."""
    found = []
    for dataset in dict.fromkeys(results["dataset"]):
        mine = [decision for decision in decisions if decision.dataset == dataset]
        if mine:
            answer = _answer(results[results["dataset"] == dataset], mine[-1])
            if len(mine) > 1:
                several = _several(mine)
                answer.by_labels.extend(_at_labels(decision, several) for decision in mine)
            found.append(answer)
            continue
        measured = ((results["dataset"] == dataset) & (results["status"] == "ok")).any()
        reason = (
            "Only the majority class was measured: that is the floor, not an answer."
            if measured
            else "No cell of this dataset has a result; below is what became of them."
        )
        found.append(Answer(words.clean(dataset, 80), "none", "There is no answer yet.", [reason]))
    return found


def _answer(results: pd.DataFrame, decision: Decision) -> Answer:
    leader, chosen = decision.leader, decision.recommended
    several = _several([decision])

    def who(candidate: Candidate) -> str:
        return _who(candidate, several)

    def some(candidates: list[Candidate]) -> str:
        names = [who(c) for c in candidates[:3]]
        more = len(candidates) - len(names)
        return words.listed([*names, f"{more} more"] if more else names)

    n, right = words.count(decision.n), words.percent(leader.accuracy)
    interval = f" (95% interval {words.percent(leader.low)} to {words.percent(leader.high)})"
    interval = interval if math.isfinite(leader.low) else ""
    others, first = len(decision.comparisons), decision.comparisons[0] if decision.comparisons else None
    sentences = []
    if math.isfinite(decision.floor) and leader.accuracy <= decision.floor:
        headline = f"With {n} labelled images, nothing beat always answering with the most frequent class."
        sentences.append(
            f"The best, {who(leader)}, classified {right} of the test images correctly{interval}."
        )
    elif decision.claim == "provisional":
        headline = f"Provisionally: {who(leader)}, with {right} of new images classified correctly."
        sentences.append(
            f"Provisionally, because {words.plural(leader.seeds, 'seed')} cannot tell a difference from chance: "
            f"nothing is claimed below {MINIMUM_SEEDS}. This is with {n} labelled images."
        )
        if first is not None:
            lead = words.points(first.difference)
            sentences.append(f"Its observed lead over the next, {who(first.candidate)}, is {lead} points.")
    elif decision.claim == "alone":
        headline = f"{words.capital(who(leader))} classifies {right} of new images correctly."
        sentences.append(f"That is with {n} labelled images{interval}. There is nothing to compare it with.")
    elif decision.claim == "tied":
        headline = f"Use {who(chosen)}: as good as the best, and the cheapest of them."
        tied = [c for c in [leader, *decision.with_verdict("tied")] if c != chosen]
        costs = words.listed([f"{who(c)} takes {words.duration(c.seconds)}" for c in tied[:3]])
        sentences.append(
            f"With {n} labelled images it classifies {words.percent(chosen.accuracy)} of new images correctly and "
            f"is tied with {some(tied)} (the difference is within {words.points(decision.region)} "
            f"{'point' if decision.region == 0.01 else 'points'}, which counts as none); {costs}."
        )
    elif decision.claim == "better":
        headline = f"Use {who(leader)}: it classifies {right} of new images correctly."
        assert first is not None
        sentences.append(
            f"With {n} labelled images{interval} it is better than "
            f"{'the one other' if others == 1 else f'each of the {others} others'} tried; the next, "
            f"{who(first.candidate)}, is {words.points(first.difference)} points behind "
            f"(simultaneous 95% interval {words.points(first.low)} to {words.points(first.high)})."
        )
    else:
        headline = f"Undecided: {who(leader)} leads with {right}, but its lead may be chance."
        doubtful = next(c for c in decision.comparisons if c.verdict in ("undecided", "unknown"))
        if math.isfinite(doubtful.low):
            low, high = words.points(doubtful.low, True), words.points(doubtful.high, True)
            doubt = f"simultaneous 95% interval {low} to {high}"
        else:
            doubt = f"on {words.plural(doubtful.seeds, 'common seed')}"
        sentences.append(
            f"With {n} labelled images{interval}, its lead over {who(doubtful.candidate)} is "
            f"{words.points(doubtful.difference, True)} points ({doubt}). "
            f"{_what_would_settle(doubtful)}"
        )
    beaten = decision.with_verdict("better")
    if decision.claim in ("undecided", "tied") and beaten:
        sentences.append(f"{words.capital(who(leader))} is better than {some(beaten)}.")
    if decision.claim in ("undecided", "provisional") and chosen != leader:
        sentences.append(
            f"If you must choose now: {who(chosen)}, {words.percent(chosen.accuracy)}, the cheapest within "
            f"{words.points(decision.region)} point of the leader ({words.duration(chosen.seconds)} instead of "
            f"{words.duration(leader.seconds)})."
        )
    sentences.append(
        f"Cost: {words.duration(chosen.seconds)} to tune and train {who(chosen)} once (one seed, this machine)."
    )
    scratch = [c for c in decision.comparisons if c.candidate.strategy == "scratch"]
    against = (
        [f"training from scratch reached {words.percent(scratch[0].candidate.accuracy)}"] if scratch else []
    )
    if math.isfinite(decision.floor):
        against.append(f"always answering with the most frequent class {words.percent(decision.floor)}")
    if against:
        sentences.append(f"For comparison, {words.listed(against)}.")
    return Answer(words.clean(decision.dataset, 80), decision.claim, headline, sentences)


def _what_would_settle(doubtful: Comparison) -> str:
    if doubtful.verdict == "unknown":
        return "More seeds that both have would tell."
    ways = []
    if doubtful.more_seeds is not None:
        ways.append(words.plural(doubtful.more_seeds, "seed"))
    if doubtful.more_images is not None:
        ways.append(f"a test set of {words.count(doubtful.more_images)} images")
    if ways:
        return f"If the difference is what it looks like, {' or '.join(ways)} would settle it."
    return (
        f"If the difference is what it looks like, neither {MOST_SEEDS} seeds nor a test set of "
        f"{words.count(MOST_IMAGES)} images alone would settle it."
    )


def _several(decisions: Sequence[Decision]) -> bool:
    """Whether more than one backbone takes part, so that it has to be named."""
    candidates = [
        c for d in decisions for c in (d.leader, *(comparison.candidate for comparison in d.comparisons))
    ]
    return (
        len({(c.backbone, c.weights) for c in candidates if c.weights} or {c.backbone for c in candidates})
        > 1
    )


def _who(candidate: Candidate, several: bool) -> str:
    name = words.strategy_name(candidate.strategy)
    return f"{name} on {backbone_title(candidate.backbone, candidate.weights)}" if several else name


def _at_labels(decision: Decision, several: bool) -> list[str]:
    """A row of the table of answers: labels, who leads, accuracy, the lead over the next, what may be said."""
    leader = decision.leader
    interval = (
        f" ({words.percent(leader.low)} to {words.percent(leader.high)})" if leader.low == leader.low else ""
    )
    lead, verdict = "–", "nothing to compare with"
    if decision.comparisons:
        first = decision.comparisons[0]
        lead = f"{words.points(first.difference, True)} points over {_who(first.candidate, several)}"
        verdict = {
            "provisional": f"provisional: fewer than {MINIMUM_SEEDS} seeds",
            "better": "better than all others",
            "tied": f"tied; take {_who(decision.recommended, several)}, the cheapest",
        }.get(decision.claim, "undecided")
    return [
        words.count(decision.n),
        _who(leader, several),
        words.percent(leader.accuracy) + interval,
        lead,
        verdict,
    ]


# --- what speaks against it -------------------------------------------------------------------------------


def alerts(
    records: Sequence[Record],
    results: pd.DataFrame,
    decisions: Sequence[Decision],
    run_info: dict[str, Any],
    plan_toml: str,
) -> Iterator[Alert]:
    """What a reader should know before believing the answer; within a level, the data come first."""
    for content in run_info.get("datasets", {}).values():
        name = words.clean(content.get("name", "dataset"), 40)
        for finding in content.get("findings", []):
            details = [words.clean(example, 240) for example in finding.get("examples", [])]
            yield Alert("problem", f"{name}: {words.clean(finding['text'], 400)}", details)
    lost = Counter(record.status for record in records if record.status not in ("ok", "skipped"))
    if lost:
        what = words.listed([f"{number} {status}" for status, number in lost.most_common()])
        yield Alert(
            "problem",
            f"{words.plural(lost.total(), 'cell has', 'cells have')} no result: {what}. Why is below.",
        )
    missing, details = _missing(records, run_info, plan_toml)
    if missing:
        text = f"{words.plural(missing, 'planned cell was', 'planned cells were')} not run yet."
        yield Alert("problem", text, details)
    largest = {decision.dataset: decision for decision in decisions}
    for decision in largest.values():
        of = f" ({words.clean(decision.dataset, 40)})" if len(largest) > 1 else ""
        below = _scratch_at_floor(results[results["dataset"] == decision.dataset])
        if below:
            yield Alert(
                "problem",
                f"Training from scratch did not beat the majority class{of} with {words.listed(below)} labels: a "
                "comparison with scratch says little there.",
            )
        if decision.leader.seeds < MINIMUM_SEEDS:
            seeds = words.plural(decision.leader.seeds, "seed")
            yield Alert(
                "caution", f"Only {seeds}{of}: too few to say how much results vary; nothing is claimed."
            )
        low, high = wilson(decision.leader.accuracy, decision.n_test)
        lead = decision.comparisons[0].difference if decision.comparisons else math.inf
        if (high - low) / 2 > lead:
            yield Alert(
                "caution",
                f"The test set{of} is small: {words.count(decision.n_test)} images determine one accuracy to "
                f"within ±{words.points((high - low) / 2)} points, more than the lead of "
                f"{words.points(lead)}. Pairing on the same images narrows that, where predictions are stored.",
            )
        unpaired = [c for c in decision.comparisons if c.verdict != "unknown" and not c.paired]
        if unpaired:
            yield Alert(
                "note",
                f"Predictions on the same test images were not found{of}: intervals are wider than need be.",
            )
    diverged: Counter[str] = Counter()
    for record in records:
        diverged[record.cell["strategy"]] += sum(trial.get("status") == "diverged" for trial in record.trials)
    if diverged.total():
        details = [f"{words.strategy_name(s)}: {number}" for s, number in sorted(diverged.items()) if number]
        text = f"{words.plural(diverged.total(), 'trial')} diverged (the loss was not finite) and counted as worst."
        yield Alert("caution", text, details)
    ok = results[(results["status"] == "ok") & (results["strategy"] != "majority")]
    budgets = ok.groupby("strategy")["trials"].agg(["min", "max"])
    if len(budgets) and budgets["min"].min() != budgets["max"].max():
        details = [
            f"{words.strategy_name(str(name))}: {low:g}" + (f" to {high:g}" if high > low else "")
            for name, low, high in budgets.itertuples()
        ]
        yield Alert("note", "Strategies had different numbers of trials.", details)
    said = Counter(words.clean(warning, 400) for record in records for warning in record.warnings)
    for warning, times in said.most_common(20):
        yield Alert("note", f"{warning} ({words.plural(times, 'cell')})")
    for note in run_info.get("notes", []):
        yield Alert("note", words.clean(note, 400))


def _scratch_at_floor(results: pd.DataFrame) -> list[str]:
    """The label counts at which training from scratch is at or below the majority class."""
    summary = summary_frame(results[results["strategy"].isin(["scratch", "majority"])])
    found = []
    for n, group in summary.dropna(subset="n").groupby("n"):
        best = group.groupby("strategy")["accuracy"].max()
        if {"scratch", "majority"} <= set(best.index) and best["scratch"] <= best["majority"]:
            found.append(words.count(float(str(n))))
    return found


def _missing(records: Sequence[Record], run_info: dict[str, Any], plan_toml: str) -> tuple[int, list[str]]:
    """How many planned cells have no record, and which combinations of the plan have none at all."""
    have = {record.cell_id for record in records}
    count = len(set(run_info.get("cells", [])) - have)
    try:
        plan = tomllib.loads(plan_toml)
        seeds = range(plan["seeds"])
        wanted = [(s, f, i) for s in plan["strategies"] for f in plan["fractions"] for i in seeds]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
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


# --- tables -----------------------------------------------------------------------------------------------


def summary_table(panel: Panel) -> dict[str, Any]:
    """Strategies by label counts: accuracy with its spread, and seconds; the best mean of a column is marked."""
    summary = summary_frame(panel.results)
    sizes = summary.groupby("fraction")["n"].median().sort_index()
    best = summary.groupby("fraction")["accuracy"].max()
    rows: dict[tuple[str, float], Any] = {(row.strategy, row.fraction): row for row in _rows(summary)}
    lines = []
    for strategy in ordered(summary["strategy"]):
        cells = []
        for fraction in sizes.index:
            row = rows.get((strategy, fraction))
            if row is None or not row.seeds:
                why = "–" if row is None else statuses(panel.results, strategy, fraction)
                cells.append({"main": why, "sub": "", "best": False})
                continue
            spread = f" ± {words.points(row.spread)}" if math.isfinite(row.spread) else ""
            seeds = (
                words.plural(row.seeds, "seed")
                if row.seeds == row.cells
                else f"{row.seeds} of {row.cells} seeds"
            )
            cells.append(
                {
                    "main": words.percent(row.accuracy) + spread,
                    "sub": f"{words.duration(row.seconds)} · {seeds}",
                    "best": row.accuracy == best[fraction],
                }
            )
        lines.append((words.strategy_name(strategy), cells))
    return {
        "title": " · ".join(filter(None, (words.clean(panel.dataset, 60), panel.title))),
        "columns": [column_title(float(str(f)), n) for f, n in sizes.items()],
        "rows": lines,
    }


_FULL = (
    ("dataset", "dataset", None),
    ("backbone", "backbone", None),
    ("strategy", "strategy", None),
    ("status", "status", None),
    ("labels", "n", words.count),
    ("share", "fraction", words.fraction_name),
    ("seed", "seed", words.count),
    ("accuracy", "accuracy", words.percent),
    ("balanced acc.", "balanced_accuracy", words.percent),
    ("macro F1", "macro_f1", lambda value: f"{value:.3f}"),
    ("log loss", "log_loss", lambda value: f"{value:.3f}"),
    ("ECE", "ece", lambda value: f"{value:.3f}"),
    ("epochs", "epochs", words.count),
    ("tuning", "tune_seconds", words.duration),
    ("refit", "fit_seconds", words.duration),
    ("ms/image", "inference_ms_per_image", lambda value: f"{value:.3g}"),
    ("parameters", "params", words.magnitude),
    ("trainable", "trainable_params", words.magnitude),
    ("memory MB", "peak_memory_mb", words.count),
)


def full_table(results: pd.DataFrame) -> dict[str, Any]:
    """Every cell: a heading and, row by row, what to show and what to sort by."""
    several = results["dataset"].nunique() > 1
    columns = [column for column in _FULL if several or column[1] != "dataset"]
    rows = []
    for row in results.to_dict("records"):
        row["backbone"] = backbone_title(row["backbone"], row["weights"])
        line = []
        for _, key, text in columns:
            value = row[key]
            if text is None:
                line.append(Value(words.clean(value, 60)))
            elif math.isfinite(value):
                line.append(Value(text(value), value))
            else:
                line.append(Value("–", math.nan))
        rows.append(line)
    return {"columns": [(title, text is not None) for title, _, text in columns], "rows": rows}


def _failures(records: Sequence[Record]) -> list[dict[str, str]]:
    return [
        {
            "label": _label(record),
            "status": record.status,
            "message": words.clean(_error(record, "message") or "no message", 1000),
            "type": words.clean(_error(record, "type"), 60),
            "traceback": _error(record, "traceback")[-4000:],
        }
        for record in records
        if record.status not in ("ok", "skipped")
    ]


def _skipped(records: Sequence[Record]) -> list[str]:
    """The reasons, each once with the number of its cells."""
    reasons = Counter(
        f"{words.strategy_name(record.cell['strategy'])} on "
        f"{backbone_title(record.cell['backbone'], record.cell['weights']) or 'no backbone'}: "
        f"{words.clean(_error(record, 'message'), 400)}"
        for record in records
        if record.status == "skipped"
    )
    return [f"{reason} ({words.plural(number, 'cell')})" for reason, number in reasons.items()]


def _hyperparameters(records: Sequence[Record]) -> list[list[str]]:
    return [
        [
            _label(record),
            words.clean(
                ", ".join(f"{k} = {_short(v)}" for k, v in sorted(record.hyperparameters.items())), 400
            ),
            "–" if record.epochs is None else str(record.epochs),
            str(len(record.trials)),
        ]
        for record in records
        if record.status == "ok" and record.hyperparameters
    ]


def _label(record: Record) -> str:
    cell = record.cell
    backbone = backbone_title(cell["backbone"], cell["weights"])
    parts = [words.strategy_name(cell["strategy"]), backbone, words.clean(cell["dataset_name"], 40)]
    return (
        f"{' · '.join(filter(None, parts))} · {words.fraction_name(cell['fraction'])} · seed {cell['seed']}"
    )


def _error(record: Record, key: str) -> str:
    return str((record.error or {}).get(key, ""))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    return frame.itertuples(index=False)


# --- how it was found -------------------------------------------------------------------------------------


def _method(records: Sequence[Record], run_info: dict[str, Any]) -> list[str]:
    """The protocol in plain words, with the settings of this run."""
    lines = [
        "Test images: a given test part, or one fifth of the data, drawn once and the same for every strategy, "
        "label count and seed. No strategy sees them; each cell predicts them once, at its very end.",
        "Labelled images: the rest is the pool. A share of it is drawn by class, for each seed anew; the smaller "
        "shares of a seed lie inside its larger ones. Validation images for tuning and early stopping come out of "
        "this share too (a fifth of it): the label counts here are all the labels that a strategy ever used.",
        "Tuning: every strategy gets the same number of trials, the first with its default settings. The best on "
        "validation is trained again on all labelled images of the cell, for as long as it was best with, and "
        "only that model is tested. Validation scores of trials are optimistic and not reported.",
        "Time counts tuning and the final training of one cell, with the computing of stored features as if "
        "nothing were shared between cells. Latency: one thread, one image at a time, warm, median.",
        "Intervals cover new labelled subsets, new initialisations and new test images; with all labels in use, "
        "seeds differ in what validates and in initialisation only. Comparisons are paired on seeds and test "
        "images and corrected (Holm) for their number; their intervals hold simultaneously. Test images of one "
        "group count as one draw. Bands in figures cover seeds "
        "only and are drawn from three seeds on.",
    ]
    if records:
        gpus = run_info.get("hardware", {}).get("gpu") or []
        backends = sorted({record.cell["backend"] for record in records})
        lines.append(
            "The same plan on the same machine gives the same numbers to the last bit, with any number of workers, "
            "resumed or not."
            if backends == ["tensorflow"] and not gpus
            else "The same plan again may give numbers that differ in their last digits, and now and then in a "
            f"choice that hangs on them: {words.listed(backends)}{' on a GPU' if gpus else ''} does not promise "
            "the order in which sums are taken."
        )
        cell = records[0].cell
        tuning = cell.get("tuning", {})
        head = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in cell.get("head", {}).items())
        lines.append(
            words.clean(
                f"This run: {cell['modality']}s of {cell['image_size']} pixels ({cell['resizing']}), augmentation "
                f"{cell['augmentation']}{' with' if cell['flip'] else ' without'} mirroring, "
                f"{tuning.get('trials', '?')} trials by {tuning.get('algorithm', '?')} search, at most "
                f"{cell['epochs']} epochs, batches of {cell['batch_size']}, {cell['threads']} training "
                f"thread{'s' if cell['threads'] != 1 else ''}, {cell['precision']} on {cell['backend']}, "
                f"head: {head or 'default'}."
            )
        )
    return lines


def _datasets(run_info: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for fingerprint, content in run_info.get("datasets", {}).items():
        names, counts = content.get("class_names", []), content.get("class_counts", [])
        found.append(
            {
                "name": words.clean(content.get("name", ""), 60),
                "source": words.clean(content.get("spec", ""), 160),
                "fingerprint": fingerprint[:12],
                "pool": words.count(content.get("n_pool", math.nan)),
                "test": words.count(content.get("n_test", math.nan)),
                "classes": [
                    f"{words.clean(name, 60)} ({words.count(counts[i])})"
                    if i < len(counts)
                    else words.clean(name, 60)
                    for i, name in enumerate(names)
                ],
            }
        )
    return found


def _provenance(run_info: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    hardware = run_info.get("hardware") or {}
    git = run_info.get("git") or {}
    if run_info.get("created"):
        rows.append(("started", run_info["created"]))
    if run_info.get("command"):
        rows.append(("command", run_info["command"]))
    for key, value in hardware.items():
        if value not in (None, "", []):
            rows.append((key.replace("_", " "), value if isinstance(value, str) else json.dumps(value)))
    if git.get("commit"):
        rows.append(("code", f"{git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}"))
    rows += sorted((run_info.get("versions") or {}).items())
    return [(words.clean(key, 60), words.clean(value, 400)) for key, value in rows]
