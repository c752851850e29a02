"""Texts, as the harness sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.modalities.base import Again, Modality, Tensor, Unreadable
from bench.modalities.evidence import Evidence, numbered
from bench.modalities.findings import Finding
from bench.modalities.nouns import Noun
from bench.modalities.text import audit
from bench.modalities.text.facts import Album, Facts, digest, plain
from bench.modalities.text.input import TextInput
from bench.modalities.text.items import Text
from bench.modalities.text.reader import HashedWords, TextReader
from bench.modalities.text.rows import row_of, texts_of, whole

SHOWN = 200
"""Characters of a preview, at most."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
"""What no text has, but for one here and there."""


class Texts(Modality):
    name = "text"
    default_backbone = "MiniLM"
    noun = Noun("text", "texts", "words", "text", "like these, in their language")
    version = 1
    keys = ("max_tokens",)
    size_key = "max_tokens"
    features = ("batch", "tokens", "c")
    is_read = True
    floors = ("tf_idf",)

    def input(self, settings: Mapping[str, Any]) -> TextInput:
        return TextInput(settings["max_tokens"])

    def sized(self, settings: Mapping[str, Any]) -> str:
        return f"at most {settings['max_tokens']} tokens"

    def takes(self, least: int) -> str:
        return f"it takes texts of {least} tokens or more"

    def input_named(self, name: str) -> TextInput:
        return TextInput(int(name))

    def mismatch(self, then: TextInput, now: TextInput) -> str:
        return f"texts of at most {then.max_tokens} tokens; here they have {now.max_tokens}"

    def augmentation(self, settings: Mapping[str, Any]) -> None:
        return None

    def described(self, settings: Mapping[str, Any]) -> str:
        return f"texts of at most {settings['max_tokens']} tokens"

    def row(self, input: TextInput) -> Tensor:
        return Tensor((input.width,), "uint8")

    def read(self, item: Text, input: TextInput) -> tuple[np.ndarray, Facts]:
        written, encoding = item.read()
        if 20 * len(_CONTROL.findall(written)) > len(written):
            raise Unreadable("not a text")
        text = whole(written.replace("\0", "")).strip()
        if not text:
            raise Unreadable("empty")
        return row_of(text, input.width), Facts.of(text, input.width, encoding, "\0" in written)

    def album(self, count: int) -> Album:
        return Album(count)

    def identical(self, facts: list[Facts], sha256: Sequence[str], again: Again) -> np.ndarray:
        """Texts are identical up to case, and to how many spaces or line ends lie between words."""
        return numbered([f.digest for f in facts])

    def lookalikes(self, evidence: Evidence) -> list[Finding]:
        return audit.near_duplicates(evidence)

    def findings(self, evidence: Evidence) -> list[Finding]:
        return [*audit.lengths(evidence), *audit.content(evidence)]

    def summary(self, facts: Sequence[Facts]) -> dict[str, Any]:
        return audit.summary(facts)

    def described_summary(self, summary: Mapping[str, Any]) -> str:
        return audit.described(summary)

    def preview(self, row: np.ndarray) -> str:
        return self.snippet(row, SHOWN)

    def snippet(self, row: np.ndarray, characters: int = 100) -> str:
        text = " ".join(texts_of(row[None])[0].split())
        return text if len(text) <= characters else f"{text[: characters - 3].rstrip()}..."

    def hashes(self, rows: np.ndarray) -> np.ndarray:
        each = [digest(plain(text)) for text in texts_of(rows)]
        return np.frombuffer(b"".join(each), np.uint8).reshape(-1, 16)

    def inputs(self, size: int) -> dict[str, Tensor]:
        """``tokens``: their numbers, as many as the longest text of a batch has."""
        return {"tokens": Tensor((size,), "int32", is_ragged=True)}

    def reader(self, tokenizer: Any, size: int) -> TextReader:
        return TextReader(tokenizer or HashedWords(), size)


KIND = Texts()
