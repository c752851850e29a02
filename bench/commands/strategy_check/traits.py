"""What a strategy says of itself: its name, its texts, and where it cannot be used."""

from __future__ import annotations

from dataclasses import replace

from bench.commands.strategy_check.findings import Findings, told_as
from strategies import STRATEGIES
from strategies.base import Info, Strategy

LONGEST = 120
"""Characters of a line that listings show."""


def check_name(name: str, strategy: Strategy, found: Findings) -> None:
    """Whether it is called as it was asked for (``name``), and as nothing else is."""
    own = getattr(strategy, "name", None)
    if not isinstance(own, str) or not own.isidentifier():
        found.wrong(f"name must be a word such as 'last_block' (got {own!r}).")
    elif ":" not in name and own != name:
        found.wrong(
            f"name is {own!r}, but it is declared as {name!r}: records and reports would say {name!r}."
        )
    elif ":" in name and own in STRATEGIES and STRATEGIES[own] != name:
        found.wrong(f"name is {own!r}, which is built in: choose another.")


def check_version(strategy: Strategy, found: Findings) -> None:
    """Whether its version can be counted up."""
    if not isinstance(strategy.version, int) or strategy.version < 1:
        found.wrong(f"version must be a whole number of at least 1 (got {strategy.version!r}).")


def check_texts(strategy: Strategy, found: Findings) -> None:
    """Whether all is said that listings show, and in one line each."""
    if not isinstance(strategy.summary, str) or not strategy.summary.strip():
        found.wrong("summary is missing: a line that says what it does.")
    for part, asks in (("when", "when to use it"), ("cost", "what it costs beside feature extraction")):
        if not getattr(strategy, part):
            found.better(f"{part} is missing: a line that says {asks}, for 'ls strategies'.")
    for part in ("summary", "when", "cost", "reference"):
        text = getattr(strategy, part)
        if not isinstance(text, str):
            found.wrong(f"{part} must be text (got {text!r}).")
        elif "\n" in text or len(text) > LONGEST:
            found.better(
                f"{part} must have at most {LONGEST} characters, for one line of a listing (got {len(text)})."
            )


def check_skips(strategy: Strategy, info: Info, found: Findings) -> None:
    """Whether it says where it cannot be used: here, without pretrained weights, without what it would train."""
    here = replace(info, has_source=strategy.needs_source, has_auxiliary=strategy.needs_auxiliary)
    without_weights = replace(here, has_weights=False)
    for case in (here, without_weights, replace(here, has_norm=False, has_bias=False)):
        with told_as("skip()", found):
            reason = strategy.skip(case)
            if reason is not None and (not isinstance(reason, str) or not reason.strip()):
                found.wrong(f"skip() must give a reason or None (got {reason!r}).")
            if case is without_weights:
                _check_weights(strategy, reason, found)


def _check_weights(strategy: Strategy, reason: str | None, found: Findings) -> None:
    """Whether what it says of weights fits why it skips (``reason``) where there are none."""
    if strategy.uses_weights and strategy.needs_weights and reason is None:
        found.wrong(
            "skip() lets it run on a backbone without pretrained weights. Ask super().skip(info) first, or say "
            "uses_weights = False if it starts from random ones, needs_weights = False if it takes either."
        )
    for trait in ("uses_weights", "needs_weights"):
        if not getattr(strategy, trait) and reason is not None:
            found.better(f"{trait} is False, yet it is skipped where there are no weights: {reason}")
