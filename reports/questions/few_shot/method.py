"""How it was measured: episodes, intervals, tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.modalities.nouns import Noun
from bench.modalities.registry import modality
from bench.records import Record
from reports import words
from reports.provenance import method_section
from reports.questions.few_shot.measurements import settings_of
from reports.results import Results, noun_of
from reports.sections import Section
from reports.statistics.intervals import MINIMUM_SEEDS


def section(run: Results) -> Section:
    """The protocol, the source, and the settings of this run."""
    return method_section(run, few_shot_method(run.records, run.run_info))


def few_shot_method(records: Sequence[Record], run_info: dict[str, Any]) -> list[str]:
    """The protocol in plain words, with the settings of this run."""
    noun = noun_of(records)
    lines = [*_protocol(noun), *_source(run_info, noun)]
    return [*lines, _settings(records[0], noun)] if records else lines


def _protocol(noun: Noun) -> list[str]:
    many = noun.many
    return [
        f"New classes: all classes of the dataset. Nothing is learned or tuned on any of its {many}, of the pool "
        "or the test part.",
        f"Episodes: some of the new classes, some labelled {many} of each (shots) and others to be classified. "
        "They are drawn at random, the same for every strategy and seed. No group gives both "
        f"labelled {many} and others in one episode. The labelled {many} of a class come from as few groups "
        "as possible.",
        "Within: all classes of an episode are of one superclass, the part of a class's name before the last "
        "/. Superclasses with too few classes give no such episodes.",
        "Intervals are of 95% and cover other new classes like these and, from three seeds on, new trainings. "
        f"Episodes reuse the same {many}, so more of them do not narrow an interval: more classes do. A strategy "
        "that neither trains nor tunes is the same for all seeds and runs once.",
        "By episodes: 1.96 standard deviations over episodes, divided by the root of their number. Papers give "
        "this. It covers the drawing of episodes alone, of these classes and one training.",
        "Claims are about the leader against all others, paired on seeds and classes and corrected for all pairs "
        "(Holm). Below "
        f"{MINIMUM_SEEDS} seeds, the report makes no comparison.",
        f"Same or not: the chance that two {many} of one new class are nearer to each other than two {many} of two "
        f"classes, over pairs of {many} of different groups.",
        "Cost: seconds to tune and train once (the median seed) on the machine of the run.",
    ]


def _source(run_info: dict[str, Any], noun: Noun) -> list[str]:
    """What was learned from."""
    many = noun.many
    source = run_info.get("source_dataset") or {}
    if not source:
        return ["Tuning: there is no source, so nothing was trained, and hyperparameters are the defaults."]
    left = sum(target["left_out"] for target in source.get("targets", {}).values())
    return [
        f"Source: {words.clean(source['name'], 60)}, {words.count(source['n'])} labelled {many} of other "
        f"classes. {words.count(left)} of them were left out, because they share a group with {many} of the new "
        "classes.",
        "Tuning: a fifth of the source's superclasses is held out whole, drawn for each seed. With fewer than "
        "five superclasses, it is a fifth of the classes. Hyperparameters are chosen by episodes of these. The "
        "chosen trial is trained again on all classes of the source. Features that are "
        f"not trained are standardised by {many} of the source.",
    ]


def _settings(record: Record, noun: Noun) -> str:
    """The settings of this run."""
    many = noun.many
    cell, few = record.cell, settings_of(record)
    return words.clean(
        f"This run: {few['episodes']} episodes of each kind, {few['queries']} {many} of each class at most "
        f"to be classified; {modality(cell['modality']).described(cell['examples'])}, "
        f"{cell['tuning']['trials']} trials by {cell['tuning']['algorithm']} search, up to "
        f"{cell['epochs']} epochs, batches of {cell['batch_size']}, {cell['precision']} on "
        f"{cell['backend']}."
    )
