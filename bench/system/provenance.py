"""What a run was made with: versions, commit, hardware. Nothing here imports what it names."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "transfer-bench",
    "tensorflow",
    "keras",
    "keras-tuner",
    "numpy",
    "pandas",
    "pillow",
    "scikit-learn",
    "torch",
    "jax",
    "jaxlib",
)


def of_here() -> dict[str, Any]:
    """What a record says of where it was made: ``versions``, ``git``, ``hardware``."""
    return {"versions": versions(), "git": git_state(), "hardware": hardware()}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on, those installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Commit of this project's own checkout and whether it was changed since; None outside of one."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        # An installed copy may lie inside some other project's checkout: only a tracked file counts.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in GB, NVIDIA GPUs by name, operating system."""
    from bench.system import machine

    return {
        "cpu": _cpu_name(),
        "cores": machine.cores(),
        "memory_gb": round(machine.total_memory() / 2**30, 1),
        "gpu": _gpus(),
        "os": platform.platform(),
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # macOS
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                command, capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    cards = Path("/proc/driver/nvidia/gpus")
    names = []
    for card in sorted(cards.glob("*/information")):
        for line in card.read_text().splitlines():
            if line.startswith("Model:"):
                names.append(line.partition(":")[2].strip())
    return names
