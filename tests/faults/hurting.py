"""Strategies that hurt: ``hurting:Segfault`` and so on. Given by name, they go wrong in the worker."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from strategies.base import Fitted, Info, Stage, Strategy, Task
from strategies.majority import Majority


class Hurting(Majority):
    """Does its harm in the search and would otherwise be ``majority``."""

    summary = "A test."

    def fit(self, task: Task, hp: Any) -> Fitted:
        self.harm(task.info)
        return super().fit(task, hp)

    def harm(self, info: Info) -> None:
        raise NotImplementedError


class Raise(Hurting):
    def harm(self, info: Info) -> None:
        raise ValueError("what <b>went</b> wrong")


class Segfault(Hurting):
    def harm(self, info: Info) -> None:
        import faulthandler

        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)


class Abort(Hurting):
    def harm(self, info: Info) -> None:
        os.abort()


class Exit(Hurting):
    def harm(self, info: Info) -> None:
        os._exit(7)


class Noise(Hurting):
    """Writes a lot to both streams, one of them not even text."""

    def harm(self, info: Info) -> None:
        os.write(1, b"\xff\x00{not json}\n" * 20_000)
        os.write(2, b"\xfe" * 200_000)


class Hang(Hurting):
    """Hangs for ever, and has started a process that does so too."""

    def harm(self, info: Info) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["HURTING_NOTE"]).write_text(str(child.pid))
        while True:
            time.sleep(1)


class Hungry(Hurting):
    """Asks for more memory than its process may have (RLIMIT_AS), whatever the batch."""

    def harm(self, info: Info) -> None:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28, before[1]))
        try:
            np.ones(2**30)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


class HungryWithLargeBatches(Hurting):
    def harm(self, info: Info) -> None:
        if info.batch_size > 16:
            raise MemoryError("no room for so large a batch")


class Diverging(Strategy):
    """A head whose loss is no number after the first step."""

    summary = "A test."

    def skip(self, info: Info) -> str | None:
        return None

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("head", cut="top", learning_rate=1e60, epochs=2)]
