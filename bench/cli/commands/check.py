"""``bench check``."""

from __future__ import annotations

import typer

from bench.cli.options import AuditOptions, Dataset, Json, Set, VoiceOptions, given, overridden
from bench.cli.terminal import Steps


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
    from bench.commands.check import check as audit
    from bench.datasets import open_dataset
    from bench.plans.loading import load_plan

    plan = load_plan(overridden({"datasets": [dataset]}, given(options, set_)))
    opened = open_dataset(plan.datasets[0], vars(plan), Steps(voice.level), audit=True, groups=plan.groups)
    result = audit(opened, plan)
    if as_json:
        import json

        print(json.dumps(result, indent=2))
    else:
        print_dataset_check(result, opened.kind)
    if any(finding["level"] == "refused" for finding in result["findings"]):
        raise typer.Exit(1)
