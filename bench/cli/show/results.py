"""What came of a repeated cell, of an export and of logging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cli.terminal import cell_name
from bench.commands.export.formats import KERAS
from bench.modalities.findings import count
from bench.records import Cell
from bench.system.names import shown

if TYPE_CHECKING:
    from bench.commands.export.export import Exported
    from bench.commands.export.formats import Converted
    from bench.runs.repeat import Repetition
    from bench.trackers.log import Logged
    from reports.statistics.pairs import Candidate


def print_repetition(repetition: Repetition) -> None:
    """Whether a cell came out the same, else what differs, in numbers and around it."""
    cell = Cell.of(repetition.now.cell)
    print(f"{cell_name(cell)} ({cell.id})")
    if repetition.differences:
        print("It did not come out the same:")
    else:
        accuracy = repetition.now.metrics.get("accuracy")
        exactly = "" if accuracy is None else f", accuracy {accuracy:.2%}, every prediction to the last bit"
        print(f"It came out the same: {repetition.now.status}{exactly}.")
    for where, changes in (("", repetition.differences), ("around it, ", repetition.surroundings)):
        for name, (then, now) in changes.items():
            print(f"  {where}{shown(name)}: then {shown(str(then))}, now {shown(str(now))}")


def _measured(candidate: Candidate) -> str:
    """As the report says it: the mean over seeds, with its interval."""
    from reports.words import percent

    text = f"{percent(candidate.value)}, mean of {count(candidate.seeds, 'seed')}"
    known = candidate.low == candidate.low
    return f"{text}, 95% CI {percent(candidate.low)} to {percent(candidate.high)}" if known else text


def print_logged(logged: Logged) -> None:
    """How many cells a tracker was told of, and where to look."""
    print(f"{count(logged.new, 'cell')} logged, {logged.known} there already. See: {logged.where}")


def print_export(exported: Exported) -> None:
    """Where it lies, how good it is, and whether it is the model that was measured."""
    from bench.commands.export.card import of_formats
    from reports.phrases import who
    from reports.words import metric_name

    print(f"{shown(who(exported.candidate))}, trained on all labels: {shown(str(exported.folder))}")
    print(
        f"  {metric_name(exported.metric)} on the test {exported.noun.many}: {exported.value:.1%} "
        f"(measured: {_measured(exported.candidate)} with {exported.labels:,} labels)"
    )
    if exported.difference == exported.difference:
        print(
            f"  its test probabilities differ from the measured ones by {exported.difference:.2g} on average"
        )
    for measured in exported.formats:
        if not measured.reason:
            print(f"  {measured.format.file}: {_format(measured)}")
    for line in of_formats(exported):
        print(f"  {shown(line)}")
    print("  model.keras, train.py, card.md")


def _format(measured: Converted) -> str:
    size = f"{measured.megabytes:.3g} MB, {measured.milliseconds:.3g} ms"
    if measured.name == KERAS:
        return size
    same = f"the same prediction for {measured.agreement:.1%}"
    return f"{size}, {same}, probabilities within {measured.difference:.1g}"
