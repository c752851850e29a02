"""What is found out about a dataset before anything is spent on it.

Everything is worked out once, when the examples are read, from the facts that reading notes; only what
depends on the fractions of a plan is worked out when it is asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from bench.datasets import splits
from bench.errors import RequestError
from bench.modalities.base import Limit, Modality
from bench.modalities.evidence import Evidence
from bench.modalities.findings import BALANCING, UNEVEN, Case, Finding, count, of_classes
from bench.modalities.nouns import Noun
from bench.tasks.registry import task_of

IMBALANCE = 3
"""How many times as large as the smallest the largest class may be before it is worth a note."""

RARE = 5
"""Test examples of a label from which on its average precision says something."""

MIX = 0.05
"""Share of the test part that would have to change class before another mix is worth saying."""
MIX_CHANCE = 0.001
"""Probability of such a difference by chance (chi-squared test of homogeneity) up to which it is said."""

OUTSIDE = "symbolic link that leaves the folder"
"""Why what such a link leads to is left out."""


def findings(modality: Modality, evidence: Evidence) -> list[Finding]:
    """All that does not depend on a plan's fractions."""
    return [
        *_identical(evidence),
        *modality.lookalikes(evidence),
        *([*_classes(evidence), *_class_mix(evidence)] if evidence.many is None else _labels(evidence)),
        *_left_out(evidence, modality.limits),
        *modality.findings(evidence),
    ]


def fractions_too_small(
    labels: np.ndarray,
    groups: np.ndarray | None,
    fractions: Sequence[float],
    seeds: int,
    key: str,
    class_names: Sequence[str],
    noun: Noun,
) -> list[Finding]:
    """Fractions of the pool with which no cell could be run; see ``splits.subset`` for the arguments."""
    found = []
    counts = task_of(labels).counts(labels, len(class_names))
    for fraction in fractions:
        try:
            splits.check_fraction(labels, groups, fraction, seeds, key, class_names, noun)
        except RequestError as error:
            least = counts * splits.subset_size(len(labels), fraction) // len(labels)
            cases = of_classes(class_names, counts, least < 2)
            found.append(Finding("fraction_too_small", "refused", f"A run would refuse this: {error}", cases))
    return found + (
        _labels_lost(counts, min(fractions, default=1.0), class_names) if labels.ndim == 2 else []
    )


def _labels_lost(counts: np.ndarray, fraction: float, names: Sequence[str]) -> list[Finding]:
    """Labels of which the smallest share of the pool has no example to train on and one to validate on."""
    lost = counts * fraction < 2
    if not fraction or not lost.any():
        return []
    text = (
        f"With {fraction:.0%} of the pool, {np.count_nonzero(lost):,} of {len(names):,} labels have fewer than two "
        "examples, so they can hardly be learned there."
    )
    return [Finding("labels_lost", "note", text, of_classes(names, counts, lost))]


def _identical(evidence: Evidence) -> list[Finding]:
    noun, in_test = evidence.noun, evidence.in_test
    across_splits, across_labels = evidence.across(in_test), evidence.across(evidence.labels)
    apart = {rows[0] for rows in (*across_splits, *across_labels)}
    rest = [rows for rows in evidence.sets if rows[0] not in apart]
    found = []
    if across_splits:
        affected = int(sum(in_test[rows].sum() for rows in across_splits))
        text = f"{evidence.of_test(affected)} with the same {noun.content} as a training {noun.one}."
        cases = [evidence.case(rows) for rows in across_splits]
        found.append(Finding("identical_across_splits", "validity", text, cases))
    if across_labels:
        text = (
            f"{count(len(across_labels), noun.original)} under different labels, in "
            f"{sum(map(len, across_labels)):,} identical {noun.many}."
        )
        cases = [evidence.case(rows) for rows in across_labels]
        found.append(Finding("identical_across_labels", "validity", text, cases))
    if not evidence.kept_together:
        text = (
            f"Identical {noun.many} are not all on one side of every split: that would leave too few different "
            "ones."
        )
        different = np.bincount(np.unique(np.stack([evidence.labels, evidence.same]), axis=1)[0])
        cases = of_classes(evidence.class_names, different, different < 3)
        found.append(Finding("identical_not_kept_together", "validity", text, cases))
    if rest:
        copies = sum(map(len, rest)) - len(rest)
        kept = ", kept on one side of every split" if evidence.kept_together else ""
        text = f"{count(copies, noun.one)} with the same {noun.content} as another of the same class{kept}."
        found.append(Finding("identical_within", "note", text, [evidence.case(rows) for rows in rest]))
    return found


