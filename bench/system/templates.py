"""Filling in the templates of what is written for people to keep: cards, and ``train.py``.

What a template is given are values, from records and data that may come from anywhere. Each becomes a literal of
Python, or text that stays text in Markdown, by one filter that no expression goes around. What is to stand there as
it is has a type of its own, ``Verbatim``, which only the template itself and the functions below make.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2


class Verbatim(str):
    """Text that stands in what is written as it is. Whatever is made of it by ``+``, ``format`` or a filter is
    an ordinary text again."""


def template(folder: Path, name: str) -> jinja2.Template:
    """The template of this name in a folder, ``*.py.j2`` or ``*.md.j2``; what it leaves undefined is an error."""
    spelled = LANGUAGES[name.removesuffix(".j2").rpartition(".")[2]]
    environment = _Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=False,
        finalize=lambda value: value if type(value) is Verbatim else Verbatim(spelled(value)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


class _Environment(jinja2.Environment):
    """Where what a macro gives is what its template says, and so needs no filter again."""

    @staticmethod
    def concat(parts: Iterable[str]) -> Verbatim:
        return Verbatim("".join(parts))


def literal(value: Any) -> str:
    """A value as Python code that gives it again; a list of many texts one a line.

    Raises:
        TypeError: it is not a text, a number, None, or a list of these.
    """
    value = value.item() if hasattr(value, "dtype") and not getattr(value, "ndim", 1) else value
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return str.__repr__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)
    if isinstance(value, (list, tuple)):
        return _list(value)
    raise TypeError(f"{value!r} has no literal")


def _list(items: Sequence[Any]) -> str:
    spelled = [literal(item) for item in items]
    line = ", ".join(spelled) + ("," if isinstance(items, tuple) and len(items) == 1 else "")
    if len(line) > 87 and all(isinstance(item, str) for item in items):
        line = "\n" + "".join(f"    {item},\n" for item in spelled)
    return f"({line})" if isinstance(items, tuple) else f"[{line}]"


def comment(text: str) -> Verbatim:
    """A text for comments and docstrings: without anything that could end them."""
    return Verbatim(re.sub(r"[^A-Za-z0-9 .,:;=_+/()%-]", "?", text))


def identifier(name: str) -> Verbatim:
    """A name of Python's, with dots.

    Raises:
        ValueError: it is none.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{name!r} is no name")
    return Verbatim(name)


def markdown(value: Any) -> Verbatim:
    """Text that stays text in Markdown, on one line."""
    return Verbatim(re.sub(r"([\\`*_{}\[\]<>#!|~&$])", r"\\\1", " ".join(str(value).split())))


def fenced(text: str) -> Verbatim:
    """Text for a block of code in Markdown: without anything that could end it."""
    return Verbatim(re.sub(r"[`\s]+", " ", text))


LANGUAGES: dict[str, Callable[[Any], str]] = {"py": literal, "md": markdown}
"""How a value is spelled, by the suffix of what is written."""
