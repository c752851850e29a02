"""What has been found out about a strategy, and how an exception in its code is told."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Findings:
    """What has been found so far, each once."""

    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    ran: str = ""
    home: Path | None = None
    """Where the author's code lies."""

    def wrong(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def better(self, text: str) -> None:
        if text not in self.advice:
            self.advice.append(text)


class Stop(Exception):
    """Nothing more can be found out."""


@contextmanager
def told_as(what: str, found: Findings, where: str = "") -> Iterator[None]:
    """Notes an exception in the author's code as a problem, and stops there."""
    from bench.training.loop import NotFinite

    try:
        yield
    except (Stop, NotFinite):
        raise
    except PermissionError as error:
        found.wrong(
            f"{what}{where} looks at labels that it must not see: {error}{_place(error, found.home)}."
        )
        raise Stop from error
    except Exception as error:
        found.wrong(f"{what} fails{where}: {told(error, found)}.")
        raise Stop from error


def told(error: BaseException, found: Findings) -> str:
    """What an exception says, and where in the author's code it was raised."""
    # The quotes of a KeyError are those of its key; here it is a sentence of ours.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f"{type(error).__name__}: {' '.join(str(text).split())}{_place(error, found.home)}".rstrip(".")


def _place(error: BaseException, home: Path | None) -> str:
    """Where in the author's code it happened, the innermost."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if home is not None and (path == home or path.is_relative_to(home)):
            return f" ({path.name}, line {frame.lineno})"
    return ""


def home_of(kind: type) -> Path | None:
    """The folder of the package that a class is from, or its file if it is a module alone."""
    top = sys.modules.get(kind.__module__.partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path


def sentence(error: BaseException, found: Findings) -> str:
    """The same as a sentence; the harness says of a prediction what is wrong with it."""
    text = str(error)
    return text if text.startswith("predict()") else f"{told(error, found)}."
