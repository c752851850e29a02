"""Why these backbones: the ranking by which a run chose them, see ``bench.ranking.rank``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from bench.modalities.nouns import Noun
from bench.system.names import short_backbone
from reports import words
from reports.results import Results
from reports.sections import Section, Table
from reports.words import IMAGES

_COLUMNS = (
    ("probe", "predicted probe", words.percent),
    ("knn", "nearest neighbours", words.percent),
    ("nearest_mean", "nearest mean", words.percent),
    ("logme", "LogME", lambda value: f"{value:.3f}"),
    ("h_score", "H-score", lambda value: f"{value:.2f}"),
    ("leep", "LEEP", lambda value: f"{value:.3f}"),
    ("nce", "NCE", lambda value: f"{value:.3f}"),
)


def section(run: Results) -> Section | None:
    """The ranking by which backbones were chosen."""
    tables = ranking_tables(run.ranking, run.noun)
    return Section("backbones", "Why these backbones?", tables, "Backbones") if tables else None


def ranking_tables(content: dict[str, Any], noun: Noun = IMAGES) -> list[Table]:
    """One a dataset: relevance, accuracy and size of the candidates side by side, and why some were left out.

    Args:
        content: of ``ranking.json``; empty if the plan named its backbones.
        noun: what examples are called.
    """
    try:
        rankings = content.get("rankings", [])
        return [
            replace(
                _table(ranking, content, len(rankings) > 1, noun),
                label="Ranking of the backbones" + (f" {place}" if len(rankings) > 1 else ""),
            )
            for place, ranking in enumerate(rankings, 1)
        ]
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        StopIteration,
    ):  # written by another version, or by hand
        return []


def _table(ranking: dict[str, Any], content: dict[str, Any], several: bool, noun: Noun) -> Table:
    chosen = content["chosen"]
    ranked = ranking["backbones"]
    asked = words.listed([_name(name) for name in content["asked"]["backbones"]])
    taken = words.listed([_name(name) for name in chosen])
    name = words.clean(ranking["name"], 40)
    conclusions = [
        f"{name}: {asked} chose {taken}"
        f"{', by the mean place over all datasets' if several else ''}. The ranking trains nothing and sees no "
        f"test {noun.one}. It uses the features of {words.count(ranking['images'])} of "
        f"{words.count(ranking['pool'])} labelled {noun.many}.",
        f"Why in this order: {words.clean(ranking['why'])}.",
    ]
    wanted = int(next(text for text in content["asked"]["backbones"] if text.startswith("auto:"))[5:])
    everywhere = [{entry["backbone"] for entry in other["backbones"]} for other in content["rankings"]]
    possible = [
        entry["backbone"] for entry in ranked if all(entry["backbone"] in names for names in everywhere)
    ]
    if len(possible) < wanted:
        found = words.listed([_name(name) for name in possible])
        conclusions.insert(1, f"Only {len(possible)} of {wanted} could be ranked: {found}.")
    places = {entry["backbone"]: place for place, entry in enumerate(ranked, start=1)}
    others = [entry for entry in ranked if entry["backbone"] not in chosen]
    if others:
        best = ranked[0]["scores"]["probe"]
        behind = [
            f"{_name(entry['backbone'])} (place {places[entry['backbone']]}, "
            f"{words.in_points(best - entry['scores']['probe'])} behind the first)"
            for entry in others
        ]
        conclusions.append(f"Ranked and left out: {words.listed(behind)}.")
    absent: dict[str, list[str]] = defaultdict(list)
    for backbone, reason in ranking["left_out"]:
        absent[words.clean(reason, 200)].append(_name(backbone))
    conclusions += [f"Not ranked, {reason}: {words.listed(names)}." for reason, names in absent.items()]
    scores = [
        column for column in _COLUMNS if any(entry["scores"][column[0]] is not None for entry in ranked)
    ]
    rows = [
        [
            _name(entry["backbone"]),
            "yes" if entry["backbone"] in chosen else "no",
            *(_text(entry["scores"][key], text) for key, _, text in scores),
            _text(entry["imagenet_top1"], lambda value: f"{value:.1f}%"),
            words.magnitude(entry["params"]),
        ]
        for entry in ranked
    ]
    columns = ["backbone", "in this run", *(title for _, title, _ in scores), "ImageNet", "parameters"]
    meanings = ranking["columns"]
    note = " ".join(
        f"{words.capital(title)}: {words.clean(meanings[key])}."
        for key, title in [
            *((key, title) for key, title, _ in scores),
            ("imagenet_top1", "ImageNet"),
            ("params", "parameters"),
        ]
    )
    return Table(conclusions, columns, rows, note)


def _name(backbone: str) -> str:
    return words.clean(short_backbone(backbone), 60)


def _text(value: float | None, text: Any) -> str:
    return "–" if value is None else str(text(value))
