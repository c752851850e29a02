"""Filling in the templates of what is written for people to keep: cards, and ``train.py``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import jinja2


def template(folder: Path, name: str) -> jinja2.Template:
    """The template of this name in a folder; what it leaves undefined is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"repr": repr, "literal": _literal}
    return environment.get_template(name)


def _literal(items: Sequence[str]) -> str:
    """A list of strings as Python code, one a line where there are many."""
    line = repr(list(items))
    return line if len(line) < 90 else "[\n" + "".join(f"    {item!r},\n" for item in items) + "]"


def markdown(text: str) -> str:
    """Text that stays text in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#!|~&$])", r"\\\1", text)
