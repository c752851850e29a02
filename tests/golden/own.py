"""A strategy that is not built in."""

from __future__ import annotations

from strategies.full_finetune import FullFinetune


class Own(FullFinetune):
    name = "own"
    summary = "A test."
