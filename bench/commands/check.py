"""``bench check``: what is known of a dataset before anything is spent on it, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.datasets import Dataset, open_dataset
from bench.datasets.entry import full_findings
from bench.datasets.findings import fractions_too_small
from bench.modalities.findings import Finding, by_importance, count, short
from bench.modalities.registry import input_of
from bench.plans.plan import Plan
from bench.system.names import shown

CLASSES = 12
"""Classes that are listed; of more, the largest and the smallest."""
EXAMPLES = 3
"""Cases that are shown of each finding."""


def check(plan: Plan, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Audits the first dataset of a plan.

    Args:
        plan: names the dataset, the image size, the resizing and the fractions.
        say: called with what is being done, when that takes long.

    Returns:
        JSON-able; see README.

    Raises:
        RequestError: no benchmark can be made of the dataset.
        BenchError: the cache cannot be used, or a download failed.
    """
    dataset = open_dataset(plan.datasets[0], input_of(vars(plan)), progress=say)
    found, summary = full_findings(dataset)
    pool = dataset.pool
    found += fractions_too_small(
        pool.labels,
        pool.groups,
        plan.fractions,
        plan.seeds,
        dataset.fingerprint,
        dataset.class_names,
        dataset.kind.noun,
    )
    return {
        "dataset": dataset.spec,
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "image_size": plan.image_size,
        "resizing": plan.resizing,
        "fractions": plan.fractions,
        "images": summary,
        "classes": _classes(dataset),
        "findings": [asdict(finding) for finding in by_importance(found)],
    }


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    of_class = len(dataset.class_names)
    pool, test = (np.bincount(part.labels, minlength=of_class) for part in (dataset.pool, dataset.test))
    return [
        {"class": name, "pool": int(pool[c]), "test": int(test[c])}
        for c, name in enumerate(dataset.class_names)
    ]


def print_check(result: dict[str, Any]) -> None:
    """What a person wants to see of it: findings first, then the classes."""
    classes, images = result["classes"], result["images"]
    pool, test = (sum(entry[part] for entry in classes) for part in ("pool", "test"))
    print(
        f"{_name(result['name'])}: {count(pool + test, 'image')} in {len(classes):,} classes; pool of {pool:,}, "
        f"test set of {test:,}"
    )
    kinds = [
        f"{part} {', '.join(f'{kind} ({number:,})' for kind, number in images[part].items())}"
        for part in ("formats", "modes")
    ]
    sides = [
        f"{name} {low:,} to {high:,} px (median {median:,})" if low < high else f"{name} {low:,} px"
        for name, (low, median, high) in ((name, images[name]) for name in ("width", "height"))
    ]
    print(f"  {'; '.join([*kinds, *sides])}")
    findings = [Finding(**finding) for finding in result["findings"]]
    for level, heading in (
        ("validity", "What may make a result say something else than you think:"),
        ("note", "Worth knowing:"),
    ):
        of_level = [finding for finding in findings if finding.level == level]
        if of_level:
            print(f"\n{heading}")
        for finding in of_level:
            print(f"- {shown(finding.text)}")
            for example in finding.examples[:EXAMPLES]:
                print(f"    {shown(example)}")
            more = len(finding.items) - EXAMPLES
            if more > 0:
                print(f"    and {more:,} more (--json lists all)")
    if not findings:
        print("\nNothing was found that speaks against it.")
    _print_classes(classes)


def _print_classes(classes: list[dict[str, Any]]) -> None:
    ordered = sorted(classes, key=lambda entry: -(entry["pool"] + entry["test"]))
    half = CLASSES // 2
    cut = len(ordered) > CLASSES
    lines = [*ordered[:half], None, *ordered[-half:]] if cut else ordered
    width = max(len(_name(entry["class"])) for entry in lines if entry)
    print(f"\n{'class':{width}}  {'pool':>7}  {'test':>7}")
    for entry in lines:
        if entry is None:
            print(f"... {len(ordered) - 2 * half:,} more")
        else:
            print(f"{_name(entry['class']):{width}}  {entry['pool']:>7,}  {entry['test']:>7,}")


def _name(text: str) -> str:
    return shown(short(text, 40))
