"""Reading many items in several threads, a few ahead of whoever uses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bench.system.machine import cores

T = TypeVar("T")
R = TypeVar("R")


ROOM = 2**28
"""Bytes of the items that wait, about."""


def ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yields ``function(item)`` in the order of the items. Worth it where it releases the interpreter lock.

    No more than a few items for each thread wait, and fewer where they are large (``nbytes``, as of an array).
    """
    threads = min(8, cores())
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        sizes: deque[int] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                sizes.append(getattr(item, "nbytes", 0))
                while len(waiting) >= 4 * threads or (waiting and sum(sizes) > ROOM):
                    sizes.popleft()
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
