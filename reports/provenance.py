"""Where results came from: the data, versions and hardware, and the plan, below how they were measured."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from typing import Any

from reports import words
from reports.results import Results
from reports.sections import Section


def method_section(run: Results, method: Sequence[str]) -> Section:
    """How a run was measured; ``method`` is a sentence or a few about each thing."""
    return Section(
        "method",
        "Method",
        link="Method",
        template="method.html.j2",
        content={
            "method": method,
            "datasets": _datasets(run.run_info),
            "provenance": _provenance(run.run_info),
            "plan": run.plan_toml,
            "resume": f"python -m bench run {shlex.quote(str(run.directory / 'plan.toml'))}",
        },
        folded="Show the protocol, data, versions and plan",
    )


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
