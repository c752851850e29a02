"""What an audit says of examples that are nearly the same, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.modalities.evidence import Evidence
from bench.modalities.findings import Finding, level_of

Partners = Callable[[Sequence[Any], np.ndarray], np.ndarray]
"""Finds for each of some examples, by their facts, one of another kind that is nearly the same: its place among
them, or -1."""


def near(
    evidence: Evidence, partners: Partners, how: str, compared: np.ndarray | None = None
) -> list[Finding]:
    """Near duplicates across splits and labels, but for what is known to be identical to one.

    Args:
        evidence: of the examples.
        partners: tells which are nearly the same.
        how: what may have been changed, for people.
        compared: which examples have enough to compare, (N,); None: all.
    """
    noun, labels, in_test = evidence.noun, evidence.labels, evidence.in_test
    found = []
    crossing = [(a, b) for a, b in _pairs(evidence, partners, in_test, compared) if in_test[a]]
    if crossing:
        affected = int((evidence.copies_of([a for a, _ in crossing]) & in_test).sum())
        text = f"{evidence.of_test(affected)} nearly the same as a training {noun.one} ({how}, say)."
        cases = [evidence.case(pair) for pair in crossing]
        found.append(Finding("near_across_splits", level_of(affected / int(in_test.sum())), text, cases))
    contradicting = _pairs(evidence, partners, labels, compared)
    if contradicting:
        affected = int(evidence.copies_of([a for a, _ in contradicting]).sum())
        share = affected / len(labels)
        text = f"{affected:,} {noun.many} ({share:.1%}) nearly the same as one of another class."
        once = dict.fromkeys((min(pair), max(pair)) for pair in contradicting)
        cases = [evidence.case(pair) for pair in once]
        found.append(Finding("near_across_labels", level_of(share), text, cases))
    return found


def _pairs(
    evidence: Evidence, partners: Partners, values: np.ndarray, compared: np.ndarray | None
) -> list[tuple[int, int]]:
    """Examples with one each that is nearly the same, not known to be identical, and differs in ``values``."""
    # One example stands for all that are identical, of one class, and in one part.
    kinds = np.stack([evidence.same, evidence.labels, evidence.in_test], axis=1)
    rows = np.sort(np.unique(kinds, axis=0, return_index=True)[1])
    rows = rows if compared is None else rows[compared[rows]]
    partner = partners([evidence.facts[i] for i in rows], values[rows])
    known = evidence.copies_of([members[0] for members in evidence.across(values)])
    hit = np.flatnonzero((partner >= 0) & ~known[rows])
    return [(int(rows[i]), int(rows[partner[i]])) for i in hit]
