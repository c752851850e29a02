"""``bench check-strategy``: tells the author of a strategy in words what is wrong with it.

The strategy is loaded and run in a child process, as a worker would: whatever it does, it does it there.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError
from bench.plans.strategies import ask_for, divided, load_strategy
from bench.system import backend, machine
from bench.system.plugins import Unusable

if TYPE_CHECKING:
    from strategies.base import Strategy

SECONDS = 300.0
"""After which a strategy counts as hanging."""
TAIL = 5
"""Lines of what a process said before it died that are shown."""

CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "import bench.commands.strategy_check.child as c; c.main(sys.argv[2], sys.argv[3])"
)


@dataclass(frozen=True)
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
        said, died = _run(name, result, seconds)
        if not result.exists():
            return StrategyCheck(name, (f"{died} {said}".strip(),))
        content: dict[str, Any] = json.loads(result.read_bytes())
    problems = [*content["problems"], *([died] if died else [])]
    return StrategyCheck(name, tuple(problems), tuple(content["advice"]), content["ran"])


def _run(name: str, result: Path, seconds: float) -> tuple[str, str]:
    """What the child said at its end, and how it ended, as a sentence; empty if well."""
    path = sys.path
    environment = machine.environment(backend.chosen(), 1) | {"CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-c", CHILD, json.dumps(path), name, str(result)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "", f"It did not come to an end within {seconds:g} seconds, on 72 images."
        if child.returncode == 0:
            return "", ""
        output.seek(0)
        said = " / ".join(output.read().strip().splitlines()[-TAIL:])
    return f"It said: {said}" if said else "", f"The process that ran it ended with code {child.returncode}."
