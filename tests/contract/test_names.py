"""What is named as ``module:attribute`` in tables is there; importing what names it loads no Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from typing import Any

import pytest

from bench.commands.pretraining.pretrain import KEEP
from bench.datasets.companions.base import OPENERS
from bench.execution.executor import EXECUTORS
from bench.execution.jobs import Job
from bench.plans.protocol import PROTOCOLS, Protocol, protocol
from strategies import STRATEGIES


def _jobs(kind: type[Job] = Job) -> Iterator[type[Job]]:
    for found in kind.__subclasses__():
        yield found
        yield from _jobs(found)


NAMES = [
    *(job.handler for job in _jobs()),
    *(protocol(name).handler for name in PROTOCOLS),
    *(table[name] for table in (EXECUTORS, OPENERS, PROTOCOLS, STRATEGIES) for name in table),
    KEEP,
]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_there(name: str) -> None:
    pytest.importorskip("keras")
    assert callable(resolve_name(name))


def test_the_parent_needs_no_keras_for_its_protocols(python: Callable[..., Any]) -> None:
    code = (
        "import sys\n"
        "from bench.plans.protocol import PROTOCOLS, protocol\n"
        "from bench.modalities.registry import MODALITIES, modality\n"
        "[*map(protocol, PROTOCOLS), *map(modality, MODALITIES)]\n"
        "assert not {'keras', 'tensorflow', 'torch', 'jax', 'keras_tuner'} & set(sys.modules)\n"
    )
    result = python("-c", code)
    assert result.rc == 0, result.stderr


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_says_what_it_is(name: str) -> None:
    found = protocol(name)
    assert isinstance(found, Protocol)
    assert found.name == name
    assert set(found.strategies) <= set(STRATEGIES)
    assert found.shares_labels or found.instead_of_fractions
