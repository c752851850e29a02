"""Texts that are not read yet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol


class Text(Protocol):
    """One text of a dataset."""

    def sha256(self) -> str:
        """Hash of the content as it stands."""

    def text(self) -> str:
        """The text, without null characters and spaces around it; raises ``Unreadable``."""


@dataclass(frozen=True)
class GivenText:
    """A text that is at hand: a cell of a table, an element of a list."""

    content: str

    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()

    def text(self) -> str:
        return self.content.replace("\0", "").strip()
