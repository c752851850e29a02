"""Pixel values keep their meaning: whatever the type and range, the same pictures look the same, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.commands.export.images import Images
from bench.datasets import Dataset, open_dataset
from bench.errors import BenchError, RequestError
from bench.modalities.base import Unreadable
from bench.modalities.image.audit import _brightness
from bench.modalities.image.decode import decode
from bench.modalities.image.input import ImageInput
from bench.modalities.image.levels import Levels, Scale, Undecided
from bench.modalities.image.pictures import FilePicture
from tests.unit.image_files import png16, saved, tiff, twelve_bits

SIZE, COUNT = 8, 20


def pictures(style: str = "noise", seed: int = 0) -> np.ndarray:
    """Gray pictures that use all of 0 to 1: float64, (COUNT, SIZE, SIZE)."""
    rng = np.random.default_rng(seed)
    x = rng.random((COUNT, SIZE, SIZE))
    if style == "strokes":
        x = np.where(rng.random(x.shape) < 0.1, 0.3 + 0.7 * x, 0)
    elif style == "faint":
        x = 0.4 + 0.1 * x
    elif style == "bright":
        x = 1 - 0.1 * x
    x[0, 0, :2] = 0, 1
    return x


def shown(x: np.ndarray, limit: float = 255) -> np.ndarray:
    """What pictures look like that are stored as whole numbers up to a limit: uint8."""
    return np.rint(np.rint(x * limit) * (255 / limit)).astype(np.uint8)


def of_arrays(path: Path, **arrays: Any) -> Dataset:
    np.savez(path, **arrays)
    return open_dataset(str(path), ImageInput(SIZE))


def of_files(
    folder: Path, files: list[bytes], suffix: str, parts: Callable[[int], str] = lambda i: ""
) -> Dataset:
    for i, data in enumerate(files):
        path = folder / parts(i) / "ab"[i % 2] / f"{i:02d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return open_dataset(str(folder), ImageInput(SIZE))


def images(dataset: Dataset) -> np.ndarray:
    """In the order of the numbers in their ids, one channel."""
    by_number = {
        int("".join(filter(str.isdigit, id))): image[..., 0]
        for part in (dataset.pool, dataset.test)
        for id, image in zip(part.ids, part.data, strict=True)
    }
    return np.stack([by_number[i] for i in sorted(by_number)])


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found.astype(int) - expected.astype(int)).max() <= 1)


def kinds(dataset: Dataset, level: str = "") -> set[str]:
    return {f.kind for f in dataset.findings if f.level.startswith(level)}


LABELS = np.arange(COUNT) % 2
LIMITS = (1, 3, 15, 16, 255, 1023, 4095, 16383, 65535)
HOLDING = {255: ["u1", "u2", "i2", "u4", "i8", "f2", "f4", "f8"], 65535: ["u2", "i4", "u4", "i8", "f4", "f8"]}

whole = [(limit, dtype) for limit in LIMITS for dtype in HOLDING[255 if limit <= 255 else 65535]]
stored = st.one_of(
    st.sampled_from(whole).map(lambda w: (w[0], lambda x: np.rint(x * w[0]).astype(w[1]))),
    st.sampled_from(["f2", "f4", "f8"]).map(lambda t: (255, lambda x: (shown(x) / 255).astype(t))),
    st.sampled_from(["f4", "f8"]).map(lambda t: (255, lambda x: (shown(x) / 127.5 - 1).astype(t))),
    st.sampled_from(["f4", "f8"]).map(lambda t: (65535, lambda x: np.minimum(x * 255, 255).astype(t))),
    st.sampled_from(["i1", "i2", "i8", "f4"]).map(lambda t: (255, lambda x: (shown(x) - 128.0).astype(t))),
    st.sampled_from(["i2", "i4"]).map(lambda t: (65535, lambda x: np.rint(x * 65535 - 32768).astype(t))),
    st.just((1, lambda x: np.rint(x).astype(bool))),
)
channels = st.sampled_from(["gray", "last", "rgb"])


@given(stored, st.sampled_from(["noise", "strokes", "faint", "bright"]), st.integers(0, 99), channels)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_type_and_range_of_the_same_pictures_looks_the_same_or_is_refused(
    tmp_path: Path, how: tuple[int, Callable[[np.ndarray], np.ndarray]], style: str, seed: int, shape: str
) -> None:
    limit, store = how
    x = pictures(style, seed)
    values = store(x)
    if shape != "gray":
        values = np.stack([values] * (3 if shape == "rgb" else 1), axis=-1)
    try:
        found = images(of_arrays(tmp_path / "data.npz", x=values, y=LABELS))
    except RequestError:
        assert style in ("faint", "bright")  # one pixel alone shows where black is
        return
    assert same(found, shown(x, limit))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_the_common_ranges_are_not_refused(low: float, high: float) -> None:
    values = low + (high - low) * pictures()
    assert Levels.of(values.astype(np.float32)).scale() == Scale(low, high)


@pytest.mark.parametrize("limit", LIMITS)
def test_the_real_depth_of_whole_numbers_counts(limit: int) -> None:
    for dtype in ("u2", "i4", "f4"):
        assert Levels.of(np.rint(pictures() * limit).astype(dtype)).scale() == Scale(0, limit)


def with_some(x: np.ndarray, *values: float, share: float = 0.0005) -> np.ndarray:
    """The same with a share of its values replaced."""
    flat = np.tile(x, (10, 1, 1)).reshape(-1).copy()
    flat[: max(1, round(share * flat.size))] = np.resize(values, max(1, round(share * flat.size)))
    return flat


def test_a_few_values_beyond_the_range_do_not_make_the_rest_black() -> None:
    x = pictures()
    assert Levels.of(with_some(x, 1.02, share=0.008)).scale() == Scale(0, 1)
    assert Levels.of(with_some(x, -0.03, 1.03, share=0.008)).scale() == Scale(0, 1)
    assert Levels.of(with_some(x, 255.0)).scale() == Scale(0, 1)
    assert Levels.of(with_some(x, -9999.0)).scale() == Scale(0, 1)
    twelve = np.rint(x * 4095).astype(np.int32)
    assert Levels.of(with_some(twelve, 65535)).scale() == Scale(0, 4095)
    assert Levels.of(with_some(twelve, -1)).scale() == Scale(0, 4095)
    assert Levels.of(with_some(np.rint(x * 255).astype("i2"), -7, 262, share=0.008)).scale() == Scale(0, 255)


def test_signal_is_no_exception() -> None:
    bright = np.zeros(100_000, np.uint16)
    bright[:50] = np.linspace(300, 60_000, 50)  # stars
    assert Levels.of(bright).scale() == Scale(0, 65535)
    tail = np.rint(np.random.default_rng(0).exponential(600, 100_000)).clip(0, 65535).astype(np.uint16)
    assert Levels.of(tail).scale().white >= 4095


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.linspace(-1024, 3071, 999).astype("i2"), "-1,024 to 3,071.*WHITE - BLACK"),
        (np.r_[np.linspace(0, 3000, 999), [-1024] * 4].astype("i2"), "-1,024 to 3,000"),
        (np.linspace(-2.1, 2.6, 999), "-2.1 to 2.6, with fractions.*BLACK"),
        (np.linspace(0, 1.3, 999), r"0 is black and 1 is white: x = np.clip\(x, 0, 1\)"),
        (np.linspace(-30, 290, 999), r"np.clip\(x, 0, 255\)"),
        (np.linspace(0, 9, 999), "0 to 9, with fractions"),
        (np.linspace(0, 3000, 999), "0 to 3,000, with fractions"),
        (np.linspace(0, 1e6, 999).astype(int), "0 to 1e.06"),
        (np.array([0, np.nan, 1]), "NaN"),
        (np.array([0, np.inf, 1]), "NaN or infinite"),
    ],
)
def test_values_that_do_not_say_what_is_black_are_refused(values: np.ndarray, says: str) -> None:
    with pytest.raises(Undecided, match=says):
        Levels.of(values).scale()


def test_levels_of_parts_add_up() -> None:
    x = np.rint(pictures() * 4095).astype("i4") - 50
    assert Levels.of(x[:7]) + Levels.of(x[7:]) == Levels.of(x)
    assert np.isnan((Levels.of(x) + Levels.of(np.array([np.nan]))).low)


# ----------------------------------------------------------------------------------------------------- parts


def test_parts_of_different_ranges_are_refused_and_both_are_named(tmp_path: Path) -> None:
    x = shown(pictures())
    ranges = [
        (x / 255, x.astype("f4")), (x.astype("f4"), x / 255), (x / 255, x), (x, (x > 127).astype("u1")),
        (x.astype("u2"), x.astype("u2") * 16), (x / 127.5 - 1, x / 255), (x, x.astype("i2") - 128),
    ]  # fmt: skip
    for train, test in ranges:
        for other in ("test", "val"):
            parts = {"x_train": train, "y_train": LABELS, f"x_{other}": test, f"y_{other}": LABELS}
            with pytest.raises(
                RequestError, match=f"x_train are .*, those of x_{other}|x_{other} are .* x_train"
            ):
                of_arrays(tmp_path / "mixed.npz", **parts)
    files = [saved(image.astype(np.uint16) * (1 if i % 4 < 2 else 16), "PNG") for i, image in enumerate(x)]
    with pytest.raises(RequestError, match=r"test images 0 to 4,0\d\d"):
        of_files(tmp_path / "files", files, "png", lambda i: ("train", "test")[i % 4 >= 2])


def test_parts_of_one_range_in_several_types_are_no_reason_to_refuse(tmp_path: Path) -> None:
    x = shown(pictures())
    parts = {"x_train": x, "y_train": LABELS, "x_test": x.astype("f4"), "y_test": LABELS}
    dataset = of_arrays(tmp_path / "types.npz", **parts)
    assert np.array_equal(dataset.pool.data, dataset.test.data)
    dark = of_arrays(tmp_path / "dark.npz", **(parts | {"x_test": x // 4}))
    assert same(dark.test.data[..., 0], x // 4)  # one scale for both
    assert "test_brightness" in kinds(dark, "validity")


# ----------------------------------------------------------------------------------------------------- files


def gray(x: np.ndarray, limit: int = 4095, dtype: str = "u2") -> np.ndarray:
    return np.rint(x * limit).astype(dtype)


FILES: dict[str, tuple[int, str, Callable[[np.ndarray], bytes]]] = {
    "16-bit png of 12 bits": (4095, "png", lambda x: saved(gray(x), "PNG")),
    "16-bit tiff of 10 bits": (1023, "tif", lambda x: saved(gray(x, 1023), "TIFF")),
    "compressed tiff": (4095, "tif", lambda x: saved(gray(x), "TIFF", compression="tiff_lzw")),
    "32-bit tiff of 14 bits": (16383, "tif", lambda x: saved(gray(x, 16383, "i4"), "TIFF")),
    "unsigned 32-bit tiff": (4095, "tif", lambda x: tiff(gray(x, 4095, "<u4").tobytes(), SIZE, SIZE, 32)),
    "float tiff of 0 to 1": (255, "tif", lambda x: saved((shown(x) / 255).astype("f4"), "TIFF")),
    "float tiff of -1 to 1": (255, "tif", lambda x: saved((shown(x) / 127.5 - 1).astype("f4"), "TIFF")),
    "float tiff of 12 bits": (4095, "tif", lambda x: saved(gray(x, 4095, "f4"), "TIFF")),
    "pgm with maximum 4095": (4095, "pgm", lambda x: b"P5 8 8 4095\n" + gray(x, 4095, ">u2").tobytes()),
    "pgm with 12 of 16 bits": (4095, "pgm", lambda x: b"P5 8 8 65535\n" + gray(x, 4095, ">u2").tobytes()),
    "pgm with maximum 15": (15, "pgm", lambda x: b"P5 8 8 15\n" + gray(x, 15, "u1").tobytes()),
    "16-bit rgb png of 12 bits": (4095, "png", lambda x: png16(np.stack([gray(x)] * 3, -1))),
    "16-bit rgba png of 12 bits": (
        4095, "png", lambda x: png16(np.stack([*[gray(x)] * 3, np.full((SIZE, SIZE), 65535)], -1))
    ),
    "16-bit gray with opacity": (
        4095, "png", lambda x: png16(np.stack([gray(x), np.full((SIZE, SIZE), 65535)], -1))
    ),
    "16-bit rgb tiff of 12 bits": (
        4095, "tif",
        lambda x: tiff(np.stack([gray(x)] * 3, -1).tobytes(), SIZE, SIZE, 16, samples=3, photometric=2),
    ),
    "deflated 16-bit rgb tiff of 12 bits": (
        4095, "tif",
        lambda x: tiff(
            np.stack([gray(x)] * 3, -1).tobytes(), SIZE, SIZE, 16, samples=3, photometric=2, compression=8
        ),
    ),
    "12-bit tiff": (4095, "tif", lambda x: tiff(twelve_bits(gray(x)), SIZE, SIZE, 12)),
    "16-bit tiff, white is zero": (
        4095, "tif", lambda x: tiff((4095 - gray(x)).tobytes(), SIZE, SIZE, 16, photometric=0)
    ),
    "signed 16-bit tiff": (
        65535, "tif",
        lambda x: tiff((gray(x, 65535, "i4") - 32768).astype("<i2").tobytes(), SIZE, SIZE, 16, sample_format=2),
    ),
    "signed 8-bit tiff": (
        255, "tif",
        lambda x: tiff((shown(x).astype(int) - 128).astype("i1").tobytes(), SIZE, SIZE, 8, sample_format=2),
    ),
    "mask of 0 and 1": (1, "png", lambda x: saved(gray(x, 1, "u1"), "PNG")),
    "mask of 0 to 3": (3, "bmp", lambda x: saved(gray(x, 3, "u1"), "BMP")),
    "rgb mask of 0 and 1": (1, "png", lambda x: saved(np.stack([gray(x, 1, "u1")] * 3, -1), "PNG")),
    "digits of 0 to 16": (16, "png", lambda x: saved(gray(x, 16, "u1"), "PNG")),
    "one bit": (1, "png", lambda x: saved(x >= 0.5, "PNG")),
    "8 bits": (255, "png", lambda x: saved(shown(x), "PNG")),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_depth_show_the_picture(tmp_path: Path, name: str) -> None:
    limit, suffix, write = FILES[name]
    x = pictures()
    x[1:] *= 0.2  # all but one use the lower part of the range alone
    dataset = of_files(tmp_path, [write(image) for image in x], suffix)
    assert not dataset.left_out
    assert same(images(dataset), shown(x, limit))
    plain = (limit == 255 and suffix == "png") or name in ("one bit", "pgm with maximum 15")
    assert ("scaled_values" in kinds(dataset)) == (not plain)


def test_colours_of_16_bits_keep_all_of_them_and_their_opacity() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4096, (SIZE, SIZE, 4))
    values[..., 3] = 65535
    values[:2, :, 3] = 0
    values[2, 0, :3] = 4095
    found = decode(png16(values), SIZE, "stretch")[0]
    assert (found[:2] == 255).all()
    assert same(found[2:], np.rint(values[2:, :, :3] * (255 / 4095)))


def test_8_bit_and_deeper_files_beside_each_other_have_their_own_scale(tmp_path: Path) -> None:
    x = pictures()
    files = [saved(shown(image) if i % 3 else gray(image), "PNG") for i, image in enumerate(x)]
    assert same(images(of_files(tmp_path, files, "png")), shown(x, 4095))


def test_files_that_cannot_be_read_rightly_are_refused_or_left_out(tmp_path: Path) -> None:
    x = pictures()
    hounsfield = [saved((image * 3000 - 1000).astype("i4"), "TIFF") for image in x]
    with pytest.raises(RequestError, match=r"-1,000 to 2,000.*8-bit files"):
        of_files(tmp_path / "ct", hounsfield, "tif")
    floats = [saved(image.astype("f4"), "TIFF") for image in x]
    floats[3] = saved(np.full((SIZE, SIZE), np.nan, "f4"), "TIFF")
    dataset = of_files(tmp_path / "nan", floats, "tif")
    assert [reason for _, reason in dataset.left_out] == ["some values are NaN or infinite"]
    planes = tiff(bytes(2 * 3 * SIZE * SIZE), SIZE, SIZE, 16, samples=3, photometric=2, planes=2)
    with pytest.raises(Unreadable, match="separate planes"):
        decode(planes, SIZE)


def test_a_file_that_changes_between_two_looks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = FilePicture.decode, set()

    def once(self: FilePicture, *arguments: Any) -> Any:
        if self.path in asked:
            raise Unreadable("file not found")
        asked.add(self.path)
        return real(self, *arguments)

    monkeypatch.setattr(FilePicture, "decode", once)
    files = [saved(gray(image * (1 if i else 0.2)), "PNG") for i, image in enumerate(pictures())]
    with pytest.raises(BenchError, match=r"a/00\.png was changed while it was read: file not found"):
        of_files(tmp_path / "x", files, "png")


def test_a_scale_is_decided_by_all_images_and_never_by_one(tmp_path: Path) -> None:
    x = pictures() * np.linspace(0.05, 1, COUNT)[:, None, None]
    for name, limit, files in (
        ("deep", 4095, [saved(gray(image), "PNG") for image in x]),
        ("mask", 3, [saved(gray(image, 3, "u1"), "PNG") for image in x]),
        ("float", 65535, [saved(image.astype("f4") * 255, "TIFF") for image in x]),
    ):
        assert same(images(of_files(tmp_path / name, files, "png")), shown(x, limit))


# ------------------------------------------------------------------------------------------------------- net


def test_images_that_use_few_gray_levels_touch_validity(tmp_path: Path) -> None:
    x = pictures()
    for low, word in ((0, "dark"), (100, "faint"), (215, "bright")):
        dataset = of_arrays(tmp_path / f"{word}.npz", x=np.rint(low + 40 * x).astype("u1"), y=LABELS)
        (finding,) = [f for f in dataset.warnings if f.kind == "narrow_range"]
        assert word in finding.text
    assert "narrow_range" not in kinds(of_arrays(tmp_path / "full.npz", x=shown(x), y=LABELS))


def test_thin_lines_are_enough_to_see(tmp_path: Path) -> None:
    page = np.full((COUNT, 160, 160), 255, np.uint8)
    for i, image in enumerate(page):
        image[40 + 3 * i] = 0
    for name, x in (("white", page), ("black", 255 - page)):
        np.savez(tmp_path / f"{name}.npz", x=x, y=LABELS)
        dataset = open_dataset(str(tmp_path / f"{name}.npz"), ImageInput(160))
        assert not {"narrow_range", "black_images"} & kinds(dataset)


def test_uniform_images_are_named_with_their_share(tmp_path: Path) -> None:
    x = shown(pictures())
    x[4], x[7] = 0, 200 + x[7] % 2
    (finding,) = [
        f for f in of_arrays(tmp_path / "x.npz", x=x, y=LABELS).findings if f.kind == "uniform_images"
    ]
    assert finding.level == "validity"
    assert "2 images (10.0%)" in finding.text
    assert [item["id"] for item in finding.items] == ["00004", "00007"]


def test_half_of_the_images_in_another_range_are_seen(tmp_path: Path) -> None:
    x = shown(pictures())
    mixed = x.astype("f4")
    mixed[::3] /= 255
    assert {"uniform_images", "black_images"} <= kinds(
        of_arrays(tmp_path / "x.npz", x=mixed, y=LABELS), "validity"
    )
    files = [saved(image.astype("u2") * (1 if i % 3 == 0 else 16), "PNG") for i, image in enumerate(x)]
    dataset = of_files(tmp_path / "files", files, "png")
    (finding,) = [f for f in dataset.warnings if f.kind == "black_images"]
    assert {int(item["id"][2:4]) for item in finding.items} == set(range(0, COUNT, 3))


def test_brightness_of_a_test_part_is_compared_within_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 30)
    x = (rng.integers(0, 100, (60, SIZE, SIZE)) + 100 * y[:, None, None]).astype("u1")

    def told(name: str, test: np.ndarray, labels: np.ndarray) -> bool:
        return "test_brightness" in kinds(
            of_arrays(tmp_path / name, x=x, y=y, x_test=test, y_test=labels), "validity"
        )

    assert not told("same.npz", x[::2], y[::2])
    assert not told("classes.npz", x[25:], y[25:])  # other shares of the classes explain it
    assert told("darker.npz", x[::2] // 2, y[::2])
    assert not told("slightly.npz", x[::2] + 3, y[::2])


@pytest.mark.parametrize("given", [True, False])
def test_brightness_of_a_drawn_test_part_is_chance(given: bool) -> None:
    evidence: Any = SimpleNamespace(
        given=given, labels=LABELS, in_test=np.arange(COUNT) < 6, class_names=("a", "b")
    )
    found = _brightness(evidence, np.where(evidence.in_test, 50.0, 150.0) + np.arange(COUNT) % 3)
    assert bool(found) == given


def test_clipped_values_are_told(tmp_path: Path) -> None:
    x = np.tile(gray(pictures()), (1, 2, 2)).astype("u2")
    x[3, 0, 0] = 65535
    dataset = of_arrays(tmp_path / "hot.npz", x=x, y=LABELS)
    (finding,) = [f for f in dataset.warnings if f.kind == "clipped_values"]
    assert [item["id"] for item in finding.items] == ["00003"]
    assert images(dataset).max() > 200
    over = np.tile(pictures(), (1, 2, 2))
    over[3, 0, 0] = 1.04
    dataset = of_arrays(tmp_path / "over.npz", x=over, y=LABELS)
    assert "clipped_values" in kinds(dataset, "note")


def test_ordinary_images_have_no_new_findings(tmp_path: Path) -> None:
    new = {
        "scaled_values",
        "clipped_values",
        "narrow_range",
        "uniform_images",
        "black_images",
        "test_brightness",
    }
    for name, x in (("gray", shown(pictures())), ("channel", shown(pictures())[..., None])):
        assert not new & kinds(of_arrays(tmp_path / f"{name}.npz", x=x, y=LABELS))
    files = [saved(shown(image), "PNG") for image in pictures()]
    assert not new & kinds(of_files(tmp_path / "png", files, "png"))
    rng = np.random.default_rng(0)
    photos = [saved(rng.integers(0, 256, (40, 40, 3), np.uint8), "JPEG") for _ in range(COUNT)]
    dataset = of_files(tmp_path / "jpg", photos, "jpg")
    assert not new & kinds(dataset)
    black = Image.new("RGB", (9, 9))
    assert not decode(saved(np.asarray(black), "PNG"), SIZE)[0].any()


@pytest.mark.parametrize("deep", [False, True])
def test_an_export_of_deep_files_holds_their_pixels(tmp_path: Path, deep: bool) -> None:
    x = pictures()
    dataset = of_files(tmp_path / "x", [saved(gray(i) if deep else shown(i), "PNG") for i in x], "png")
    cell = SimpleNamespace(dataset=dataset.spec, task=dataset.task.name)
    recipe: Any = SimpleNamespace(dataset=dataset, cell=cell)
    Images().write_examples(recipe, tmp_path)
    assert (tmp_path / "images.npz").exists() == deep
    assert (tmp_path / "labels.csv").exists() != deep


# --------------------------------------------------------------------------------------------- opacity


def with_alpha(alpha: Callable[[np.ndarray], np.ndarray]) -> list[bytes]:
    x = shown(pictures())
    return [saved(np.dstack([g, g, g, alpha(g[::-1])]).astype(np.uint8), "PNG") for g in x]


def test_a_fourth_channel_that_is_no_opacity_is_named(tmp_path: Path) -> None:
    assert "veiled_images" in kinds(of_files(tmp_path / "files", with_alpha(lambda g: g), "png"), "validity")
    x = shown(pictures())
    arrays = of_arrays(tmp_path / "a.npz", x=np.stack([x, x, x, x[::-1]], -1), y=np.arange(COUNT) % 2)
    assert "veiled_images" in kinds(arrays, "validity")


def test_images_that_are_wholly_transparent_say_so(tmp_path: Path) -> None:
    dataset = of_files(tmp_path / "files", with_alpha(lambda g: 0 * g), "png")
    assert "transparent_images" in kinds(dataset, "validity")
    assert "uniform_images" not in kinds(dataset)


@pytest.mark.parametrize("alpha", [lambda g: 0 * g + 255, lambda g: np.where(g > 60, 255, 0)])
def test_opacity_that_cuts_out_is_no_trouble(
    tmp_path: Path, alpha: Callable[[np.ndarray], np.ndarray]
) -> None:
    dataset = of_files(tmp_path / "files", with_alpha(alpha), "png")
    assert not {"veiled_images", "transparent_images"} & kinds(dataset)


# --------------------------------------------------------------------------------- bands and slices


@pytest.mark.parametrize(("bands", "bits"), [(5, 8), (4, 16), (13, 16)])
def test_bands_that_cannot_be_read_are_named(tmp_path: Path, bands: int, bits: int, capfd: Any) -> None:
    data = bytes(bands * SIZE * SIZE * bits // 8)
    good = [saved(x, "TIFF") for x in shown(pictures())]
    bad = [tiff(data, SIZE, SIZE, bits, samples=bands)] * 2
    dataset = of_files(tmp_path / "files", [*good, *bad], "tif")
    assert {reason for _, reason in dataset.left_out} == {
        f"TIFF of {bands} bands of {bits} bits, which is not read: save one or three bands"
    }
    assert capfd.readouterr() == ("", "")


def stack(first: np.ndarray, *others: np.ndarray) -> bytes:
    pages = [Image.fromarray(x) for x in others]
    return saved(first, "TIFF", save_all=True, append_images=pages)


def test_stacks_of_which_one_slice_is_used_touch_validity(tmp_path: Path) -> None:
    x = shown(pictures())
    dataset = of_files(tmp_path / "stacks", [stack(one, *x[:3]) for one in x], "tif")
    assert "stacks" in kinds(dataset, "validity")
    previews = of_files(tmp_path / "previews", [stack(one, one[::2, ::2]) for one in x], "tif")
    assert not {"stacks", "animated"} & kinds(previews)
