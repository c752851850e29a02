"""Text files as people's programs write them: any encoding, with or without a byte order mark."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's begins with UTF-16's."""

UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
"""Encodings that are known for certain."""

WINDOWS = "cp1252"
"""The legacy encoding of Western Europe and the Americas."""

USUAL = ("utf-8", "utf-8-sig")
"""Encodings that nobody needs to be told of."""


def decoded(data: bytes, rate: Callable[[str], int] = lambda text: 0) -> tuple[str, str]:
    """The text of a file, and its encoding.

    Args:
        data: its bytes.
        rate: how well a text fits what is known otherwise; the highest of several legacy encodings wins.

    Returns:
        Bytes that are of no known encoding become lone surrogates (``surrogateescape``), and the encoding is then
        ``"utf-8"``.
    """
    for mark, name in MARKS:
        if data.startswith(mark):
            return data.decode(name, "replace" if name != "utf-8-sig" else "surrogateescape"), name
    wide = _without_mark(data[:4096])
    if wide:
        return data.decode(wide, "replace"), wide
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return _legacy(data, rate)


def _without_mark(head: bytes) -> str | None:
    """UTF-16 without a mark, by the zeros that every second byte of ordinary text is then."""
    pairs = len(head) // 2
    if pairs < 2 or b"\0" not in head:
        return None
    even, odd = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if max(even, odd) < 0.4 * pairs or min(even, odd) > 0.1 * pairs:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _is_western(data: bytes) -> bool:
    """Whether a text has accents here and there, as Western European languages do: too few to tell them by."""
    words = [word for word in re.split(rb"[\s,;|]+", data) if not word.isascii()]
    text = b"".join(words).decode(WINDOWS, "replace")
    mixed = sum(re.search(rb"[a-zA-Z]", word) is not None for word in words)
    return all(c.isalpha() for c in text if not c.isascii()) and 2 * mixed >= len(words)


def _legacy(data: bytes, rate: Callable[[str], int]) -> tuple[str, str]:
    """Of the encodings that charset-normalizer holds for possible, and that of the West, the one that fits best."""
    from charset_normalizer import from_bytes

    likely = [match.encoding for match in from_bytes(data)]
    at = 0 if _is_western(data) else 1
    found: dict[str, str] = {}
    for name in dict.fromkeys([*likely[:at], WINDOWS, *likely[at:]]):
        try:
            text = data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\0" not in text:
            found[name] = text
    if not found:
        return data.decode("utf-8", "surrogateescape"), "utf-8"
    best = max(found, key=lambda name: rate(found[name]))  # the first of those that fit as well
    return found[best], best
