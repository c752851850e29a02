"""A child process that checks something, and how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from bench.system import backend, machine

TAIL = 5
"""Lines of what a process said before it died that are shown."""

CHILD = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(*sys.argv[3:])"
)


def run_child(module: str, arguments: Sequence[str], seconds: float, what: str) -> tuple[str, str]:
    """Calls ``main`` of a module in a process of its own, on one core and without a GPU.

    Args:
        module: its full name.
        arguments: of ``main``.
        seconds: after which it counts as hanging.
        what: it ran on, for the message then.

    Returns:
        What the child said at its end, and how it ended, as sentences; empty if well.
    """
    environment = machine.environment(backend.chosen(), 1) | {"CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-c", CHILD, json.dumps(sys.path), module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "", f"It did not come to an end within {seconds:g} seconds, on {what}."
        if child.returncode == 0:
            return "", ""
        output.seek(0)
        said = " / ".join(output.read().strip().splitlines()[-TAIL:])
    return f"It said: {said}" if said else "", f"The process that ran it ended with code {child.returncode}."
