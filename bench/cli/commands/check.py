"""``bench check``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import AuditOptions, Dataset, Set, given, overridden
from bench.cli.terminal import tell


def check(
    *,
    dataset: Dataset,
    options: AuditOptions,
    as_json: Annotated[
        bool, typer.Option("--json", help="All findings with all cases, as JSON on standard output.")
    ] = False,
    set_: Set = None,
) -> None:
    """Audits a dataset: bad files, duplicates, labels, classes, groups.  Exit code 1: a run would refuse it."""
    from bench.cli.show.checks import print_dataset_check
    from bench.commands.check import check as audit
    from bench.datasets import open_dataset
    from bench.plans.loading import load_plan

    plan = load_plan(overridden({"datasets": [dataset]}, given(options, set_)))
    opened = open_dataset(plan.datasets[0], vars(plan), tell, audit=True, groups=plan.groups)
    result = audit(opened, plan)
    if as_json:
        import json

        print(json.dumps(result, indent=2))
    else:
        print_dataset_check(result, opened.kind)
    if any(finding["level"] == "refused" for finding in result["findings"]):
        raise typer.Exit(1)
