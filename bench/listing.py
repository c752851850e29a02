"""``bench ls`` and ``bench cache``: what there is."""

from __future__ import annotations

from collections.abc import Callable


def list_strategies() -> None:
    """One line a strategy: name, summary, reference."""
    from strategies import STRATEGIES, get_strategy

    for name in STRATEGIES:
        strategy = get_strategy(name)
        print(f"{name:20} {strategy.summary}")
        if strategy.reference:
            print(f"{'':20} {strategy.reference}")


def list_backbones() -> None:
    """One line a backbone: name, parameters in millions, published ImageNet accuracy, smallest input, options."""
    from bench.backbones import BACKBONES

    print(f"{'name':20} {'params':>8} {'top-1':>6} {'min px':>7}  options")
    for info in BACKBONES.values():
        params = "" if info.params_millions is None else f"{info.params_millions:.1f} M"
        top1 = "" if info.imagenet_top1 is None else f"{info.imagenet_top1:.1f}"
        print(
            f"{info.name:20} {params:>8} {top1:>6} {info.minimum_size:>7}  {', '.join(info.options)}".rstrip()
        )
    print("\nEvery one takes weights=imagenet (default), weights=none, weights=PATH.weights.h5, or")
    print("weights=source:DIR of what `pretrain` has made; for instance MobileNet:alpha=0.25,weights=none.")
    print("EfficientNetLite0 brings its weights along.")


def list_datasets() -> None:
    """One line a kind of dataset."""
    from bench.datasets import known_datasets

    for name, summary in known_datasets():
        print(f"{name:22} {summary}")


def print_cache(kinds: list[str]) -> None:
    """One line a kind of cached things: how many, how much room they take, when one was last used."""
    from bench.cache import KINDS, age, entries, limit
    from bench.files import cache_dir

    print(cache_dir())
    for kind in kinds:
        found = entries(kind)
        size = sum(entry.bytes for entry in found) / 2**20
        used = age(max(entry.used for entry in found)) if found else ""
        print(f"{kind:10} {len(found):>6,} {size:>10,.1f} MiB  {used:>12}  {KINDS[kind]}".rstrip())
    print(f"Prefixes may take {limit() / 2**30:.1f} GiB (TRANSFER_BENCH_CACHE_GIB); the oldest go first.")


LISTINGS: dict[str, Callable[[], None]] = {
    "strategies": list_strategies,
    "backbones": list_backbones,
    "datasets": list_datasets,
}
