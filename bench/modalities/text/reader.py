"""From rows of texts to what a network takes: the numbers of their tokens."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bench.modalities.text.rows import texts_of

LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
"""To which texts are filled up. Texts of one length are computed together, so that short ones cost little."""


BUCKETS = 2**14
"""How many numbers ``HashedWords`` has."""


class Tokenizer(Protocol):
    """Divides texts into tokens.

    Attributes:
        pad: the number that fills up, which no token has.
    """

    pad: int

    def __call__(self, texts: Sequence[str], limit: int) -> Sequence[Sequence[int]]:
        """The numbers of each text's tokens, at most ``limit`` with those of its beginning and end."""


class HashedWords:
    """Words, digits and signs of any language, each by a hash: no vocabulary has to be learned or brought.

    Number 1 begins every text.
    """

    pad = 0

    def __call__(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        return [[1, *map(self._number, _WORDS.findall(text.lower())[: limit - 1])] for text in texts]

    def _number(self, word: str) -> int:
        return 2 + zlib.crc32(word.encode()) % (BUCKETS - 2)


_WORDS = re.compile(r"\w+|[^\w\s]")


class TextReader:
    """Reads rows of texts for one network.

    Args:
        tokenizer: the network's own.
        limit: tokens of a text at most.
    """

    def __init__(self, tokenizer: Tokenizer, limit: int) -> None:
        self.tokenizer, self.limit = tokenizer, limit

    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        """The numbers of the tokens, int32 (N, L), filled up to the ``lengths`` of the longest."""
        found = self.tokenizer(texts_of(rows), self.limit)
        longest = self._length(max(map(len, found), default=1))
        filled = np.full((len(found), longest), self.tokenizer.pad, np.int32)
        for row, numbers in zip(filled, found, strict=True):
            row[: len(numbers)] = numbers
        return [filled]

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """To which length each text is filled up by itself, int64 (N,)."""
        found = self.tokenizer(texts_of(rows), self.limit)
        return np.array([self._length(len(numbers)) for numbers in found], np.int64)

    def _length(self, tokens: int) -> int:
        return min(next(length for length in LENGTHS if length >= tokens), self.limit)
