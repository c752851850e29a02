"""Data as Python objects: written once into the cache, by content, as a file that an adapter reads.

So a run finds them again in another process, and all that works with a file works with them.
"""

from __future__ import annotations

from bench.datasets.objects.keep import is_data, kept

__all__ = ["is_data", "kept"]
