"""A forecast on a machine where nothing has run yet, by the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_plan_forecasts_before_anything_has_run_and_times_batches_once(
    cli: Callable[..., Any], fresh_cache: Path
) -> None:
    arguments = [
        "--dataset", "digits", "--backbone", "Conv4", "--image-size", "28", "--fractions", "0.1,1", "--seeds", "1",
        "--strategy", "scratch", "--strategy", "majority",
    ]  # fmt: skip
    first = cli("plan", "-v", *arguments)
    assert first.rc == 0, first.stderr
    assert "Timing batches of Conv4 for a forecast ..." in first.stderr
    (line,) = re.findall(r"^About .* on \d+ workers? \(timed on this machine\)\.", first.stdout, re.MULTILINE)
    assert "not known" not in first.stdout
    again = cli("plan", "-v", *arguments, "--seeds", "3")
    assert again.rc == 0, again.stderr
    assert "Timing" not in again.stderr
    assert line not in again.stdout  # three seeds take longer
    limited = cli("plan", *arguments, "--set", "limits.cell_seconds=0.5")
    assert (
        "Warning: 2 of 4 cells would take longer than limits.cell_seconds (0.5 s) and be ended: "
        in limited.stdout
    )
