"""What an audit says of texts: nearly identical ones, lengths, markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.modalities.evidence import Evidence
from bench.modalities.findings import Finding, count
from bench.modalities.near import near
from bench.modalities.text.alike import HASHES, partners
from bench.modalities.text.facts import Facts
from bench.system.texts import USUAL

MIXED = 0.02
"""Share of texts in another script than the others from which on it is told."""


def summary(facts: Sequence[Facts]) -> dict[str, Any]:
    """Smallest, median and largest number of characters, words and tokens (about) of a text."""
    of = {name: [getattr(f, name) for f in facts] for name in ("characters", "words", "tokens")}
    return {name: [min(values), int(np.median(values)), max(values)] for name, values in of.items()}


def described(summary: Mapping[str, Any]) -> str:
    """``summary`` as a line: ``Lengths: 13 to 433 characters (median 46), ...``"""
    lengths = []
    for name, (low, median, high) in summary.items():
        span = f"{low:,} to {high:,} {name} (median {median:,})" if low < high else f"{low:,} {name}"
        lengths.append(f"about {span}" if name == "tokens" else span)
    return f"Lengths: {', '.join(lengths)}"


def near_duplicates(evidence: Evidence) -> list[Finding]:
    """Texts that are nearly the same."""

    def found(facts: Sequence[Facts], kinds: np.ndarray) -> np.ndarray:
        return partners(np.array([f.signature for f in facts]).reshape(-1, HASHES), kinds)

    return near(evidence, found, "a word or a sign changed")


def lengths(evidence: Evidence) -> list[Finding]:
    """Texts of which a network sees the beginning only."""
    limit, facts = evidence.input.max_tokens, evidence.facts
    tokens = np.array([f.tokens for f in facts]) + 2  # with those of beginning and end
    seen = np.minimum(tokens, limit)
    cut = np.flatnonzero((seen < tokens) | np.array([f.held < 1 for f in facts]))
    if not len(cut):
        return []
    seen = np.minimum(seen, [f.held * t for f, t in zip(facts, tokens, strict=True)])
    lost = 1 - seen.sum() / tokens.sum()
    all_seen = next(
        (n for n in (256, 512, 1024, 2048, 4096) if n >= max(np.quantile(tokens, 0.95), limit + 1)), 0
    )
    more = f" --set max_tokens={all_seen} keeps more, if the backbone takes it." if all_seen else ""
    text = (
        f"{len(cut):,} of {count(len(facts), 'text')} ({len(cut) / len(facts):.1%}) longer than {limit} tokens, by "
        f"estimate. Networks see their beginning: {_about(lost)} of all tokens are cut off.{more}"
    )
    cases = [
        {
            "id": evidence.ids[i],
            "reason": f"about {tokens[i]:,} tokens, {facts[i].words:,} words, {facts[i].characters:,} characters",
        }
        for i in cut[np.argsort(-tokens[cut], kind="stable")].tolist()
    ]
    return [Finding("long_texts", "note" if lost < 0.05 else "validity", text, cases)]


def _about(share: float) -> str:
    return f"about {share:.1%}" if share >= 0.001 else "less than 0.1%"


def content(evidence: Evidence) -> list[Finding]:
    """Markup, addresses, null characters, encodings, scripts."""
    facts = evidence.facts
    encodings = Counter(f.encoding for f in facts if f.encoding and f.encoding not in USUAL)
    listed = ", ".join(f"{name} ({number:,})" for name, number in encodings.most_common())
    foreign = sum(f.foreign for f in facts) / len(facts)
    told: list[tuple[str, Callable[[Facts], Any], str]] = [
        (
            "markup",
            lambda f: f.markup,
            "with HTML tags or entities, which stay as they are. Remove them if they are no part of what you "
            "will classify.",
        ),
        ("links", lambda f: f.links, "with addresses of web pages, which stay as they are."),
        ("null_characters", lambda f: f.nulls, "with null characters, which are left out."),
        (
            "encodings",
            lambda f: f.encoding in encodings,
            f"not in UTF-8, read as {listed}. If letters are wrong, save them as UTF-8.",
        ),
        ("wordless", lambda f: f.wordless, "without a letter or digit."),
    ]
    if MIXED <= foreign <= 1 - MIXED:
        told.append(
            (
                "mixed_scripts",
                lambda f: f.foreign,
                "mostly in another script than Latin, the others in Latin.",
            )
        )
    elif foreign > 1 - MIXED:
        told.append(
            (
                "other_script",
                lambda f: f.foreign,
                "mostly in another script than Latin. Backbones for English, such as MiniLM, know few of its "
                "words: add one of that language, such as --backbone hf:FOLDER.",
            )
        )
    found = []
    for kind, is_so, words in told:
        chosen = [id for id, f in zip(evidence.ids, facts, strict=True) if is_so(f)]
        if chosen:
            share = len(chosen) / len(facts)
            items = [{"id": id, "reason": kind.replace("_", " ")} for id in chosen]
            level = "validity" if kind == "other_script" else "note"
            found.append(
                Finding(kind, level, f"{count(len(chosen), 'text')} ({share:.1%}) {words}", items)  # type: ignore[arg-type]
            )
    return found
