"""What an audit says of clips: nearly identical ones, lengths, sample rates, silence, clipping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.modalities.audio.alike import PRINT, partners
from bench.modalities.audio.facts import Facts
from bench.modalities.audio.input import RATE
from bench.modalities.evidence import Evidence
from bench.modalities.findings import Finding, Level, count, level_of
from bench.modalities.near import near

SILENT = -60.0
"""dB of full scale (RMS of the loudest 25 ms) below which a clip counts as silent."""
CLIPPED = 0.001
"""Share of samples at full scale from which on a clip counts as clipped. A peak alone is far below."""
OFFSET = 0.02
"""Mean of the samples from which on it is told."""
MIXED = 0.02
"""Share of clips with a low sample rate, or without, from which on a dataset counts as mixed."""
CHANGED = 0.01
"""Share of a clip that may be cut off or filled up before it counts as such."""


def summary(facts: Sequence[Facts]) -> dict[str, Any]:
    """Shortest, median and longest clip in seconds, and how many clips have which sample rate and channels."""
    seconds = [f.seconds for f in facts]
    return {
        "seconds": [round(value, 2) for value in (min(seconds), float(np.median(seconds)), max(seconds))],
        "rates": {str(rate): number for rate, number in Counter(f.rate for f in facts).most_common()},
        "channels": {str(n): number for n, number in Counter(f.channels for f in facts).most_common()},
    }


def described(summary: Mapping[str, Any]) -> str:
    """``summary`` as a line: ``Lengths: 0.14 to 2.28 s (median 0.42). Sample rates: 8,000 Hz (3,000)``"""
    low, median, high = summary["seconds"]
    span = f"{low:g} to {high:g} s (median {median:g})" if low < high else f"{low:g} s"
    listed = ", ".join(f"{int(rate):,} Hz ({number:,})" for rate, number in summary["rates"].items())
    return f"Lengths: {span}. Sample rates: {listed}"


def near_duplicates(evidence: Evidence) -> list[Finding]:
    """Clips that are nearly the same."""

    def found(facts: Sequence[Facts], kinds: np.ndarray) -> np.ndarray:
        return partners(np.array([f.print for f in facts]).reshape(-1, *PRINT), kinds)

    return near(evidence, found, "re-encoded, louder or moved")


def lengths(evidence: Evidence) -> list[Finding]:
    """How much of the clips is cut off, and how much of what a network hears is filled up."""
    limit = evidence.input.clip_seconds
    seconds = np.array([f.seconds for f in evidence.facts])
    lost = np.maximum(0, seconds - limit).sum() / seconds.sum()
    filled = np.maximum(0, limit - seconds).mean() / limit
    longer = np.flatnonzero(seconds > limit * (1 + CHANGED))
    better = _rounded_up(float(np.quantile(seconds, 0.95)))
    found = []
    if len(longer):
        hint = f" --clip-seconds {better:g} keeps 95% of them whole." if limit < better <= 30 else ""
        text = (
            f"{_of(len(longer), evidence)} longer than {limit:g} s. Networks hear their middle: {_about(lost)} of "
            f"all sound is cut off.{hint}"
        )
        cases = [
            {"id": evidence.ids[i], "reason": f"{seconds[i]:.2f} s"}
            for i in longer[np.argsort(-seconds[longer], kind="stable")].tolist()
        ]
        found.append(Finding("long_clips", "note" if lost < 0.05 else "validity", text, cases))
    if filled >= 0.25:
        hint = f" --clip-seconds {better:g} wastes less." if 0.1 <= better < limit else ""
        text = (
            f"Clips are {np.median(seconds):.2g} s long (median): {_about(filled)} of what networks hear is filled "
            f"with silence.{hint}"
        )
        found.append(Finding("short_clips", "note", text))
    return found


def rates(evidence: Evidence) -> list[Finding]:
    """Sample rates so low that high tones are missing, and whether all clips miss them."""
    each = np.array([f.rate for f in evidence.facts])
    low = each < RATE
    if not low.any():
        return []
    few = " and ".join(f"{rate:,} Hz" for rate in np.unique(each[low]).tolist()[:3])
    text = (
        f"{_of(int(low.sum()), evidence)} recorded at {few}: nothing above {each[low].min() / 2000:g} kHz. "
        f"Networks hear {RATE:,} Hz."
    )
    is_mixed = MIXED <= low.mean() <= 1 - MIXED
    if is_mixed:
        text += " The others have more. If classes differ in it, networks learn the recorder, not the sound."
    level: Level = "validity" if is_mixed else "note"
    return [_each("low_rates", level, text, evidence, low, lambda f: f"{f.rate:,} Hz")]


def levels(evidence: Evidence) -> list[Finding]:
    """Silence, clipping, and a mean that is not zero."""
    facts, found = evidence.facts, []
    silent = np.array([f.level < SILENT for f in facts])
    if silent.any():
        text = f"{_of(int(silent.sum()), evidence)} silent: what networks hear is below {SILENT:g} dB throughout."
        level = level_of(float(silent.mean()))
        found.append(_each("silent", level, text, evidence, silent, lambda f: f"{f.level:.0f} dB"))
    clipped = np.array([f.clipped >= CLIPPED for f in facts])
    if clipped.any():
        text = f"{_of(int(clipped.sum()), evidence)} clipped: recorded too loud, so that peaks are cut off."
        found.append(
            _each("clipped", "note", text, evidence, clipped, lambda f: f"{f.clipped:.1%} at full scale")
        )
    offset = np.array([f.offset >= OFFSET for f in facts])
    if offset.any():
        text = f"{_of(int(offset.sum()), evidence)} with an offset: the mean of their samples is not zero."
        found.append(_each("offset", "note", text, evidence, offset, lambda f: f"mean {f.offset:.3f}"))
    return found


def _each(kind: str, level: Level, text: str, evidence: Evidence, chosen: np.ndarray, reason: Any) -> Finding:
    """A finding of the chosen clips, each with its reason."""
    items = [
        {"id": evidence.ids[i], "reason": reason(evidence.facts[i])} for i in np.flatnonzero(chosen).tolist()
    ]
    return Finding(kind, level, text, items)


def _of(number: int, evidence: Evidence) -> str:
    """``12 of 3,000 clips (0.4%)``."""
    total = len(evidence.facts)
    return f"{number:,} of {count(total, 'clip')} ({number / total:.1%})"


def _about(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def _rounded_up(seconds: float) -> float:
    """To a tenth; to a half above 3."""
    step = 0.1 if seconds <= 3 else 0.5
    return round(float(np.ceil(seconds / step - 1e-9)) * step, 1)
