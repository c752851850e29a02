"""Words of the field that a page explains where they first stand."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

TERMS = {
    r"seeds?": "A repetition of the whole training with other random draws: of labels, initialization and order.",
    r"95% CIs?|95% intervals?|95% confidence intervals?": "Confidence interval: 95 of 100 such intervals hold the "
    "true value.",
    r"points?": "Percentage points: 82% is 2 points more than 80%.",
    r"fractions?": "The share of the labels that a cell may use.",
    r"frozen": "Not trained: these weights stay as they were pretrained.",
    r"Pareto front": "What no other configuration beats in both cost and accuracy.",
    r"plateaus?": "Where a learning curve levels off.",
    r"CKA": "Centered kernel alignment: how alike the outputs of two networks are, from 0 to 1.",
    r"negative transfer": "Transfer that does harm: worse than without it.",
}


class Explained:
    """A filter for templates that marks each term where it first stands, one instance a page."""

    def __init__(self) -> None:
        self._left = dict(TERMS)

    def __call__(self, text: str) -> Markup:
        said = str(escape(text))
        for term, meaning in [*self._left.items()]:
            # Not inside the tags and titles that are already there.
            found = re.search(
                rf"(?<![\w-])(?:{term})(?![\w-])(?![^<]*>)(?![^<]*</abbr>)", said, re.IGNORECASE
            )
            if found is not None:
                abbreviation = f'<abbr title="{escape(meaning)}">{found[0]}</abbr>'
                said = said[: found.start()] + abbreviation + said[found.end() :]
                del self._left[term]
        return Markup(said)
