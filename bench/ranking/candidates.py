"""Which backbones can be ranked: those whose weights are here or can be had."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial

from bench.backbones.plugin import MODULE, built_in
from bench.backbones.registry import BACKBONES
from bench.backbones.spec import BackboneSpec, check_size, for_data, parse_backbone
from bench.backbones.weights import Weights, present, resolve_weights
from bench.errors import BenchError, RequestError
from bench.execution.executor import Executor
from bench.modalities.registry import modality, size_of
from bench.plans.plan import Plan
from bench.system.plugins import plugins

Say = Callable[[str], None]


ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications/"
"""Where Keras Applications have their weights."""


ONLINE_SECONDS = 5


NOT_HERE = "its weights are not on this machine"


def find_others(
    plan: Plan, kinds: Collection[str], weights: dict[BackboneSpec, Weights], runs: Executor, say: Say
) -> dict[str, str]:
    """Adds to ``weights`` all backbones whose ImageNet weights are there or can be had, and those of other packages
    that bring weights; says why not the rest.

    Args:
        plan: the sizes of inputs, and what may be downloaded.
        kinds: modalities of its datasets.
        weights: of the backbones that it names; is added to.
        runs, say: see ``bench.ranking.rank.rank_plan``.
    """
    names = [name for name, info in BACKBONES.items() if info.own_weights != "none"]
    everything = _fit([parse_backbone(name) for name in names], kinds)
    ours = [spec for spec in everything if spec.info.module == "efficientnet_lite"]
    of_packages, broken = _of_packages(kinds)
    found = _Found(plan, weights, runs)
    for spec in [*ours, *_fit(present(), kinds), *of_packages]:
        if spec not in weights:
            found.add(spec, download=False)
    missing = found.missing([spec for spec in everything if spec not in ours])
    _download(missing, found, say)
    return {spec.text: reason for spec, reason in found.reasons.items()} | broken


class _Found:
    """Backbones with their weights, and why others have none."""

    def __init__(self, plan: Plan, weights: dict[BackboneSpec, Weights], runs: Executor) -> None:
        self.plan, self.weights, self.runs = plan, weights, runs
        self.reasons: dict[BackboneSpec, str] = {}

    def size(self, spec: BackboneSpec) -> int:
        return size_of(vars(self.plan), spec.modality)

    def add(self, spec: BackboneSpec, download: bool) -> None:
        """Looks for the weights of a backbone."""
        try:
            check_size(spec, self.size(spec))
            ask = partial(self.runs.fetch, download=download)
            self.weights[spec] = resolve_weights(spec, self.size(spec), ask)
            self.reasons.pop(spec, None)
        except BenchError as error:
            self.reasons[spec] = str(error)

    def missing(self, specs: Sequence[BackboneSpec]) -> list[BackboneSpec]:
        """Those of them that may be downloaded, the smallest first."""
        found, most = [], self.plan.ranking.download
        for spec in specs:
            if spec in self.weights:
                continue
            if self.size(spec) < spec.limits[0]:
                self.reasons[spec] = modality(spec.modality).takes(spec.limits[0])
            elif (spec.info.params_millions or math.inf) <= most:
                found.append(spec)
            else:
                limit = f", and it has more than {most:g} million parameters (ranking.download)"
                self.reasons.setdefault(spec, NOT_HERE + (limit if most else ""))
        return sorted(found, key=lambda spec: spec.info.params_millions or 0.0)


def _of_packages(kinds: Collection[str]) -> tuple[list[BackboneSpec], dict[str, str]]:
    """The backbones made as plug-ins that bring weights; and by name, why others cannot be used."""
    found, broken = [], {}
    for name in [*built_in(kinds), *(plugin.name for plugin in plugins("backbones", BACKBONES))]:
        try:
            spec = parse_backbone(name)
        except RequestError as error:
            broken[name] = str(error)
            continue
        if spec.info.module == MODULE and spec.weights == "pretrained":
            found.append(spec)
    return _fit(found, kinds), broken


def _fit(specs: Sequence[BackboneSpec], kinds: Collection[str]) -> list[BackboneSpec]:
    """Those of them that take data of these modalities, each as it does."""
    found = dict.fromkeys(for_data(spec, kind) for kind in sorted(kinds) for spec in specs)
    return [spec for spec in found if spec.modality in kinds]


def _download(missing: Sequence[BackboneSpec], found: _Found, say: Say) -> None:
    """Downloads weights as long as there is a connection."""
    connected = bool(missing) and online()
    if connected:
        size = sum(spec.info.params_millions or 0.0 for spec in missing) * 4e6 / 2**30
        say(
            f"Downloading the weights of {len(missing)} networks, about {size:.1f} GiB, to rank them too; with "
            "ranking.download = 0 only those on this machine are ranked."
        )
    for spec in missing:
        if not connected:
            found.reasons.setdefault(spec, f"{NOT_HERE}, which has no connection to where they are")
            continue
        found.add(spec, download=True)
        connected = spec in found.weights or online()


def online() -> bool:
    """Whether the server of the weights answers, whatever it says."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(ORIGIN, method="HEAD"), timeout=ONLINE_SECONDS).close()
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True
