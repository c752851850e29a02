"""``bench check-strategy``: tells the author of a strategy in words what is wrong with it.

The strategy is loaded and run in a child process, as a worker would: whatever it does, it does it there.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.child import run_child
from bench.errors import RequestError
from bench.plans.strategies import ask_for, divided, load_strategy
from bench.system import backend
from bench.system.plugins import Unusable

if TYPE_CHECKING:
    from strategies.base import Strategy

SECONDS = 300.0
"""After which a strategy counts as hanging."""
CHILD = "bench.commands.strategy_check.child"


@dataclass(frozen=True, repr=False)
class StrategyCheck:
    """The findings about a strategy.

    Attributes:
        strategy: its name.
        problems: the harness would refuse it, or its numbers could not be trusted.
        advice: what would be better otherwise.
        ran: what was run, as a sentence. Empty if it came to nothing.
    """

    strategy: str
    problems: tuple[str, ...]
    advice: tuple[str, ...] = ()
    ran: str = ""

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def __str__(self) -> str:
        """Problems first, then advice."""
        number = len(self.problems)
        what = "nothing wrong" if self.ok else f"{number} problem{'s' if number > 1 else ''}"
        lines = [f"{self.strategy}: {what}", *(f"- {problem}" for problem in self.problems)]
        if self.advice:
            lines += ["", "Worth changing:", *(f"- {text}" for text in self.advice)]
        return "\n".join([*lines, *(["", self.ran] if self.ran else [])])

    __repr__ = __str__


def check_strategy(strategy: str | type[Strategy], seconds: float = SECONDS) -> StrategyCheck:
    """Checks a strategy: what it says of itself, its space, its stages, and two runs on a few images of digits.

    It runs as the harness would run it, with search, refit and test, on a small network of random weights. It
    runs twice, because a strategy gives the same again. That takes about ten seconds.

    Args:
        strategy: a name, ``package.module:Class``, or the class itself.
        seconds: after which it counts as hanging.

    Raises:
        RequestError: there is none of this name, hyperparameters are given with it, or the Keras backend cannot be
            used.
    """
    backend.chosen()
    name = strategy if isinstance(strategy, str) else f"{strategy.__module__}:{strategy.__qualname__}"
    if "<locals>" in name:
        lost = "It is defined inside of a function, where workers, which get its name only, cannot find it."
        return StrategyCheck(name, (f"{lost} Put it into a module.",))
    name, given = divided(name)
    if given:
        remedy = f"The check covers all that it searches. Leave out {':' + given!r}."
        raise RequestError("strategy", f"{name}:{given}", "a strategy without given values", remedy)
    with contextlib.suppress(Unusable):  # the child finds out the same, and what else there is
        ask_for(name)
        load_strategy(name)
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
        result = Path(folder) / "result.json"
        said, died = run_child(CHILD, [name, str(result)], seconds, "72 images")
        if not result.exists():
            return StrategyCheck(name, (f"{died} {said}".strip(),))
        content: dict[str, Any] = json.loads(result.read_bytes())
    problems = [*content["problems"], *([died] if died else [])]
    return StrategyCheck(name, tuple(problems), tuple(content["advice"]), content["ran"])
