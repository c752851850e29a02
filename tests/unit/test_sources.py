"""Sources: read and refused, named and hashed, crossed with backbones, and watched for leakage. Without Keras."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backbones.own import BEFORE, MAJORITY, PIXELS, Baseline, SourceData, WeightSource, read_source
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import resolve_weights
from bench.datasets import open_dataset
from bench.errors import RequestError
from bench.modalities.image.input import ImageInput
from bench.modalities.image.looks import square_hashes
from bench.plans.loading import load_plan
from bench.runs.prepare import prepare
from bench.system.files import sha256_file
from bench.system.names import titled

BACKBONE = "MobileNet:alpha=0.25"
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a source whose weights are no weights; arguments change its content."""

    def write(name: str = "clothes", images: dict[str, np.ndarray] | None = None, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "backbone.weights.h5").write_bytes(b"weights of " + name.encode())
        np.savez(folder / "images.npz", **(images or {"32-crop": np.zeros((2, 16), np.uint8)}))  # type: ignore[arg-type]
        fields: dict[str, Any] = {
            "backbone": BACKBONE,
            "weights_sha256": sha256_file(folder / "backbone.weights.h5"),
            "image_size": 32,
            "resizing": "crop",
            "start": "none",
            "start_sha256": "",
            "data": SourceData("clothing", "/data/clothing", "0123456789abcdef", ("hat", "shoe"), 80, 20),
            "accuracy": 0.8,
            "low": 0.7,
            "high": 0.9,
            "baselines": tuple(Baseline(n, 0.5, 0.3, 0.2, 0.4) for n in (MAJORITY, PIXELS, BEFORE)),
            "learned": True,
            "created": "2026-01-02T03:04:05+0000",
            "record": {"cell_id": "0"},
        }
        source = WeightSource(**{**fields, **changes})
        (folder / "source.json").write_text(json.dumps(source.to_json()))
        return folder

    return write


def test_a_relative_source_is_made_absolute_and_round_trips(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make("a, b")
    monkeypatch.chdir(tmp_path)
    spec = parse_backbone("MobileNet:weights=source:a, b,alpha=0.25")
    assert spec.weights == f"source:{folder}"
    assert spec.architecture == BACKBONE
    monkeypatch.chdir("/")
    assert parse_backbone(spec.text) == spec
    source = read_source(spec.weights)
    assert (source.name, source.backbone, source.data.class_names) == ("a, b", BACKBONE, ("hat", "shoe"))
    assert source.rival.name == MAJORITY


@pytest.mark.parametrize(
    ("majority", "pixels", "before", "expected", "strongest"),
    [
        (0.6, 0.3, 0.5, PIXELS, PIXELS),  # clearly better than all
        (0.6, 0.0, 0.5, BEFORE, PIXELS),  # better than small images it need not be, but a report shows them
        (0.6, -0.3, 0.5, PIXELS, PIXELS),  # worse than small images, and so nothing learned
        (0.6, 0.4, 0.0, BEFORE, BEFORE),
    ],
)
def test_what_it_is_compared_with(
    make: Make, majority: float, pixels: float, before: float, expected: str, strongest: str
) -> None:
    leads = {MAJORITY: majority, PIXELS: pixels, BEFORE: before}
    baselines = tuple(Baseline(n, 0.8 - d, d, d - 0.1, d + 0.1) for n, d in leads.items())
    source = read_source(f"source:{make(baselines=baselines)}")
    assert (source.rival.name, source.summary()["baseline"]) == (expected, strongest)


def test_its_name_is_its_folder_s_and_no_path_is_shown() -> None:
    assert titled(BACKBONE, "source:/secret/place/clothes") == f"{BACKBONE} (source: clothes)"
    assert titled(BACKBONE, "/secret/x.weights.h5") == f"{BACKBONE} (weights: x.weights.h5)"
    assert titled(BACKBONE, "imagenet") == titled(BACKBONE, "") == BACKBONE


def _damage(folder: Path, what: str) -> None:
    path = folder / "source.json"
    content = json.loads(path.read_text())
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif what == "newer":
        path.write_text(json.dumps({**content, "schema_version": 99, "more": 1}))
    elif what == "a key less":
        del content["learned"]
        path.write_text(json.dumps(content))
    elif what == "another type":
        path.write_text(json.dumps({**content, "image_size": "64"}))
    elif what == "no weights":
        (folder / "backbone.weights.h5").unlink()
    elif what == "no card":
        path.unlink()
    elif what == "a list":
        path.write_text("[]")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("truncated", "is damaged"),
        ("newer", "{folder}/source.json is of 99. Update"),
        ("a key less", "is damaged (learned"),
        ("another type", "is damaged (image_size"),
        ("no weights", "There is no file {folder}/backbone.weights.h5. Restore it"),
        (
            "no card",
            "{folder}/source.json cannot be read (no such file or directory). Make one: python -m bench pretrain",
        ),
        ("a list", "is damaged"),
    ],
)
def test_a_damaged_source_is_refused_in_words(make: Make, what: str, words: str) -> None:
    folder = make()
    _damage(folder, what)
    text = f"{BACKBONE},weights=source:{folder}"
    with pytest.raises(RequestError) as error:
        parse_backbone(text)
    assert error.value.field == "backbone"
    assert error.value.received == text
    assert words.format(folder=folder) in str(error.value)


