"""What of the machine is used by default."""

from __future__ import annotations

import pytest

from bench.system import machine
from bench.system.machine import WORKER_MEMORY_MB, default_workers


@pytest.mark.parametrize(
    ("visible", "found"), [("0,1", ["0", "1"]), ("GPU-a", ["GPU-a"]), ("", []), ("-1", [])]
)
def test_visible_gpus(monkeypatch: pytest.MonkeyPatch, visible: str, found: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpus() == found


def test_one_worker_a_gpu_else_a_core_and_memory_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = 100 * WORKER_MEMORY_MB * 2**20
    monkeypatch.setattr(machine, "cores", lambda: 6)
    monkeypatch.setattr(machine, "available_memory", lambda: memory)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert default_workers() == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert default_workers() == 6
    monkeypatch.setattr(machine, "available_memory", lambda: memory // 50)
    assert default_workers() == 2
    monkeypatch.setattr(machine, "available_memory", lambda: 0)
    assert default_workers() == 1
