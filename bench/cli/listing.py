"""``bench ls`` and ``bench cache``: what there is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.backbones.registry import BackboneInfo
    from bench.system.plugins import Plugin
    from strategies.base import Strategy


def list_strategies() -> None:
    """A block a strategy: name and summary, when to use it, what it costs and searches, how long it trains."""
    from bench.plans.strategies import get_strategy
    from strategies import STRATEGIES
    from strategies.base import Strategy

    for name in STRATEGIES:
        print(_strategy(name, get_strategy(name)))
    _list_plugins(
        "strategies",
        Strategy,
        lambda plugin, kind: _strategy(plugin.name, kind(), plugin.package),
        STRATEGIES,
    )
    print("\nCosts are beside feature_extraction. Any other class: --strategy package.module:Class.")
    print("Trains: the number of steps, or the epochs if these take longer. --length 2 doubles both.")
    print("Give a value instead of a search: --strategy partial_finetune:unfreeze=0.25.")


def _strategy(name: str, strategy: Strategy, package: str = "") -> str:
    from bench.plans.given import hyperparameters
    from bench.plans.lengths import default_stages, described

    lines = {"When": strategy.when, "Cost": strategy.cost}
    with contextlib.suppress(
        Exception
    ):  # a space of others that uses more of keras-tuner than names and ranges
        lines["Searches"] = hyperparameters(strategy)
    lines["Trains"] = described(default_stages(strategy))
    told = [f"{title}: {line}" for title, line in lines.items() if line]
    told += [line for line in (strategy.reference, f"From {package}" if package else "") if line]
    return "\n".join([f"{name:20} {strategy.summary}", *(f"{'':20} {line}" for line in told)])


def list_backbones() -> None:
    """One line a backbone: name, parameters in millions, published ImageNet accuracy, smallest input, options."""
    from bench.backbones.plugin import BUILT_IN, BackbonePlugin, info_of, load_backbone
    from bench.backbones.registry import BACKBONES
    from bench.errors import RequestError
    from bench.modalities.registry import modality

    def other(plugin: Plugin, kind: type[BackbonePlugin]) -> str:
        info = info_of(plugin.name, kind())
        about = f"{info.summary} From {plugin.package}; weights={info.own_weights} (default)".strip()
        return f"{_backbone(info)}\n{'':20} {about}"

    print(f"{'name':20} {'params':>8} {'top-1':>6} {'min px':>7}  options")
    for info in BACKBONES.values():
        print(_backbone(info))
    for name in BUILT_IN:
        try:
            found = load_backbone(name)
            assert found is not None
            about = found.summary[0].upper() + found.summary[1:]
            print(
                f"{_backbone(info_of(name, found))}\n{'':20} For {modality(found.modality).noun.many}. {about}."
            )
        except RequestError as error:  # its packages are not installed
            print(f"{name:20} {error}")
    _list_plugins("backbones", BackbonePlugin, other, BACKBONES)
    print("\nEvery one takes weights=imagenet (default), weights=none, weights=PATH.weights.h5, or")
    print("weights=source:DIR of a `pretrain`. For instance: MobileNet:alpha=0.25,weights=none.")
    print(
        "EfficientNetLite0, MiniLM and SpeechEmbedding bring their weights along. Conv4 and SmallTransformer"
    )
    print("have none. Those for images take clips, too, as log-mel spectrograms.")
    print(
        "Models of the Hugging Face hub are hf:ORGANISATION/NAME or hf:FOLDER, presets of KerasHub preset:NAME"
    )
    print("or preset:FOLDER, and a file of yours is net.keras,pixels=0..1.")


def _backbone(info: BackboneInfo) -> str:
    params = "" if info.params_millions is None else f"{info.params_millions:.1f} M"
    top1 = "" if info.imagenet_top1 is None else f"{info.imagenet_top1:.1f}"
    return f"{info.name:20} {params:>8} {top1:>6} {info.minimum_size:>7}  {', '.join(info.options)}".rstrip()


def list_datasets() -> None:
    """One line a kind of dataset."""
    from bench.datasets import known_datasets
    from bench.datasets.plugin import DatasetPlugin
    from bench.datasets.source import PLUGIN

    for name, summary in known_datasets():
        print(f"{name:22} {summary}")
    _list_plugins(
        "datasets",
        DatasetPlugin,
        lambda plugin, kind: f"{PLUGIN + plugin.name:22} {kind.summary} From {plugin.package}",
    )


def list_columns() -> None:
    """A block a table: its columns, each with its meaning."""
    from reports.columns import TABLES

    for number, (table, columns) in enumerate(TABLES.items()):
        print(f"{chr(10) if number else ''}{table}:")
        for name, column in columns.items():
            print(f"  {name:22} {column.meaning}")


def _list_plugins(
    kind: str, base: type, describe: Callable[[Plugin, type[Any]], str], taken: Container[str] = ()
) -> None:
    """What other packages bring; of what is broken, a line that says why."""
    from bench.system.plugins import Unusable, plugins

    for plugin in plugins(kind, taken):
        try:
            print(describe(plugin, plugin.load(base)))
        except Exception as error:  # the code of others
            reason = str(error) if isinstance(error, Unusable) else f"{type(error).__name__}: {error}"
            where = "" if plugin.package in reason else f"{plugin.package}: "
            print(f"{plugin.name:20} BROKEN: {where}{' '.join(reason.split())}")


def print_cache(kinds: list[str]) -> None:
    """One line a kind of cached things: how many, how much room they take, when one was last used."""
    from bench.system.cache import KINDS, age, entries, limit
    from bench.system.files import cache_dir

    print(cache_dir())
    for kind in kinds:
        found = entries(kind)
        size = sum(entry.bytes for entry in found) / 2**20
        used = age(max(entry.used for entry in found)) if found else ""
        print(f"{kind:10} {len(found):>6,} {size:>10,.1f} MiB  {used:>12}  {KINDS[kind]}".rstrip())
    print(f"Prefixes may take {limit() / 2**30:.1f} GiB (TRANSFER_BENCH_CACHE_GIB). The oldest go first.")


LISTINGS: dict[str, Callable[[], None]] = {
    "strategies": list_strategies,
    "backbones": list_backbones,
    "datasets": list_datasets,
    "columns": list_columns,
}
