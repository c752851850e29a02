"""The same picture more than once: exactly (decoded pixels) and nearly (looks). Never quadratic in the images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.modalities.evidence import numbered
from bench.system.files import rows_of

if TYPE_CHECKING:
    from bench.modalities.image.facts import Facts

DISTANCE = 10
"""Bits of 128 in which the hashes of lookalikes may differ."""

CORRELATION = 0.982
"""Least correlation of their thumbnails. With both, of 3,781 photographs of clothes one pair is found, a picture
that is labelled twice; and of 150 copies each re-encoded at quality 30, resized by 1/2 or 2, or 30% darker, all."""

PLAIN = 4.0
"""Standard deviation of the pixels below which a thumbnail has no looks to speak of."""

BANDS = 8
"""Parts of a hash, of 16 bits. Of two hashes that differ in fewer bits, one part at least is equal."""

WINDOW = 32
"""Hashes that each is compared with among those with an equal part: most have fewer, plain pictures more."""

PATIENCE = 64
"""Times that an image's thumbnail is compared in vain before it counts as one of many that look alike."""

PAIRS = 1024
"""Pairs of thumbnails that are compared at a time: these fit into the processor's cache."""


def identical(
    facts: Sequence[Facts], sha256: Sequence[str], full_digests: Callable[[set[int]], dict[int, bytes]]
) -> np.ndarray:
    """Numbers the distinct pictures.

    What was decoded at reduced size is decoded in full where its looks raise a suspicion, so that the answer
    does not depend on the size that images are decoded to.

    Args:
        facts: of each image.
        sha256: of each image's undecoded content.
        full_digests: gives the digests of all pixels of some images, as far as it can.

    Returns:
        int64, (N,): equal where the pixels are; numbered in the order of their first image.
    """
    keys: list[tuple[object, ...]] = [(f.width, f.height, f.digest, f.reduced) for f in facts]
    contents: dict[object, set[str]] = defaultdict(set)
    for key, content in zip(keys, sha256, strict=True):
        contents[key].add(content)
    suspects = {i for i, f in enumerate(facts) if f.reduced and len(contents[keys[i]]) > 1}
    suspects |= _reduced_and_not(facts)
    for i, full in full_digests(suspects).items():
        keys[i] = (facts[i].width, facts[i].height, full, False)
    return numbered(keys)


def _reduced_and_not(facts: Sequence[Facts]) -> set[int]:
    """Images decoded at reduced size that look the same as one of their size which was not, or that are plain."""
    sizes = [{(f.width, f.height) for f in facts if f.reduced is side} for side in (False, True)]
    rows = [i for i, f in enumerate(facts) if (f.width, f.height) in sizes[0] & sizes[1]]
    if not rows:
        return set()
    reduced = np.array([facts[i].reduced for i in rows])
    alike = lookalikes([facts[i] for i in rows], reduced) >= 0
    plain = np.array([facts[i].thumbnail.std(axis=(0, 1)).max() < PLAIN for i in rows])
    return {rows[i] for i in np.flatnonzero(reduced & (alike | plain)).tolist()}


def square_hashes(images: np.ndarray) -> np.ndarray:
    """Hashes of decoded images by which two datasets can be compared, whatever their files are called.

    Equal where the very same image was decoded to the same size in the same way.

    Args:
        images: uint8, (N, S, S, 3); they are read one after the other.

    Returns:
        uint8, (N, 16).
    """
    found = np.empty((len(images), 16), np.uint8)
    for start in range(0, len(images), PAIRS):
        block = rows_of(images, np.arange(start, min(start + PAIRS, len(images))))
        for i, image in enumerate(block, start):
            found[i] = np.frombuffer(hashlib.blake2b(image.data, digest_size=16).digest(), np.uint8)
    return found


