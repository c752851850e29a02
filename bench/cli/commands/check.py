"""``bench check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from bench.cli.options import AuditOptions, Dataset, Json, Set, VoiceOptions, given, overridden
from bench.cli.terminal import Steps

if TYPE_CHECKING:
    from bench.modalities.base import Modality
    from bench.plans.plan import Plan


def check(
    *,
    dataset: Dataset,
    options: AuditOptions,
    as_json: Json = False,
    set_: Set = None,
    voice: VoiceOptions,
) -> None:
    """Find problems in a dataset before you run on it.  Exit code 1 if a run would refuse it."""
    from bench.cli.show.checks import print_dataset_check
    from bench.plans.loading import load_plan

    plan = load_plan(overridden({"datasets": [dataset]}, given(options, set_)))
    result, kind = audited(plan, Steps(voice.level))
    if as_json:
        import json

        print(json.dumps(result, indent=2))
    else:
        print_dataset_check(result, kind)
    if any(finding["level"] == "refused" for finding in result["findings"]):
        raise typer.Exit(1)


def audited(plan: Plan, tell: Steps) -> tuple[dict[str, Any], Modality]:
    """Returns what is known of the first dataset of a plan, and what its examples are."""
    from bench.commands.check import check as audit
    from bench.datasets import open_dataset

    opened = open_dataset(plan.datasets[0], vars(plan), tell, audit=True, groups=plan.groups, task=plan.task)
    return audit(opened, plan), opened.kind
