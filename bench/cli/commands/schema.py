"""``bench schema``."""

from __future__ import annotations

from bench.cli.terminal import json_text


def schema() -> None:
    """Print the JSON schema of a plan file.  Editors then check and complete its keys."""
    from bench.plans.schema import plan_schema

    print(json_text(plan_schema()))
