"""What is found out about a dataset before anything is spent on it.

Everything is worked out once, when the images are decoded, from the facts that decoding notes; only what
depends on the fractions of a plan is worked out when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets import splits
from bench.errors import RequestError
from bench.modalities.findings import Finding, by_importance
from bench.modalities.image.audit import Evidence, _duplicates, _files, _left_out

if TYPE_CHECKING:
    pass


IMBALANCE = 3
"""How many times as large as the smallest the largest class may be before it is worth a note."""


def findings(evidence: Evidence) -> list[Finding]:
    """All that does not depend on a plan's fractions; what touches validity first."""
    found = [*_duplicates(evidence), *_classes(evidence), *_left_out(evidence), *_files(evidence)]
    return by_importance(found)


def fractions_too_small(
    labels: np.ndarray,
    groups: np.ndarray | None,
    fractions: Sequence[float],
    seeds: int,
    key: str,
    class_names: Sequence[str],
) -> list[Finding]:
    """Fractions of the pool with which no cell could be run; see ``splits.subset`` for the arguments."""
    found = []
    counts = np.bincount(labels, minlength=len(class_names))
    for fraction in fractions:
        try:
            splits.check_fraction(labels, groups, fraction, seeds, key, class_names)
        except RequestError as error:
            least = counts * splits.subset_size(len(labels), fraction) // len(labels)
            items = [
                {"class": class_names[c], "images": int(counts[c])}
                for c in np.flatnonzero(least < 2).tolist()
            ]
            found.append(
                Finding("fraction_too_small", "validity", f"A run would refuse this: {error}", items)
            )
    return found


def _classes(evidence: Evidence) -> list[Finding]:
    names = evidence.class_names
    counts = np.bincount(evidence.labels, minlength=len(names))
    tested = np.bincount(evidence.labels[evidence.in_test], minlength=len(names))
    found = []
    untested = np.flatnonzero(tested == 0).tolist()
    if untested:
        text = (
            f"{len(untested):,} of {len(names):,} classes have no test image, so how well they are recognised is "
            "not measured."
        )
        items = [{"class": names[c], "images": int(counts[c])} for c in untested]
        found.append(Finding("classes_without_test", "validity", text, items))
    if counts.max() >= IMBALANCE * counts.min():
        text = (
            f"Classes have {counts.min():,} to {counts.max():,} images: accuracy speaks mostly of the large ones, "
            "balanced accuracy of all."
        )
        found.append(Finding("imbalance", "note", text))
    return found
