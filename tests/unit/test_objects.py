"""Data as Python objects: what they become, that equal data give one file, and what is said of wrong ones."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bench
from bench.cli.app import main
from bench.cli.keywords import plan_of
from bench.datasets import Dataset, open_dataset
from bench.datasets.objects import kept
from bench.errors import RequestError
from bench.plans.loading import QUICKSTART

SIZE = {"image_size": 8, "resizing": "stretch"}
CODES = [i % 2 for i in range(24)]


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, *(shape or (8, 8, 3))), np.uint8)


def opened(value: Any) -> Dataset:
    """The dataset of an object."""
    return open_dataset(kept(value), {**SIZE, "max_tokens": 8})


def classes(dataset: Dataset) -> dict[str, int]:
    names = [dataset.class_names[code] for part in (dataset.pool, dataset.test) for code in part.labels]
    return {name: names.count(name) for name in dataset.class_names}


# ------------------------------------------------------------------------------------------- stand-ins of libraries


class Shape(tuple):
    @property
    def rank(self) -> int:
        return len(self)


class Stream:
    """What is used of a tf.data.Dataset. ``order`` is that of one way through it."""

    def __init__(self, x: Any, y: Any, batch: int = 0, order: Any = None, cardinality: int = -2) -> None:
        self.x, self.y, self.batch, self.order, self.count = x, np.asarray(y), batch, order, cardinality
        kind = "string" if isinstance(x, list) else x.dtype
        shapes = [() if isinstance(x, list) else x.shape[1:], self.y.shape[1:]]
        many = (None,) if batch else ()
        self.element_spec = tuple(SimpleNamespace(shape=Shape(many + s), dtype=kind) for s in shapes)

    def cardinality(self) -> int:
        return self.count

    def as_numpy_iterator(self) -> Iterator[Any]:
        order = np.arange(len(self.x)) if self.order is None else self.order
        if not self.batch:
            yield from (
                (self.x[i].encode() if isinstance(self.x, list) else self.x[i], self.y[i]) for i in order
            )
            return
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            x = (
                np.array([self.x[i].encode() for i in rows], object)
                if isinstance(self.x, list)
                else self.x[rows]
            )
            yield x, self.y[rows]


class ClassLabel:
    dtype = "int64"

    def __init__(self, names: list[str]) -> None:
        self.names = names


class HubDataset:
    """What is used of a datasets.Dataset."""

    def __init__(self, rows: list[dict[str, Any]], **features: Any) -> None:
        self.rows, self.features, self.column_names = rows, features, list(features)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


HubImage = type("Image", (), {})
HubAudio = type("Audio", (), {})
HubText = SimpleNamespace(dtype="string")

# --------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    "labels",
    [
        CODES,
        np.array(CODES, np.uint8),
        np.eye(2)[CODES],
        np.array(CODES, np.float32)[:, None],
        pd.Series(CODES),
    ],
    ids=["list", "bytes", "one-hot", "binary", "series"],
)
def test_labels_of_every_usual_kind_are_the_same_data(labels: Any) -> None:
    assert kept((images(), labels)) == kept((images(), CODES))
    assert classes(opened((images(), labels))) == {"0": 12, "1": 12}


def test_a_test_part_and_class_names_are_kept() -> None:
    test = images(seed=1)
    dataset = opened(((images(), CODES), (test, CODES)))
    assert len(dataset.test.ids) == len(test)
    named = opened(
        {"x": images(), "y": CODES, "x_test": test, "y_test": CODES, "class_names": ["cat", "dog"]}
    )
    assert classes(named) == {"cat": 24, "dog": 24}
    assert len(opened([(images(), CODES), (images(seed=2), CODES), (test, CODES)]).pool.ids) == 48


def test_texts_and_paths_with_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text number {i}" for i in range(24)]
    dataset = opened((texts, ["good" if code else "bad" for code in CODES]))
    assert (dataset.modality, classes(dataset)) == ("text", {"bad": 12, "good": 12})
    assert kept((np.array(texts), CODES)) == kept((pd.Series(texts), CODES)) == kept((texts, CODES))
    monkeypatch.chdir(tmp_path)
    for i, image in enumerate(images()):
        Image.fromarray(image).save(f"{i}.png")
    assert classes(opened(([Path(f"{i}.png") for i in range(24)], CODES))) == {"0": 12, "1": 12}


def test_a_list_of_two_texts_is_no_pair_of_parts() -> None:
    assert pd.read_parquet(kept((["one", "two"], ["a", "b"])))["text"].tolist() == ["one", "two"]


def test_images_of_several_sizes(tmp_path: Path) -> None:
    pictures = [Image.fromarray(image[: 4 + i % 4]) for i, image in enumerate(images())]
    dataset = opened((pictures, CODES))
    assert classes(dataset) == {"0": 12, "1": 12}
    assert kept((pictures, CODES)) == kept((pictures, CODES))


def test_a_frame_is_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i, image in enumerate(images()):
        Image.fromarray(image).save(f"{i}.png")
    frame = pd.DataFrame(
        {
            "Path": [f"{i}.png" for i in range(24)],
            "label": pd.Categorical(["cat", "dog"] * 12),
            "split": ["test"] * 6 + [None] * 18,
            "group": [i // 2 for i in range(24)],
            "age": [1.0] + [None] * 23,
        }
    )
    found = pd.read_parquet(kept(frame))
    assert found["path"][0] == str(tmp_path / "0.png")
    assert found["age"].tolist() == ["1"] + [""] * 23
    dataset = opened(frame)
    assert (len(dataset.test.ids), classes(dataset)) == (6, {"cat": 12, "dog": 12})
    assert dataset.group_counts is not None
    texts = pd.DataFrame({"text": [f"number {i}" for i in range(24)], "label": CODES})
    assert opened(texts).modality == "text"


def test_a_shuffled_stream_is_the_same_data_each_time() -> None:
    hot = np.eye(2, dtype=np.float32)[CODES]
    found = [
        kept(Stream(images(), labels, batch, np.random.default_rng(seed).permutation(24)))
        for seed, (labels, batch) in enumerate([(CODES, 0), (CODES, 5), (hot, 0), (hot, 5), (hot[:, 1:], 5)])
    ]
    assert set(found) == {found[0]}
    with np.load(found[0]) as file:
        known = {image.tobytes(): code for image, code in zip(images(), CODES, strict=True)}
        assert [known[image.tobytes()] for image in file["x"]] == file["y"].tolist()


def test_a_stream_of_resized_images_is_kept_as_bytes_with_its_class_names() -> None:
    stream: Any = Stream(images().astype(np.float32), CODES, 5)
    stream.class_names = ["cat", "dog"]
    with np.load(kept(stream)) as file:
        assert file["x"].dtype == np.uint8
        assert file["class_names"].tolist() == ["cat", "dog"]
    with np.load(kept(Stream(images() / np.float32(255), CODES, 5))) as file:
        assert file["x"].dtype == np.float32
    assert len(opened((stream, Stream(images(seed=3), CODES))).test.ids) == 24


def test_streams_of_texts() -> None:
    texts = [f"text number {i}" for i in range(24)]
    found = {
        kept(Stream(texts, CODES, batch, order)) for batch in (0, 5) for order in (None, range(23, -1, -1))
    }
    assert len(found) == 1
    assert opened(Stream(texts, CODES)).modality == "text"


def test_datasets_of_the_hub() -> None:
    label = ClassLabel(["cat", "dog"])
    rows = [
        {"image": Image.fromarray(image), "label": code} for image, code in zip(images(), CODES, strict=True)
    ]
    assert classes(opened(HubDataset(rows, image=HubImage(), label=label))) == {"cat": 12, "dog": 12}
    texts = [{"sentence": f"text number {i}", "idx": i, "label": code} for i, code in enumerate(CODES)]
    parts = {
        "train": HubDataset(texts[6:], sentence=HubText, idx=SimpleNamespace(dtype="int32"), label=label),
        "test": HubDataset([*texts[:6], {**texts[0], "label": -1}]),
    }
    dataset = opened(parts)
    assert (dataset.modality, len(dataset.test.ids)) == ("text", 6)


# ------------------------------------------------------------------------------------------------------- sounds


def waves(count: int = 24, kind: str = "float32") -> list[np.ndarray]:
    """Sounds of several lengths."""
    rng = np.random.default_rng(3)
    found = [rng.uniform(-0.5, 0.5, 400 + 20 * i) for i in range(count)]
    return [(32767 * x).astype(kind) if kind.startswith("int") else x.astype(kind) for x in found]


def heard(value: Any) -> Dataset:
    return open_dataset(kept(value), {"clip_seconds": 0.1})


def test_sounds_of_one_length_are_arrays() -> None:
    x = np.stack([wave[:400] for wave in waves()])
    path = kept({"x": x, "y": CODES, "rate": 8000, "class_names": ["no", "yes"]})
    assert path.endswith(".npz")
    assert kept({"x": x, "y": CODES, "rate": 16000, "class_names": ["no", "yes"]}) != path
    found = heard({"x": x, "y": CODES, "rate": 8000.0, "class_names": ["no", "yes"]})
    assert found.modality == "audio"
    assert classes(found) == {"no": 12, "yes": 12}


@pytest.mark.parametrize("kind", ["float32", "float64", "int16"])
def test_sounds_of_several_lengths_are_files(kind: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    sounds = waves(kind=kind)
    path = Path(kept({"x": sounds, "y": CODES, "rate": 8000}))
    assert kept({"x": sounds, "y": CODES, "rate": 8000}) == str(path)
    listed = pd.read_parquet(path)
    for sound, name in zip(sounds, listed["path"], strict=True):
        samples, rate = soundfile.read(path.parent / name, dtype=kind)
        assert rate == 8000
        np.testing.assert_array_equal(samples, sound)
    assert classes(heard(str(path))) == {"0": 12, "1": 12}


def test_sounds_may_have_a_test_set() -> None:
    pytest.importorskip("soundfile")
    x, rest = waves(), waves(8)[::-1]
    found = heard({"x": x, "y": CODES, "x_test": rest, "y_test": CODES[:8], "rate": 8000})
    assert (len(found.pool.ids), len(found.test.ids)) == (24, 8)


@pytest.mark.parametrize("decoded", [True, False], ids=["decoded", "as files"])
def test_sounds_of_hugging_face(decoded: bool) -> None:
    soundfile = pytest.importorskip("soundfile")

    def row(wave: np.ndarray, code: int) -> dict[str, Any]:
        file = io.BytesIO()
        soundfile.write(file, wave, 8000, format="FLAC", subtype="PCM_16")
        sound = (
            {"array": wave, "sampling_rate": 8000} if decoded else {"bytes": file.getvalue(), "path": None}
        )
        return {"audio": sound, "label": code}

    rows = [row(wave, code) for wave, code in zip(waves(), CODES, strict=True)]
    path = Path(kept(HubDataset(rows, audio=HubAudio(), label=ClassLabel(["no", "yes"]))))
    assert {Path(name).suffix for name in pd.read_parquet(path)["path"]} == {".wav" if decoded else ".flac"}
    assert classes(heard(str(path))) == {"no": 12, "yes": 12}


@pytest.mark.parametrize("rate", [0, "8000", 16000.5, None])
def test_a_rate_that_is_none_is_refused(rate: object) -> None:
    with pytest.raises(RequestError, match=r"whole number from 1,000 to 768,000, in Hz"):
        kept({"x": np.zeros((24, 100)), "y": CODES, "rate": rate})


# ------------------------------------------------------------------------------------------------------ by content


def test_the_same_data_are_written_once_and_found_in_a_new_process(python: Callable[..., Any]) -> None:
    path = kept((images(), CODES))
    written = Path(path).stat().st_mtime_ns
    code = (
        "import numpy as np, sys; from bench.datasets.objects import kept\n"
        "x = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)\n"
        "print(kept((x, [i % 2 for i in range(24)])))\n"
    )
    result = python("-c", code)
    assert result.stdout.strip() == path, result.stderr
    assert Path(path).stat().st_mtime_ns == written
    assert kept((images(seed=1), CODES)) != path
    assert kept((images(), CODES[::-1])) != path


def test_damaged_data_are_written_again(caplog: pytest.LogCaptureFixture) -> None:
    path = Path(kept((images(seed=7), CODES)))
    whole = path.read_bytes()
    path.write_bytes(b"damaged")
    assert kept((images(seed=7), CODES)) == str(path)
    assert path.read_bytes() == whole
    assert str(path.parent) in caplog.text


def test_data_that_were_cleared_are_asked_for_again() -> None:
    path = Path(kept((images(seed=8), CODES)))
    shutil.rmtree(path.parent)
    with pytest.raises(RequestError, match="Give the same data to"):
        open_dataset(path, SIZE)


# --------------------------------------------------------------------------------------------------- wrong objects

TWO_INPUTS = Stream(images(), CODES)
TWO_INPUTS.element_spec = ((TWO_INPUTS.element_spec[0],) * 2, TWO_INPUTS.element_spec[1])
UNLABELLED = Stream(images(), CODES)
UNLABELLED.element_spec = TWO_INPUTS.element_spec[1]

WRONG = [
    (images(), "got numpy.ndarray). Labels belong to it: (x, y)"),
    (3, "a pandas frame with the columns path or text and label, or a Hugging Face dataset (got 3)"),
    (["a.png", "b.png", "c.png", "d.png"], "Labels belong to a list"),
    ((images(), CODES[:3]), "have as many labels as examples (got 24 examples and 3 labels)"),
    ((images(), np.full((24, 2), 1)), "Some rows name several classes"),
    ((images(), np.full((24, 2), 0.5)), "give y.argmax(axis=1)"),
    ((images(), np.linspace(0, 1, 24)), "Numbers to predict are no classes"),
    ((images(), ["cat"] * 23 + [None]), "the label None among texts). Leave out examples without a label"),
    ((np.zeros((24, 64)), CODES), "give x.reshape(-1, H, W)"),
    (([np.zeros((4, 4)), np.zeros((5, 4))], [0, 1]), "Images of several sizes can be a list of PIL images"),
    (pd.DataFrame({"filename": ["a"], "class": ["b"]}), "{'filename': 'path', 'class': 'label'}"),
    (pd.DataFrame({"path": [], "label": []}), "a frame with at least one row"),
    (Stream(images(), CODES, cardinality=-1), "Leave out .repeat()"),
    (TWO_INPUTS, "several inputs"),
    (UNLABELLED, "Each element has no label"),
    (HubDataset([{}], a=HubText, b=HubText), "Its columns are a, b"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=range(len(WRONG)))
def test_wrong_objects_are_refused_in_one_message(wrong: Any, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        bench.check(wrong)
    assert said in str(caught.value)
    assert str(caught.value).startswith("datasets must ")
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- options, and answers


def test_options_are_keywords() -> None:
    plan = plan_of(
        "digits", {"seeds": 2, "trials": 0, "backbone": "MobileNet", "fractions": (0.5, 1), "budget": None}
    )
    assert (plan.datasets, plan.seeds, plan.tuning.trials) == (["digits"], 2, 0)
    assert (plan.backbones, plan.fractions, plan.budget) == (["MobileNet"], [0.5, 1.0], "")
    assert (
        plan_of({"datasets": ["digits"]}, {"fractions": "0.5,1", "tuning": {"trials": 3}}).tuning.trials == 3
    )
    assert plan_of(plan, {"seeds": 5}).backbones == ["MobileNet"]
    assert plan_of(None, {}).fractions == QUICKSTART["fractions"]
    few = plan_of("digits", {"protocol": "few-shot", "source_dataset": (images(), CODES), "ways": [2]})
    assert few.source_dataset is not None
    assert few.source_dataset.endswith(".npz")
    with pytest.raises(RequestError, match="Did you mean 'seeds'"):
        plan_of("digits", {"seed": 3})


def test_a_check_prints_as_the_command_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (images(), CODES)
    answer = bench.check(data, image_size=8, fractions=[0.5, 1])
    monkeypatch.setattr(
        "sys.argv", ["bench", "check", kept(data), "--image-size", "8", "--fractions", "0.5,1"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert str(answer) == repr(answer) == capsys.readouterr().out.rstrip()
    assert [entry["class"] for entry in answer.to_json()["classes"]] == ["0", "1"]
    assert answer._repr_html_().startswith("<pre>")
