"""What every backbone promises, tried on one: the child process of ``bench.commands.backbone_check.check``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.errors import BenchError
from bench.execution import keras_backend


def main(name: str, size: str, result: str) -> None:
    """Tries each promise of the backbone ``name`` and writes what was found to the file ``result``."""
    keras_backend.load(1)
    from bench.commands.backbone_check import promises

    holds: list[str] = []
    problems: list[str] = []

    def tried(promise: Callable[[], str]) -> bool:
        try:
            holds.append(promise())
        except (promises.Broken, BenchError) as error:
            problems.append(str(error))
        except Exception as error:  # of the layers of others
            reason = " ".join(str(error).split())[:300]
            problems.append(f"It failed where {promise.__doc__}: {type(error).__name__}: {reason}.")
        Path(result).write_text(json.dumps({"holds": holds, "problems": problems}), encoding="utf-8")
        return not problems

    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
        made = promises.Promises(name, int(size), Path(folder))
        # The later ones need the earlier ones.
        for promise in (
            made.map,
            made.cuts,
            made.halves,
            made.saved,
            made.frozen,
            made.again,
            made.precision,
        ):
            if not tried(promise) and promise in (made.map, made.cuts):
                return