def _classes(evidence: Evidence) -> list[Finding]:
    names, noun = evidence.class_names, evidence.noun
    counts = np.bincount(evidence.labels, minlength=len(names))
    tested = np.bincount(evidence.labels[evidence.in_test], minlength=len(names))
    found = []
    cases = of_classes(names, counts, (tested == 0) & (counts > 0))
    if cases and evidence.given and evidence.in_test.any():
        text = (
            f"{len(cases):,} of {len(names):,} classes have no test {noun.one}, so how well they are recognised is "
            "not measured."
        )
        found.append(Finding("classes_without_test", "validity", text, cases))
    counts = counts[counts > 0]
    if counts.max() >= IMBALANCE * counts.min():
        text = (
            f"Classes have {counts.min():,} to {counts.max():,} {noun.many}: accuracy speaks mostly of the large "
            "ones, balanced accuracy of all."
        )
        text += f" {BALANCING}" if counts.max() > UNEVEN * counts.min() else ""
        found.append(Finding("imbalance", "note", text))
    return found


def _labels(evidence: Evidence) -> list[Finding]:
    """Labels, any number for each example, that are not tested, or rarely."""
    assert evidence.many is not None
    names, noun = evidence.many.names, evidence.noun
    pool, test = (evidence.many.labels[part].sum(axis=0) for part in (~evidence.in_test, evidence.in_test))
    untested, unlearned, rare = test == 0, (test > 0) & (pool == 0), (test > 0) & (test < RARE)

    def have(chosen: np.ndarray) -> str:
        return f"{np.count_nonzero(chosen):,} of {len(names):,} labels have"

    found = []
    if untested.any():
        text = (
            f"{have(untested)} no test {noun.one}, so how well they are recognised is not measured. No metric "
            "counts them."
        )
        found.append(Finding("labels_without_test", "validity", text, of_classes(names, pool, untested)))
    if unlearned.any():
        text = (
            f"{have(unlearned)} test {noun.many} and none to learn from. Metrics count them all the same. Leave "
            "them out."
        )
        found.append(Finding("labels_in_test_only", "validity", text, of_classes(names, test, unlearned)))
    if rare.any():
        text = (
            f"{have(rare)} fewer than {RARE} test {noun.many}. Each counts as much as any other in mean average "
            "precision and macro F1, which are then less certain. Micro F1 depends less on them: --set "
            "metric=micro_f1."
        )
        found.append(Finding("rare_labels", "note", text, of_classes(names, test, rare)))
    none = int((~evidence.many.labels.any(axis=1)).sum())
    if none:
        each = f"{count(none, noun.one)} of {len(evidence.ids):,}"
        found.append(Finding("without_label", "note", f"{each} without any label: a no to all of them."))
    return found


def _class_mix(evidence: Evidence) -> list[Finding]:
    """A given test part whose classes come in other shares than the pool's, beyond what chance would give."""
    tested = evidence.in_test
    number = len(evidence.class_names)
    counts = np.stack([np.bincount(evidence.labels[part], minlength=number) for part in (~tested, tested)])
    if not evidence.given or not counts.sum(axis=1).all():
        return []
    from scipy.stats import chi2_contingency

    pool, test = counts / counts.sum(axis=1, keepdims=True)
    moved = float(np.abs(pool - test).sum() / 2)
    if moved < MIX or chi2_contingency(counts[:, counts.any(axis=0)]).pvalue > MIX_CHANCE:
        return []
    many = evidence.noun.many
    text = (
        f"The given test part has another mix of classes than the pool: {moved:.0%} of test {many} would have to "
        "change class to match it. Test accuracy may then differ from validation accuracy without any overfitting. "
        "Balanced accuracy does not depend on the mix: --set metric=balanced_accuracy."
    )
    items = [
        {"id": evidence.class_names[c], "reason": f"{test[c]:.1%} of test {many}, {pool[c]:.1%} of the pool"}
        for c in np.argsort(-np.abs(test - pool), kind="stable").tolist()
        if pool[c] != test[c]
    ]
    return [Finding("class_mix", "validity", text, items)]


def _left_out(evidence: Evidence, limits: Sequence[Limit]) -> list[Finding]:
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for id, reason in evidence.left_out:
        kind = next((limit.kind for limit in limits if limit.words in reason), "unreadable")
        by_kind["links_outside" if reason == OUTSIDE else kind].append({"id": id, "reason": reason})
    many, total = evidence.noun.many, len(evidence.ids) + len(evidence.left_out)
    reasons = Counter(case["reason"] for case in by_kind["unreadable"])
    listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    texts = {
        "unreadable": f"not readable and left out: {listed}.",
        **{limit.kind: limit.text for limit in limits},
        "links_outside": "left out: symbolic links that leave the folder.",
    }
    return [
        Finding(kind, "validity", f"{len(by_kind[kind]):,} of {total:,} {many} {text}", by_kind[kind])
        for kind, text in texts.items()
        if by_kind[kind]
    ]