def lookalikes(facts: Sequence[Facts], kinds: np.ndarray) -> np.ndarray:
    """Finds for each image one of another kind that looks the same: re-encoded, resized or brightened, say.

    Candidates agree in one of the parts of their hashes (multi-index hashing, Norouzi et al. 2012). For each
    part the hashes are sorted from that part on, and each is compared with those that follow: time and memory
    grow with N log N, also where very many are alike. Certain up to 7 differing bits where no part is shared by
    more than WINDOW images; likely up to DISTANCE.

    Args:
        facts: of each image, N.
        kinds: integers or booleans, (N,).

    Returns:
        int64, (N,): the index of an image that looks the same, or -1.
    """
    partner = np.full(len(facts), -1)
    if len(facts) < 2:
        return partner
    looks = _Looks(np.stack([f.thumbnail for f in facts]))
    hashes = looks.hashes
    words = hashes.view(np.uint64)
    compared = np.zeros(len(facts), np.int64)
    for band in range(BANDS):
        high, low = np.roll(hashes, -2 * band, axis=1).view(">u8").T
        order = np.lexsort((low, high))
        part = high[order] >> 48
        for step in range(1, WINDOW + 1):
            (first,) = np.nonzero(part[step:] == part[:-step])
            if not len(first):
                break
            a, b = order[first], order[first + step]
            wanted = (kinds[a] != kinds[b]) & ((partner[a] < 0) | (partner[b] < 0))
            wanted &= np.minimum(compared[a], compared[b]) < PATIENCE
            a, b = a[wanted], b[wanted]
            near = np.bitwise_count(words[a] ^ words[b]).sum(axis=1) <= DISTANCE
            a, b = a[near], b[near]
            compared[a] += 1
            compared[b] += 1
            alike = looks.correlation(a, b) >= CORRELATION
            a, b = a[alike], b[alike]
            for one, other in ((a, b), (b, a)):
                new = partner[one] < 0
                partner[one[new]] = other[new]
    return partner


def difference_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Where images get brighter to the right and downwards, on a grid of 8 x 8 (Krawetz 2013, with both edges
    joined): uint8, (N, 16).

    A bit is set where the brightness rises by more than a margin: in flat areas a faint noise would else set
    bits at random. The margin grows with the contrast, so that a darker copy has the same bits.
    """
    gray = thumbnails.mean(axis=3, dtype=np.float32)
    grid = gray.reshape(len(gray), 8, 2, 8, 2).mean(axis=(2, 4))
    margin = np.maximum(2, 0.1 * gray.std(axis=(1, 2)))[:, None, None]
    bits = [np.roll(grid, -1, axis) - grid > margin for axis in (2, 1)]
    return np.packbits(np.stack(bits, axis=1).reshape(len(gray), -1), axis=1)


class _Looks:
    """Thumbnails, uint8, (N, 16, 16, 3), of which pairs can be compared."""

    def __init__(self, thumbnails: np.ndarray) -> None:
        self._pixels = thumbnails.reshape(len(thumbnails), -1, 3)
        self._mean = np.empty((len(thumbnails), 3), np.float32)
        self._deviation = np.empty(len(thumbnails), np.float32)
        self.hashes = np.empty((len(thumbnails), 16), np.uint8)
        for start in range(0, len(thumbnails), PAIRS):
            rows = slice(start, start + PAIRS)
            pixels = self._pixels[rows].astype(np.float32)
            self._mean[rows] = pixels.mean(axis=1)
            self._deviation[rows] = np.sqrt(pixels.var(axis=1).mean(axis=1))
            self.hashes[rows] = difference_hashes(thumbnails[rows])

    def correlation(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Correlation of the pixels of pairs, each colour about its mean, float32, (P,); 0 for plain ones."""
        result = np.zeros(len(a), np.float32)
        for start in range(0, len(a), PAIRS):
            i, j = a[start : start + PAIRS], b[start : start + PAIRS]
            pixels = self._pixels[i].astype(np.float32)
            product = np.einsum("npc,npc->n", pixels, self._pixels[j].astype(np.float32))
            means = (self._mean[i] * self._mean[j]).mean(axis=1)
            scale = self._deviation[i] * self._deviation[j]
            covariance = product / pixels[0].size - means
            result[start : start + PAIRS] = np.where(scale < 1, 0, covariance / np.maximum(scale, 1))
        return result
