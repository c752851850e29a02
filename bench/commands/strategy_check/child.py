"""What is wrong with a strategy: the child process of ``bench.commands.strategy_check.check``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.commands.strategy_check.cell import check_cell
from bench.commands.strategy_check.findings import Findings, Stop, home_of, told
from bench.commands.strategy_check.space import check_space
from bench.commands.strategy_check.stages import check_stages
from bench.commands.strategy_check.traits import check_name, check_skips, check_texts, check_version
from bench.plans.strategies import ask_for, load_strategy
from bench.system.plugins import Unusable
from strategies.base import Info, Strategy

HEAVY = ("tensorflow", "keras", "torch", "jax")
SIZE = 32
INFO = Info("image", tuple("0123456789"), 72, True, SIZE, 32, 20_000)


def main(name: str, result: str) -> None:
    """Checks the strategy ``name`` and writes what was found to the file ``result``."""
    found = Findings()

    def write() -> None:
        content = {"problems": found.problems, "advice": found.advice, "ran": found.ran}
        Path(result).write_text(json.dumps(content), encoding="utf-8")

    try:
        strategy = _loaded(name, found)
        write()  # should what follows take the process with it
        check_name(name, strategy, found)
        check_version(strategy, found)
        check_texts(strategy, found)
        check_skips(strategy, INFO, found)
        space = check_space(strategy, found)
        if type(strategy).fit is Strategy.fit:  # a schedule
            check_stages(strategy, space, INFO, found)
        write()
        if not found.problems:
            check_cell(name, strategy.uses_backbone, SIZE, found)
    except Stop:
        pass
    write()


def _loaded(name: str, found: Findings) -> Strategy:
    """The strategy, once it can be made; loading it should not load Keras."""
    before = set(sys.modules)
    try:
        ask_for(name)
        kind, _ = load_strategy(name)
        found.home = home_of(kind)
        strategy: Strategy = kind()
    except Unusable as error:
        found.wrong(f"It cannot be loaded: {error}.")
        raise Stop from error
    except Exception as error:
        found.wrong(f"It has to be made without arguments, and that fails: {told(error, found)}.")
        raise Stop from error
    if heavy := [module for module in HEAVY if module in sys.modules and module not in before]:
        found.better(
            f"Loading it loads {heavy[0]}, which takes seconds wherever plans are checked or strategies listed: "
            "import it inside of methods."
        )
    return strategy
