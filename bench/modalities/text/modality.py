"""Texts, as the harness sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.modalities.base import Modality, Tensor, Unreadable
from bench.modalities.nouns import Noun
from bench.modalities.text.input import TextInput
from bench.modalities.text.items import Text
from bench.modalities.text.reader import HashedWords, TextReader
from bench.modalities.text.rows import row_of


@dataclass(frozen=True)
class Facts:
    """What is known of a text beside its row.

    Attributes:
        characters: of the whole text.
    """

    characters: int


class Texts(Modality):
    name = "text"
    noun = Noun("text", "texts", "words", "text")
    version = 1
    keys = ("max_tokens",)
    size_key = "max_tokens"
    features = ("batch", "tokens", "c")

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
        text = item.text()
        if not text:
            raise Unreadable("empty")
        return row_of(text, input.width), Facts(len(text))

    def inputs(self, size: int) -> dict[str, Tensor]:
        """``tokens``: their numbers, as many as the longest text of a batch has."""
        return {"tokens": Tensor((size,), "int32", is_ragged=True)}

    def reader(self, tokenizer: Any, size: int) -> TextReader:
        return TextReader(tokenizer or HashedWords(), size)


KIND = Texts()
