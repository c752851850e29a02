"""What is noted of a text when it is read."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.modalities.text.alike import HASHES, signature

TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|&(?:[a-z]{2,8}|#\d{2,5});")
LINK = re.compile(r"https?://|www\.\w", re.IGNORECASE)
_PIECE = re.compile(r"\w{1,6}|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text is, beside its row.

    Attributes:
        characters: of the whole text.
        words: likewise.
        tokens: likewise, about: a sign, or up to six letters of a word, is one. WordPiece has as many in English.
        held: share of its bytes that the row holds.
        digest: equal for texts with the same words, see ``plain``.
        signature: by which nearly identical texts are known, see ``alike``.
        encoding: of its file; empty if it has none.
        markup: whether it has HTML tags or entities.
        links: whether it has addresses of web pages.
        nulls: whether it had null characters.
        foreign: whether most of its letters are not Latin.
        wordless: whether it has neither letters nor digits.
    """

    characters: int
    words: int
    tokens: int
    held: float
    digest: bytes
    signature: np.ndarray
    encoding: str = ""
    markup: bool = False
    links: bool = False
    nulls: bool = False
    foreign: bool = False
    wordless: bool = False

    @classmethod
    def of(cls, text: str, width: int, encoding: str = "", nulls: bool = False) -> Facts:
        """What is noted of a text whose row has ``width`` bytes."""
        same = plain(text)
        letters = [c for c in text[:1000] if c.isalpha()]
        return cls(
            characters=len(text),
            words=len(text.split()),
            tokens=len(_PIECE.findall(text)),
            held=min(1.0, width / len(text.encode())),
            digest=digest(same),
            signature=signature(same),
            encoding=encoding,
            markup=TAG.search(text) is not None,
            links=LINK.search(text) is not None,
            nulls=nulls,
            foreign=2 * sum(c > "\u024f" for c in letters) > len(letters),
            wordless=not any(map(str.isalnum, text)),
        )


def plain(text: str) -> str:
    """A text without what makes no other text of it: case, and how many spaces or line ends lie between words."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def digest(same: str) -> bytes:
    """16 bytes of what ``plain`` gives."""
    return hashlib.blake2b(same.encode(), digest_size=16).digest()


class Album(list[Facts]):
    """Facts whose signatures lie in one piece: thousands of small arrays would fragment memory."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._signatures = np.empty((count, HASHES), np.uint32)

    def append(self, facts: Facts) -> None:
        kept = self._signatures[len(self)]
        kept[:] = facts.signature
        super().append(replace(facts, signature=kept))

    def __setitem__(self, number: Any, facts: Any) -> None:
        self._signatures[number] = facts.signature
        super().__setitem__(number, replace(facts, signature=self._signatures[number]))
