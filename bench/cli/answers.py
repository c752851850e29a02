"""What commands answer in Python: objects that print as the command line does."""

from __future__ import annotations

import contextlib
import html
import io
from collections.abc import Callable
from typing import Any


class Answer:
    """An answer of ``bench.check``, ``rank``, ``plan``, ``recommend`` or ``export``.

    ``print(answer)`` shows what the command line prints. All attributes of ``value`` are its own, too.

    Attributes:
        value: the answer as data.
    """

    def __init__(self, value: Any, text: str, content: dict[str, Any] | None = None) -> None:
        self.value, self._text, self._content = value, text, content

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._text)}</pre>"

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints, as a dictionary.

        Raises:
            TypeError: this command has no ``--json``.
        """
        if self._content is None:
            raise TypeError("This answer has no JSON form. Print it, or see its attribute value.")
        return self._content

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "value":  # while it is being copied, there is no value yet
            raise AttributeError(name)
        return getattr(self.value, name)


def printed(show: Callable[..., None], *arguments: Any) -> str:
    """What a function prints, as text."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        show(*arguments)
    return text.getvalue().rstrip()
