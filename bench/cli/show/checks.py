"""What was found wrong: with a dataset, and with a strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.modalities.findings import Finding, count, short
from bench.modalities.groups import GroupCounts
from bench.records import SINGLE_LABEL
from bench.system.names import shown

if TYPE_CHECKING:
    from bench.modalities.base import Modality

CLASSES = 12
"""Classes that are listed; of more, the largest and the smallest."""
EXAMPLES = 3
"""Cases that are shown of each finding."""
_HEADINGS = {
    "refused": "A run would refuse this dataset:",
    "validity": "Problems that may make a result say something else than you think:",
    "note": "Worth knowing:",
}


def print_dataset_check(result: dict[str, Any], kind: Modality) -> None:
    """What a person wants to see of it: findings first, then the classes."""
    classes, pool, test = result["classes"], result["pool"], result["test"]
    told = "classes" if result["task"] == SINGLE_LABEL else "labels"
    total = count(pool + test, kind.noun.one)
    name = _name(result["name"])
    print(f"{name}: {total} in {len(classes):,} {told}, pool of {pool:,}, test set of {test:,}")
    described = kind.described_summary(result["images"])
    if described:
        print(f"  {described}")
    if groups := GroupCounts.read(result["groups"]):
        print("\n".join(f"  {line}" for line in map(shown, groups.sentences(kind.noun))))
    findings = [Finding(**finding) for finding in result["findings"]]
    for level, heading in _HEADINGS.items():
        _print_findings(heading, [f for f in findings if f.level == level], result["snippets"])
    if not findings:
        print("\nNo problem was found.")
    _print_classes(classes, "class" if told == "classes" else "label")


def _print_findings(heading: str, findings: list[Finding], snippets: dict[str, str]) -> None:
    if findings:
        print(f"\n{heading}")
    for finding in findings:
        print(f"- {shown(finding.text)}")
        for example, item in zip(finding.examples[:EXAMPLES], finding.items, strict=False):
            print(f"    {shown(example)}")
            if snippet := snippets.get(item.get("id", "")):
                print(f"      {shown(snippet)}")
            for id in item.get("ids", [])[:EXAMPLES]:
                if id in snippets:
                    print(f"      {shown(short(id))}: {shown(snippets[id])}")
        more = len(finding.items) - EXAMPLES
        if more > 0:
            print(f"    and {more:,} more (--json lists all)")


def _print_classes(classes: list[dict[str, Any]], heading: str) -> None:
    ordered = sorted(classes, key=lambda entry: -(entry["pool"] + entry["test"]))
    half = CLASSES // 2
    cut = len(ordered) > CLASSES
    lines = [*ordered[:half], None, *ordered[-half:]] if cut else ordered
    width = max(len(_name(entry["class"])) for entry in lines if entry)
    print(f"\n{heading:{width}}  {'pool':>7}  {'test':>7}")
    for entry in lines:
        if entry is None:
            print(f"... {len(ordered) - 2 * half:,} more")
        else:
            print(f"{_name(entry['class']):{width}}  {entry['pool']:>7,}  {entry['test']:>7,}")


def _name(text: str) -> str:
    return shown(short(text, 40))
