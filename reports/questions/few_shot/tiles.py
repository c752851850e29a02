"""What is asked right after the answer about new classes: would more labels of each help, and what to type next?"""

from __future__ import annotations

from collections.abc import Sequence

from reports import words
from reports.next_steps import command, seeds_to_settle
from reports.questions.few_shot.measurements import Measurement, decided, measured
from reports.questions.tiles import data
from reports.results import Results
from reports.sections import Answer, Tile
from reports.statistics.decisions import Decision
from reports.statistics.intervals import MINIMUM_SEEDS


def tiles(run: Results, answer: Answer) -> list[Tile]:
    """Those of one dataset."""
    found = [m for m in run.once(measured) if words.clean(m.dataset, 80) == answer.dataset]
    return [tile for tile in (more_labels(found, run.region), data(run, answer.dataset)) if tile]


def hardest(found: Sequence[Measurement]) -> list[Measurement]:
    """All in the setting that the answer is about: most classes, fewest labels."""
    setting = max((m.setting for m in found if m.scope == "all"), key=lambda s: (s[1], -s[2]))
    return [m for m in found if m.setting == setting]


def more_labels(found: Sequence[Measurement], region: float) -> Tile | None:
    """What the recommended one gains from the fewest labels of a class to the most."""
    if not found:
        return None
    fewest = _recommended(hardest(found), region)
    same = [m for m in found if (m.place, m.scope, m.ways) == (fewest.place, fewest.scope, fewest.ways)]
    most = max(same, key=lambda m: m.shots)
    if most.shots == fewest.shots:
        each = words.plural(fewest.shots, "label")
        return Tile("More labels?", f"Not known: every episode had {each} for each class.", link="measured")
    gain = most.accuracy - fewest.accuracy
    said = f"adds {words.in_points(gain)}" if gain > region else "hardly helps"
    rise = f"{words.percent(fewest.accuracy)} to {words.percent(most.accuracy)}"
    text = f"{most.shots} labels for each class in place of {fewest.shots} {said} ({rise})."
    return Tile("More labels?", words.capital(text), link="measured")


def _recommended(there: Sequence[Measurement], region: float) -> Measurement:
    chosen = decided(there, region).recommended
    return next(m for m in there if m.place == (chosen.strategy, chosen.backbone, chosen.weights))


def next_steps(run: Results) -> list[tuple[str, str]]:
    """Commands to go on with, and what each is for: the seeds that would settle it, then more labels a class."""
    found = run.once(measured)
    plan = run.directory / "plan.toml"
    steps = []
    by_dataset = [[m for m in found if m.dataset == name] for name in dict.fromkeys(m.dataset for m in found)]
    decisions = [decided(hardest(mine), run.region) for mine in by_dataset]
    if (seeds := _more_seeds(decisions)) is not None:
        now = max(decision.leader.seeds for decision in decisions)
        what = (
            f"{MINIMUM_SEEDS} seeds allow a comparison"
            if now < MINIMUM_SEEDS
            else f"{seeds} seeds would probably decide it"
        )
        steps.append((command(run, "run", plan, "--seeds", str(seeds)), what))
    if (shots := _more_shots(run, found)) is not None:
        out = run.directory.with_name(f"{run.directory.name}-{shots}-labels")
        given = sorted({m.shots for m in found} | {shots})
        more = command(run, "run", plan, "--shots", ",".join(map(str, given)), "--out", out)
        steps.append((more, f"measures {shots} labels for each class as well"))
    return steps


def _more_seeds(decisions: Sequence[Decision]) -> int | None:
    wanted = [
        seeds
        for decision in decisions
        if (seeds := seeds_to_settle(decision)) is not None and seeds > decision.leader.seeds
    ]
    return max(wanted, default=None)


def _more_shots(run: Results, found: Sequence[Measurement]) -> int | None:
    """More labels for each class than the run had; None if a class has not as many images, and one to classify."""
    if not found:
        return None
    most = max(m.shots for m in found)
    more = 5 if most == 1 else 2 * most
    counts = [n for about in run.run_info.get("datasets", {}).values() for n in about.get("class_counts", [])]
    return more if more < min(counts, default=more + 1) else None
