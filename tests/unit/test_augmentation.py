"""Augmentation: the same for the same seed, never mirrored where that is off, never beyond the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.modalities.image.augment import SMALLEST_CROP, Augmentation

KINDS = ("light", "strong", "affine")


def noise(n: int = 6, size: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def ramp(size: int = 32, axis: int = 1) -> np.ndarray:
    """Brighter to the right (axis 1) or to the bottom (axis 0): no mirror image of itself."""
    line = np.linspace(60, 190, size)
    plane = np.broadcast_to(line if axis else line[:, None], (size, size))
    return np.repeat(plane[..., None], 3, axis=2).astype(np.uint8)


def augmented(images: np.ndarray, kind: str, flip: bool, seed: int = 0) -> np.ndarray:
    return Augmentation(kind, flip)(images, np.random.default_rng(seed))


def test_none_is_the_identity() -> None:
    policy = Augmentation("none", True)
    assert not policy
    assert not Augmentation()
    rng = np.random.default_rng(0)
    images = noise()
    np.testing.assert_array_equal(policy(images, rng), noise())
    assert rng.random() == np.random.default_rng(0).random()  # nothing was drawn


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flip", [True, False])
@given(n=st.integers(0, 4), size=st.integers(8, 40), seed=st.integers(0, 99))
def test_shape_type_and_input_stay(kind: str, flip: bool, n: int, size: int, seed: int) -> None:
    images = noise(n, size, seed)
    result = augmented(images, kind, flip, seed)
    assert result.shape == images.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(images, noise(n, size, seed))


@pytest.mark.parametrize("kind", KINDS)
def test_read_only_images_will_do(kind: str) -> None:
    images = noise()
    images.setflags(write=False)
    result = augmented(images, kind, True)
    assert not np.array_equal(result, images)
    assert not np.shares_memory(result, images)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    first, again, other = (augmented(noise(), kind, True, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_one_images_view_does_not_depend_on_the_others(kind: str) -> None:
    images = noise()
    result = augmented(images, kind, True)
    np.testing.assert_array_equal(augmented(images[:2], kind, True), result[:2])
    changed = images.copy()
    changed[0] = 0
    np.testing.assert_array_equal(augmented(changed, kind, True)[1:], result[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_as_much_is_drawn_whatever_the_images_and_flip(kind: str) -> None:
    after = []
    for images, flip in ((noise(), True), (noise() // 2, False)):
        rng = np.random.default_rng(5)
        Augmentation(kind, flip)(images, rng)
        after.append(rng.random())
    assert after[0] == after[1]


def slopes(images: np.ndarray, axis: int) -> np.ndarray:
    """Mean change of brightness along an axis in the middle of each image, where nothing is padded."""
    middle = images[:, 12:20, 12:20].astype(float)
    return np.diff(middle, axis=axis + 1).mean(axis=(1, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_without_flip_nothing_is_ever_mirrored(kind: str) -> None:
    images = np.tile(ramp(), (500, 1, 1, 1))
    assert (slopes(augmented(images, kind, False), 1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_with_flip_half_are_mirrored_and_none_upside_down(kind: str) -> None:
    images = np.tile(ramp(), (500, 1, 1, 1))
    mirrored = slopes(augmented(images, kind, True), 1) < 0
    assert 0.4 < mirrored.mean() < 0.6
    upright = np.tile(ramp(axis=0), (500, 1, 1, 1))
    assert (slopes(augmented(upright, kind, True), 0) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_image_is_the_unmirrored_one_reversed(kind: str) -> None:
    images = noise(50)
    plain, maybe = augmented(images, kind, False), augmented(images, kind, True)
    kept = np.array([np.array_equal(a, b) for a, b in zip(plain, maybe, strict=True)])
    reversed_ = np.array([np.array_equal(a[:, ::-1], b) for a, b in zip(plain, maybe, strict=True)])
    assert (kept ^ reversed_).all()
    assert kept.any()
    assert reversed_.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_stays_inside_and_is_no_smaller_than_promised(kind: str) -> None:
    # A plain image stays plain (light): nothing from beyond its border is mixed in.
    plain = np.full((200, 16, 16, 3), 200, np.uint8)
    result = augmented(plain, kind, True)
    if kind != "strong":
        np.testing.assert_array_equal(result, plain)
    assert all(len(np.unique(image)) == 1 for image in result)
    # The range of a ramp that is seen tells the side of the crop and where it lies.
    if kind == "light":
        image = ramp(64)
        low, high = image[:, 0].mean(), image[:, -1].mean()
        seen = augmented(np.tile(image, (300, 1, 1, 1)), kind, False)
        first, last = seen[:, :, 0].mean(axis=(1, 2)), seen[:, :, -1].mean(axis=(1, 2))
        assert first.min() >= low
        assert last.max() <= high
        shares = (last - first) / (high - low)
        assert shares.min() >= SMALLEST_CROP[kind] - 0.04
        assert shares.max() > 0.95
        assert shares.min() < SMALLEST_CROP[kind] + 0.05


def test_strong_changes_brightness_and_stays_within_bytes() -> None:
    plain = np.full((300, 8, 8, 3), 128, np.uint8)
    levels = augmented(plain, "strong", False)[:, 0, 0, 0].astype(int)
    assert levels.min() < 90
    assert levels.max() > 166
    for level in (0, 255):  # clipped, not wrapped around
        edge = np.full((300, 8, 8, 3), level, np.uint8)
        found = augmented(edge, "strong", False).astype(int)
        assert np.abs(found - level).max() <= 0.3 * 255 * 1.5 + 1


def test_affine_moves_a_dot_by_what_it_says_and_pads_with_the_border() -> None:
    image = np.full((64, 64, 3), 250, np.uint8)
    image[30:34, 50:54] = 0
    seen = augmented(np.tile(image, (400, 1, 1, 1)), "affine", False)
    assert (np.median(seen, axis=(1, 2, 3)) == 250).all()
    assert (seen[:, [0, -1]] > 200).all()  # nothing black comes in
    dark = 250.0 - seen[..., 0]
    rows, columns = np.mgrid[:64, :64] + 0.5
    y, x = ((dark * place).sum(axis=(1, 2)) / dark.sum(axis=(1, 2)) - 32 for place in (rows, columns))
    assert (np.abs(x - 20).max(), np.abs(y).max()) > (3, 5)
    assert np.abs(x.mean() - 20) < 1
    assert np.abs(y.mean()) < 1
    move = 0.08 * 64
    assert np.hypot(x, y).max() <= 1.2 * 20 * 1.2 + 1.5 * move
    assert np.hypot(x, y).min() >= 20 / 1.2 / 1.2 - 1.5 * move


def test_affine_without_a_change_is_the_image() -> None:
    images = noise()
    np.testing.assert_array_equal(Augmentation("affine", False).apply(images, np.full((6, 6), 0.5)), images)
