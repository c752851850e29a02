"""What this process may use of the machine: its cores and its memory, also inside a container."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from bench.system import backend as backends

_CGROUP_LIMITS = (
    # cgroup version 2, then 1: (limit, what is used of it)
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(backend: str, threads: int) -> dict[str, str]:
    """The environment of a process that trains: ours, with this Keras backend and just so many threads.

    What was set for threads outside does not count: with other threads than a cell's the numbers differ in their
    last digits, and training magnifies them.
    """
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONHASHSEED": "0"}
    for name, value in backends.environment(backend, threads).items():
        flags = os.environ.get(name, "") if name == "XLA_FLAGS" else ""
        settings[name] = f"{flags} {value}".strip()
    return settings


def gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def total_memory() -> int:
    """Bytes of memory that this process and its children may use at most."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _cgroups())])


def available_memory() -> int:
    """Bytes of memory that are free for use now."""
    return min([psutil.virtual_memory().available, *(max(0, limit - used) for limit, used in _cgroups())])


def _cgroups() -> list[tuple[int, int]]:
    found = []
    for limit, used in _CGROUP_LIMITS:
        try:
            # No limit is "max" in version 2 and a number beyond all memory in version 1.
            found.append((int(Path(limit).read_text()), int(Path(used).read_text())))
        except (OSError, ValueError):
            continue
    return found


WORKER_MEMORY_MB = 2500
"""What a worker is reckoned with when the default number of workers is chosen."""


def default_workers() -> int:
    """One a GPU; without any, as many as cores that this process may use; fewer where memory is short."""
    from bench.system import machine

    most = len(machine.gpus()) or machine.cores()
    return max(1, min(most, int(machine.available_memory() / 2**20 / WORKER_MEMORY_MB)))
