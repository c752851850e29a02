"""What is said of an object that is no dataset."""

from __future__ import annotations

from typing import Any

from bench.errors import RequestError

FORMS = (
    "a folder, a manifest, (x, y) arrays, (texts, labels), a tf.data.Dataset, a pandas frame with the columns "
    "path or text and label, or a Hugging Face dataset"
)


class Described:
    """What was given, in a message: without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def refusal(given: Any, expected: str = FORMS, remedy: str = "") -> RequestError:
    """The error that names an object by its type, a number by itself, and all else by the words for it."""
    given = str(given) if isinstance(given, (int, float)) else given
    text = given if isinstance(given, str) else f"{type(given).__module__}.{type(given).__qualname__}"
    return RequestError("dataset", Described(text.removeprefix("builtins.")), expected, remedy)
