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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from bench.records import Record
from bench.system.files import write_atomic
from reports import words
from reports.across import critical_difference, difference_plan, runs_frame
from reports.adaptation import adaptation_section, adaptations, pictures
from reports.alerts import LEVELS, alerts
from reports.answer import Answer, answers, has_several, who
from reports.backbones import ranking_sections
from reports.depth import depth_plans, depth_section, settings, similarity_frame
from reports.drawing import Drawing, Plan, collecting_rarely
from reports.few_shot import (
    few_shot_answers,
    few_shot_frame,
    few_shot_method,
    few_shot_tables,
    is_few_shot,
    measurements,
)
from reports.few_shot_figures import few_shot_plans
from reports.figures import label_plans, main_plans
from reports.labels import label_curves
from reports.mistakes import Images, Mistake, answers_of, mistake_plans, most_confident
from reports.multitask import brought, method_lines, multitask_section
from reports.sections import (
    cost_table,
    depends_on_labels,
    gaps_table,
    labels_table,
    standings_tables,
    transfer_tables,
    weights_tables,
)
from reports.statistics.decisions import EQUIVALENCE, Decision, decide
from reports.statistics.missing import Missing
from reports.tables import (
    Panel,
    backbone_title,
    column_title,
    curves_frame,
    dataset_names,
    ordered,
    panels,
    places,
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


@dataclass(frozen=True)
class Value:
    """A table cell: the text to show and, of a number, the raw value to sort by."""

    text: str
    raw: float | None = None


@dataclass(frozen=True)
class Mistakes:
    """Where the recommended configuration fails on one dataset: figures, and images that it surely got wrong."""

    dataset: str
    who: str
    plans: list[Plan]
    images: list[Mistake]


@collecting_rarely()
def render(
    records: Sequence[Record],
    run_info: dict[str, Any],
    plan_toml: str,
    directory: Path,
    region: float = EQUIVALENCE,
    price_per_hour: float = 0.0,
    images: Images | None = None,
    ranking: dict[str, Any] | None = None,
) -> Path:
    """Writes results.csv, figures/ and report.html of a run directory, each atomically.

    Args:
        records: all records of the run, in any order.
        run_info: the content of run.json; any key may be missing.
        plan_toml: the text of plan.toml.
        directory: the run directory; predictions/ in it is read where it exists.
        region: a difference in accuracy within plus or minus this counts as none.
        price_per_hour: of the machine; 0 shows no money.
        images: gives test images to be shown; None: none is.
        ranking: the content of ranking.json, if backbones were chosen by it.

    Returns:
        The path of the page. The same input gives the same bytes.
    """
    results, curves = results_frame(records), curves_frame(records)
    write_csv(results, directory / "results.csv")
    if is_few_shot(records):
        return _render_few_shot(records, results, run_info, plan_toml, directory, region, ranking)
    plans = {"figures": [*main_plans(results, curves)]}
    drawing = Drawing(plans["figures"], directory / "figures")

    counterparts = run_info.get("counterparts", {})
    decisions = decide(results, directory, region)
    datasets = list(dict.fromkeys(results["dataset"]))
    several = len(datasets) > 1
    depths = settings(results, similarity_frame(records), directory, region)
    label_fits, why_none = label_curves(results, directory)
    difference = critical_difference(runs_frame(results))
    mistakes = _mistakes(records, results, decisions, run_info, directory, images)
    plans |= {
        "difference": [difference_plan(difference)] if difference else [],
        "depth_figures": [*depth_plans(depths, results)],
        "label_figures": [*label_plans(results, label_fits)],
    }
    others = [*[plans[name] for name in plans if name != "figures"], *(part.plans for part in mistakes)]
    drawing.add([plan for some in others for plan in some])
    found = alerts(records, results, decisions, run_info, plan_toml)
    content = dict(
        answers=answers(results, decisions, price_per_hour),
        alerts=sorted(found, key=lambda alert: LEVELS.index(alert.level)),
        strategies=[(words.clean(s), words.strategy_name(s)) for s in ordered(results["strategy"])],
        several=several,
        standings=standings_tables(results),
        weights=weights_tables(decisions, run_info.get("sources", {}), several),
        transfer=transfer_tables(benefits(results, curves, directory, region), several),
        adaptation=adaptation_section(
            adaptations(results, counterparts, directory, region), results, several
        ),
        multitask=multitask_section(brought(results, curves, counterparts, directory, region), several),
        pictures=[] if images is None else pictures(records, directory),
        depth=depth_section(depths),
        labels=labels_table(label_fits, why_none, several, region),
        costs=cost_table(results, several, price_per_hour),
        gaps=gaps_table(results, curves, several),
        summaries=summary_tables(results),
        depends=depends_on_labels(decisions),
        full=full_table(results),
        ranking=ranking_sections(ranking or {}),
        method=_method(records, run_info, region),
        **_common(records, datasets, run_info, plan_toml, directory),
    )
    drawn = drawing.finish()
    return _write(
        "report.html.j2",
        directory,
        mistakes=[(part, [drawn[plan.name] for plan in part.plans]) for part in mistakes],
        **{name: [drawn[plan.name] for plan in some] for name, some in plans.items()},
        **content,
    )


def _render_few_shot(
    records: Sequence[Record],
    results: pd.DataFrame,
    run_info: dict[str, Any],
    plan_toml: str,
    directory: Path,
    region: float,
    ranking: dict[str, Any] | None,
) -> Path:
    """The page of a run of the few-shot protocol, and few_shot.csv."""
    write_csv(few_shot_frame(records), directory / "few_shot.csv")
    measured = measurements(records, directory)
    drawing = Drawing([*few_shot_plans(measured, results, curves_frame(records))], directory / "figures")
    found = few_shot_answers(measured, region, Missing(results, directory))
    nothing = [Answer("", "none", "There is no answer yet.", ["No cell has a result."])]
    datasets = list(dict.fromkeys(results["dataset"]))
    return _write(
        "few_shot.html.j2",
        directory,
        answers=found or nothing,
        depends={},
        alerts=sorted(
            alerts(records, results, [], run_info, plan_toml), key=lambda alert: LEVELS.index(alert.level)
        ),
        several=len(found) > 1,
        summaries=few_shot_tables(measured),
        figures=[*drawing.finish().values()],
        ranking=ranking_sections(ranking or {}),
        method=few_shot_method(records, run_info),
        **_common(records, datasets, run_info, plan_toml, directory),
    )


def _common(
    records: Sequence[Record],
    datasets: Sequence[str],
    run_info: dict[str, Any],
    plan_toml: str,
    directory: Path,
) -> dict[str, Any]:
    """What every page has."""
    return {
        "title": words.listed([words.clean(name, 60) for name in datasets]) or "an empty run",
        "failures": _failures(records),
        "skipped": _skipped(records),
        "hyperparameters": _hyperparameters(records),
        "datasets": _datasets(run_info),
        "provenance": _provenance(run_info),
        "plan": plan_toml,
        "resume": f"python -m bench run {shlex.quote(str(directory / 'plan.toml'))}",
        "limit": _LIMIT,
    }


def _write(template: str, directory: Path, **content: Any) -> Path:
    """Renders a template to report.html."""
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = words.clean
    environment.filters["capital"] = words.capital
    page = environment.get_template(template).render(script=Markup(script), script_hash=digest, **content)
    path = directory / "report.html"
    write_atomic(path, _UNPRINTABLE.sub("", page))
    return path


def _mistakes(
    records: Sequence[Record],
    results: pd.DataFrame,
    decisions: Sequence[Decision],
    run_info: dict[str, Any],
    directory: Path,
    images: Images | None,
) -> list[Mistakes]:
    """Of the recommended configuration of each dataset, at its largest label count."""
    names, place = dataset_names(records), places(results)
    found = []
    for decision in {decision.dataset: decision for decision in decisions}.values():
        mine = [
            record
            for record in records
            if names[record.cell["fingerprint"]] == decision.dataset
            and record.cell["fraction"] == decision.fraction
        ]
        name = who(decision.recommended, has_several([decision]))
        answers = answers_of(decision, mine, run_info, directory, name)
        if answers is None:
            continue
        plans = mistake_plans(answers, place[decision.dataset])
        wrong = most_confident(answers, images)
        found.append(Mistakes(words.clean(decision.dataset, 60), name, plans, wrong))
    return found


# --- tables -----------------------------------------------------------------------------------------------


def summary_tables(results: pd.DataFrame) -> list[dict[str, Any]]:
    """One table a panel, strategies by label counts: accuracy with its spread, and seconds; the best mean of a
    column is marked. With a conclusion."""
    summary = summary_frame(results)
    return [_summary_table(panel, panel.select(summary)) for panel in panels(results)]


def _summary_table(panel: Panel, summary: pd.DataFrame) -> dict[str, Any]:
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
        lines.append((strategy, words.strategy_name(strategy), cells))
    return {
        "title": " · ".join(filter(None, (words.clean(panel.dataset, 60), panel.title))),
        "columns": [column_title(float(str(f)), n) for f, n in sizes.items()],
        "rows": lines,
        "conclusion": _summary_conclusion(summary),
    }


def _summary_conclusion(summary: pd.DataFrame) -> str:
    """How often each strategy is first, and how far seeds scatter; without those that lost seeds: their means are
    not comparable."""
    trained = summary[(summary["strategy"] != "majority") & (summary["seeds"] > 0)]
    if trained.empty:
        return ""
    whole = trained[trained["seeds"] == trained.groupby("fraction")["seeds"].transform("max")]
    among = " among those with all seeds" if len(whole) < len(trained) else ""
    trained = whole
    firsts = trained.loc[trained.groupby("fraction")["accuracy"].idxmax()]
    names = [
        f"{words.strategy_name(str(strategy))} in {times}"
        for strategy, times in firsts["strategy"].value_counts(sort=False).items()
    ]
    text = f"Highest mean{among}: {words.some(names)} of {words.plural(len(firsts), 'column')}."
    scattered = trained.dropna(subset="spread").sort_values("spread")
    if len(scattered):
        widest = scattered.iloc[-1]
        text += (
            f" Seeds scatter most for {words.strategy_name(widest['strategy'])} with {words.count(widest['n'])} "
            f"labels, by ±{words.points(widest['spread'])} points."
        )
    return text


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
        rows.append((row["strategy"], line))
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
    labels = "few-shot" if cell.get("few_shot") else words.fraction_name(cell["fraction"])
    return f"{' · '.join(filter(None, parts))} · {labels} · seed {cell['seed']}"


def _error(record: Record, key: str) -> str:
    return str((record.error or {}).get(key, ""))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    return frame.itertuples(index=False)


# --- how it was found -------------------------------------------------------------------------------------


def _method(records: Sequence[Record], run_info: dict[str, Any], region: float) -> list[str]:
    """The protocol in plain words, with the settings of this run."""
    hyperband = any(record.cell.get("tuning", {}).get("algorithm") == "hyperband" for record in records)
    budget = "number of epochs" if hyperband else "number of trials"
    lines = [
        "Test images: a given test part, or one fifth of the data, drawn once and the same for every strategy, "
        "label count and seed. No strategy sees them; each cell predicts them once, at its very end.",
        "Labelled images: the rest is the pool. A share of it is drawn by class, for each seed anew; the smaller "
        "shares of a seed lie inside its larger ones. Validation images for tuning and early stopping come out of "
        "this share too (a fifth of it): the label counts here are all the labels that a strategy ever used.",
        f"Tuning: every strategy gets the same {budget}, the first trial with its default settings. The best on "
        "validation is trained again on all labelled images of the cell, for as many epochs as it kept, and "
        "only that model is tested. Validation scores of trials are optimistic and not reported.",
        "Time counts tuning and the final training of one cell, with the computing of stored features as if "
        "nothing were shared between cells. Latency: one thread, one image at a time, warm, median.",
        "Intervals cover new labelled subsets, new initialisations and new test images; with all labels in use, "
        "seeds differ in what validates and in initialisation only. Comparisons are paired on seeds and test "
        "images and corrected for the number of pairs (Holm, or where that is less the studentized range); an "
        "interval has the level at which its difference was tested, 95% at least. Few seeds say little of how much "
        "one pair scatters: two degrees of freedom are borrowed from what is typical of all pairs. Test images of "
        "one group count as one draw. Bands in figures cover seeds only and are drawn from three seeds on.",
        "The highest of several accuracies is too high, because it was chosen for that: by how much is estimated "
        "(a parametric bootstrap), and in the answer its interval reaches so much further down. While something "
        "that was to be compared has no result, nothing is called the best of all.",
        f"A difference whose interval lies within ±{words.points(region)} points counts as none (tied); one "
        "whose interval excludes zero is a difference; all else is undecided.",
    ]
    lines += _source_method(run_info)
    lines += method_lines(run_info)
    if records:
        hardware = run_info.get("hardware", {})
        backends = sorted({record.cell["backend"] for record in records})
        # Of a Mac, PyTorch uses the GPU by itself.
        on_gpu = hardware.get("gpu") or ("torch" in backends and "macOS" in hardware.get("os", ""))
        lines.append(
            "The same plan on the same machine gives the same numbers to the last bit, with any number of workers, "
            "resumed or not."
            if not on_gpu
            else "The same plan again may give numbers that differ in their last digits, and now and then in a "
            f"choice that hangs on them: {words.listed(backends)} on a GPU does not promise "
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


def _source_method(run_info: dict[str, Any]) -> list[str]:
    """How a source dataset was used."""
    source = run_info.get("source_dataset") or {}
    if not source:
        return []
    kinds = {"groups": "a group of the user's", "names": "a file name", "none": "nothing but pixels"}
    left_out = [
        f"{words.count(t['left_out'])} of its {words.count(source['n'])} images were left out for test images "
        f"(images are one group that share {kinds.get(t['grouping'], t['grouping'])}, or their pixels)"
        for t in source.get("targets", {}).values()
    ]
    return [
        f"Source: strategies that adapt learn from the labelled images of {words.clean(source['name'], 60)}, and "
        "those that align domains from images of the target's pool without their labels. Where the target has "
        "labels, they learn from these too, but for source only and AdaBN, which only tune with them. "
        f"{'; '.join(left_out)}. In tuning, source images that share a group with a validation image are left out "
        "too. Its own test part is not used.",
        "Without any label of the target, tuning is on a fifth of the source, held out by groups. Stages that "
        "align the domains then run to their end, and the weight of alignment is never searched: labels of the "
        "source know nothing of the target and would always choose least alignment.",
    ]


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
    if source := run_info.get("source_dataset"):
        rows.append(
            (
                "source dataset",
                f"{source['name']}, {source['spec']}, fingerprint {source['fingerprint'][:12]}",
            )
        )
    if run_info.get("backend"):
        rows.append(("Keras backend", run_info["backend"]))
    for key, value in hardware.items():
        if value not in (None, "", []):
            rows.append((key.replace("_", " "), value if isinstance(value, str) else json.dumps(value)))
    if git.get("commit"):
        rows.append(("code", f"{git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}"))
    rows += sorted((run_info.get("versions") or {}).items())
    rows += sorted((run_info.get("plugins") or {}).items())
    return [(words.clean(key, 60), words.clean(value, 400)) for key, value in rows]
