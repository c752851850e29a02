"""Texts as rows of bytes: UTF-8, filled up with zeros."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def whole(text: str) -> str:
    """A text that can be encoded: halves of characters become the replacement character, pairs of halves one."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def row_of(text: str, width: int) -> np.ndarray:
    """A text as a row, cut to whole characters.

    Args:
        text: without null characters.
        width: bytes of the row.

    Returns:
        uint8, (width,).
    """
    content = text.encode()[:width].decode(errors="ignore").encode()
    row = np.zeros(width, np.uint8)
    row[: len(content)] = np.frombuffer(content, np.uint8)
    return row


def rows_of_texts(texts: Iterable[str], width: int) -> np.ndarray:
    """uint8, (N, width)."""
    return np.stack([row_of(text, width) for text in texts])


def texts_of(rows: np.ndarray) -> list[str]:
    """The texts of rows."""
    return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in np.ascontiguousarray(rows)]
