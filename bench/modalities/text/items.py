"""Texts that are not read yet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.modalities.base import Item, Unreadable
from bench.system.files import is_lfs_pointer, sha256_file
from bench.system.texts import decoded

SUFFIX = ".txt"
"""Of files that hold one text each."""

MAX_BYTES = 2**24
"""Of such a file: more is no text to classify as one."""


class Text(Item, Protocol):
    """One text of a dataset."""

    def read(self) -> tuple[str, str]:
        """The text as it is written, and the encoding of its file, empty if it has none. Raises ``Unreadable``."""


@dataclass(frozen=True)
class GivenText:
    """A text that is at hand: a cell of a table, an element of a list."""

    content: str

    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode("utf-8", "surrogatepass")).hexdigest()

    def read(self) -> tuple[str, str]:
        return self.content, ""


@dataclass(frozen=True)
class FileText:
    """A file that holds one text, in any encoding."""

    path: Path

    def sha256(self) -> str:
        return sha256_file(self.path)

    def read(self) -> tuple[str, str]:
        try:
            size = self.path.stat().st_size
            if size > MAX_BYTES:
                raise Unreadable(f"more than {MAX_BYTES // 2**20} MiB")
            if is_lfs_pointer(self.path):
                raise Unreadable("a git-lfs pointer: run git lfs pull")
            content = self.path.read_bytes()
        except OSError as error:
            raise Unreadable((error.strerror or str(error)).lower()) from None
        except ValueError:
            raise Unreadable("no such file") from None  # a null character in its name
        return decoded(content)