@pytest.mark.parametrize("backbone", ["MobileNetV2", "MobileNet:alpha=0.5", "MobileNet"])
def test_another_backbone_s_source_is_refused(make: Make, backbone: str) -> None:
    folder = make()
    text = f"{backbone}{',' if ':' in backbone else ':'}weights=source:{folder}"
    with pytest.raises(
        RequestError, match=r"must be MobileNet:alpha=0\.25 .*The source clothes holds"
    ) as error:
        parse_backbone(text)
    assert f"Use {BACKBONE},weights=source:{folder}, or pretrain {backbone}." in str(error.value)


def test_its_weights_are_hashed_and_have_to_be_those_that_were_trained(make: Make) -> None:
    folder = make()
    spec = parse_backbone(f"{BACKBONE},weights=source:{folder}")
    weights = resolve_weights(spec, 64)
    file = folder / "backbone.weights.h5"
    assert (weights.kind, weights.sha256, weights.path) == ("file", sha256_file(file), str(file))
    file.write_bytes(b"other")
    with pytest.raises(RequestError, match="so it was damaged or replaced") as error:
        resolve_weights(spec, 64)
    assert error.value.field == "weights"


# Plans.


def _plan(folder: Path | None = None, **changes: Any) -> Any:
    content = {"datasets": ["digits"], "backbones": [BACKBONE], "strategies": ["scratch", "full_finetune"],
               "fractions": [0.1], "seeds": 1, "image_size": 32}  # fmt: skip
    if folder is not None:
        content["weights"] = [f"source:{folder}"]
    return load_plan({**content, **changes})


def test_weights_cross_all_backbones() -> None:
    plan = _plan(backbones=["MobileNet:alpha=0.25", "ResNet50"], weights=["imagenet", "none"])
    assert plan.backbones == [
        "MobileNet:alpha=0.25,weights=imagenet",
        "MobileNet:alpha=0.25,weights=none",
        "ResNet50:weights=imagenet",
        "ResNet50:weights=none",
    ]
    assert load_plan({"datasets": ["digits"], "weights": ["none"]}).backbones == [
        "EfficientNetLite0:weights=none"
    ]


@pytest.mark.parametrize("weights", ["imagenet", [], [1], None])
def test_weights_that_are_no_list_are_refused(weights: Any) -> None:
    with pytest.raises(RequestError) as error:
        _plan(weights=weights)
    assert error.value.field == "weights"


def test_weights_named_twice_are_refused() -> None:
    with pytest.raises(RequestError, match="backbones that name no weights") as error:
        _plan(backbones=["MobileNet:weights=none"], weights=["imagenet"])
    assert error.value.field == "weights"


def test_two_sources_of_one_name_are_refused(make: Make) -> None:
    weights = [f"source:{make('a/clothes')}", f"source:{make('b/clothes')}"]
    with pytest.raises(RequestError, match=r"would be called MobileNet:alpha=0.25 \(source: clothes\), too"):
        prepare(_plan(weights=weights))


