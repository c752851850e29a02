"""What of the machine is used by default."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.execution.local import _Worker
from bench.system import machine, provenance
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


# ------------------------------------------------------------------------------------------------------- macOS
# `mypy --platform darwin` finds calls that it lacks. Here is what stands in for them.


def test_without_affinity_every_core_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert machine.cores() == 10


def test_without_proc_sysctl_names_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=FileNotFoundError))
    asked = Mock(return_value=Mock(stdout="Apple M4\n"))
    monkeypatch.setattr(subprocess, "run", asked)
    assert provenance._cpu_name() == "Apple M4"
    asked.side_effect = FileNotFoundError
    assert provenance._cpu_name()


def test_a_worker_that_has_ended_may_refuse_to_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "killpg", Mock(side_effect=PermissionError))
    worker = _Worker.__new__(_Worker)
    reading, writing = os.pipe()
    os.close(writing)
    worker.channel, worker.process, worker._stderr = reading, Mock(), Mock()
    worker.end()
    worker.process.wait.assert_called_once()
