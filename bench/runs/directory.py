"""What a run directory says of its run, and whether a plan may go on in it."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict
from typing import Any

from bench.datasets.companions.base import findings_of
from bench.errors import RequestError
from bench.plans.loading import load_plan, read_stored_plan
from bench.plans.plan import Plan
from bench.plans.resolved import Resolved
from bench.records import FINAL, PROTOCOL_VERSION, SCHEMA_VERSION, Cell
from bench.runs.growth import grown, has_more_trials, other_settings, told
from bench.runs.prepare import Prepared
from bench.store import Store
from bench.system import provenance
from bench.system.names import PREFIX
from reports.statistics.looks import declared


def with_stored(resolved: Resolved, given: Plan, store: Store) -> tuple[Resolved, list[str]]:
    """A plan with what the directory's own has beyond it, and how its run grows, in sentences.

    Args:
        resolved: the plan, all of its backbones named.
        given: the same as it was given.

    Raises:
        RequestError: the directory's plan differs in more than what a run may grow by.
    """
    if not store.plan_path.exists():
        return resolved, []
    _check_plan(store, resolved.plan)
    stored = load_plan(store.plan_path)
    found = grown(resolved, given, stored)
    return found, told(stored, found.plan)


def _check_plan(store: Store, plan: Plan) -> None:
    """Refuses a directory that holds a run with another plan, of which none of the cells would be the same."""
    old, new = read_stored_plan(store.plan_path), plan.model_dump(mode="json")
    if changed := other_settings(old, new):
        key = changed[0]
        raise RequestError(
            "out",
            str(store.directory),
            "a new directory, because this one holds a run with another plan",
            f"These keys differ: {', '.join(changed)} ({key} there: {old.get(key)!r}, now: {new.get(key)!r}). "
            "Choose another --out, or go on with what is there: "
            f"python -m bench run {shlex.quote(str(store.plan_path))}",
        )


def check_same(store: Store, prepared: Prepared) -> None:
    """Refuses a directory that holds results of other data, or of another protocol, weights or strategy."""
    info = store.read_run()
    if info.get("protocol_version", PROTOCOL_VERSION) != PROTOCOL_VERSION:
        raise RequestError(
            "out",
            str(store.directory),
            f"a run of protocol version {PROTOCOL_VERSION}, not {info['protocol_version']}",
            "Their numbers cannot be compared. Choose another --out.",
        )
    fingerprints = {dataset.fingerprint for dataset in prepared.datasets}
    if info.get("datasets") and set(info["datasets"]) != fingerprints:
        many = prepared.datasets[0].kind.noun.many
        raise RequestError(
            "out",
            str(store.directory),
            "a run on the same data",
            f"The {many} or labels have changed since it began. Choose another --out.",
        )

    cells = {cell.id: cell for cell in prepared.cells}
    if set(info.get("cells", cells)) - set(cells):
        for record in store.records(info["cells"]):
            if record.cell_id in cells or record.status not in FINAL:
                continue
            place = ("strategy", "backbone", "fraction", "seed")
            then = Cell.of(record.cell).identity
            now = next(
                (c for c in prepared.cells if all(getattr(c, k) == record.cell[k] for k in place)), None
            )
            changed = [k for k, v in (now.identity if now else {}).items() if then.get(k) != v]
            if changed == ["tuning"] and now is not None and has_more_trials(then["tuning"], now.tuning):
                continue
            raise RequestError(
                "out",
                str(store.directory),
                f"a run with the same {' and '.join(changed) or 'cells'} as when it began",
                "Its finished cells would no longer belong to it. Choose another --out, or restore what has "
                "changed (plan.toml, weights, strategy, plug-in).",
            )


def run_info(prepared: Prepared, old: dict[str, Any]) -> dict[str, Any]:
    datasets = {}
    for dataset in prepared.datasets:
        pool, test = dataset.class_counts(dataset.pool), dataset.class_counts(dataset.test)
        datasets[dataset.fingerprint] = {
            "name": dataset.name,
            "spec": dataset.spec,
            "modality": dataset.modality,
            "class_names": list(dataset.class_names),
            "class_counts": (pool + test).tolist(),
            "pool_counts": pool.tolist(),
            **({} if (groups := dataset.group_counts) is None else {"groups": asdict(groups)}),
            "n_pool": len(dataset.pool.ids),
            "n_test": len(dataset.test.ids),
            "findings": findings_of(dataset),
            "left_out": [list(item) for item in dataset.left_out],
        }
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "created": old.get("created", time.strftime("%Y-%m-%dT%H:%M:%S%z")),
        "command": shlex.join(sys.argv),
        "versions": provenance.versions(),
        "git": provenance.git_state(),
        "hardware": provenance.hardware(),
        "backend": prepared.plan.backend,
        "datasets": datasets,
        "sources": {f"{PREFIX}{source.directory}": source.summary() for source in prepared.sources},
        **{companion.key: companion.summary() for companion in prepared.companions.values()},
        "counterparts": prepared.resolved.counterparts(),
        "plugins": {
            getattr(cell, part): where for cell in prepared.cells for part, where in cell.plugins.items()
        },
        "cells": [cell.id for cell in prepared.cells],
        "looks": declared(old.get("looks", []), prepared.plan.looks),
        **{key: old[key] for key in ("fresh", "taken_over") if old.get(key)},
        "notes": list(prepared.notes),
    }