def test_a_source_is_its_weights_wherever_they_lie(make: Make, tmp_path: Path) -> None:
    first = make()
    cells = {cell.strategy: cell for cell in prepare(_plan(first)).cells}
    shutil.copytree(first, tmp_path / "copy")
    copied = {cell.strategy: cell for cell in prepare(_plan(tmp_path / "copy")).cells}
    assert cells["full_finetune"].weights == f"source:{first}"
    assert {s: cell.id for s, cell in cells.items()} == {s: cell.id for s, cell in copied.items()}
    other = {cell.strategy: cell for cell in prepare(_plan(make("other"))).cells}
    assert other["scratch"].id == cells["scratch"].id
    assert other["full_finetune"].id != cells["full_finetune"].id
    assert "(source: clothes)" in cells["full_finetune"].label
    assert "source" not in cells["scratch"].label


# Leakage.


def test_shared_images_are_said_by_part(make: Make) -> None:
    digits = open_dataset("digits", ImageInput(32))
    images = np.concatenate([digits.test.data[:3], digits.pool.data[:40]])
    prepared = prepare(_plan(make(images={"32-crop": square_hashes(images)})))
    (dataset,) = prepared.datasets
    kinds = {finding.kind: finding for finding in dataset.findings}
    test, pool = kinds["test_in_source"], kinds["pool_in_source"]
    assert test.text.startswith("3 of 359 test images (0.8%)")
    assert "source clothes" in test.text
    assert pool.text.startswith("40 of 1,438 images to learn from (2.8%)")
    assert [item["ids"] for item in test.items] == [[name] for name in digits.test.ids[:3]]
    assert len(pool.items) == 20
    assert len([w for w in prepared.warnings if "clothes" in w]) == 2
    assert prepared.notes == ()


def test_they_are_found_at_the_size_of_the_source_too(make: Make) -> None:
    there = open_dataset("digits", ImageInput(40))
    folder = make(images={"40-crop": square_hashes(there.test.data[5:6])}, image_size=40)
    for _ in range(2):  # worked out, then from the cache
        prepared = prepare(_plan(folder))
        (found,) = [f for f in prepared.datasets[0].findings if f.kind.endswith("_in_source")]
        assert (found.kind, found.level) == ("test_in_source", "validity")
        assert found.items[0]["ids"] == [there.test.ids[5]]
    assert "trained on images of 40 pixels (crop); here they have 32 (crop)." in prepared.notes[0]


def test_few_shared_images_of_the_pool_are_a_note_and_none_are_silent(make: Make) -> None:
    digits = open_dataset("digits", ImageInput(32))
    few = prepare(_plan(make("few", images={"32-crop": square_hashes(digits.pool.data[:2])})))
    assert [f.level for f in few.datasets[0].findings if f.kind == "pool_in_source"] == ["note"]
    none = prepare(_plan(make("none")))
    assert not [f for f in none.datasets[0].findings if f.kind.endswith("_in_source")]
    assert none.warnings == []


def test_a_source_that_has_learned_nothing_is_a_warning(make: Make) -> None:
    prepared = prepare(_plan(make("dull", learned=False)))
    assert prepared.warnings == ["The source dull has learned nothing beyond noise: see its card."]


def test_damaged_hashes_are_refused(make: Make) -> None:
    folder = make()
    for damage in (lambda p: p.write_bytes(b"PK no zip"), lambda p: p.unlink(),
                   lambda p: np.savez(p, **{"32-crop": np.zeros(3)})):  # fmt: skip
        damage(folder / "images.npz")
        with pytest.raises(RequestError, match="file of image hashes of the source clothes") as error:
            prepare(_plan(folder))
        assert error.value.field == "weights"


def test_hashes_tell_images_apart() -> None:
    images = np.zeros((3, 4, 4, 3), np.uint8)
    images[1, 0, 0, 0] = 1
    hashes = square_hashes(images)
    assert hashes.shape == (3, 16)
    assert (hashes[0] == hashes[2]).all()
    assert (hashes[0] != hashes[1]).any()
