"""Audio as people have it: folders, manifests, arrays; what check says of clips; mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sounds import RATE, word, written

from bench.commands.check import check
from bench.datasets import Dataset, open_dataset
from bench.datasets.file_groups import grouped, patterns
from bench.errors import RequestError
from bench.modalities.audio.input import AudioInput
from bench.modalities.audio.rows import row_of
from bench.plans.loading import load_plan

pytest.importorskip("soundfile", reason="the extra audio is not installed")
pytest.importorskip("soxr", reason="the extra audio is not installed")


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def opened(path: Path, groups: str = "none") -> Dataset:
    return open_dataset(str(path), AudioInput(1.0), groups=groups)


def told(path: Path, **keys: object) -> dict[str, tuple[str, str]]:
    plan = load_plan({"datasets": [str(path)], "fractions": [1.0], **keys})
    result = check(open_dataset(plan.datasets[0], vars(plan), audit=True), plan)
    json.dumps(result)
    return {f["kind"]: (f["level"], f["text"]) for f in result["findings"]}


def refusal(path: Path) -> str:
    with pytest.raises(RequestError) as info:
        opened(path)
    return str(info.value)


def folder(root: Path, classes: str = "a b", count: int = 6, kind: str = "wav") -> Path:
    for c, name in enumerate(classes.split()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            written(root / name / f"{i}.{kind}", word(100 * c + i, 0.3))
    return root


def manifest(path: Path, header: str, rows: list[tuple[object, ...]]) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return path


# ----------------------------------------------------------------------------------------------- folders


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", "train/a train/b test/a test/b", kind="flac")
    (root / "train/a/0.flac").write_bytes(b"no sound at all" * 9)
    (root / "train/a/cover.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "train/b/x.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(99))
    plan = load_plan({"datasets": [str(root)]})
    assert plan.backbones == ["SpeechEmbedding"]
    dataset = opened(root)
    assert (dataset.modality, dataset.class_names) == ("audio", ("a", "b"))
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (11, 12)
    assert (dataset.pool.data.shape, dataset.pool.data.dtype) == ((11, RATE), np.int16)
    assert dict(dataset.left_out) == {
        "train/a/0.flac": "not audio",
        "train/b/x.m4a": "a .m4a file, which is not read: convert it to flac or wav",
    }
    assert "image" not in json.dumps(told(root))


def test_images_with_a_few_sounds_stay_images(tmp_path: Path) -> None:
    from PIL import Image

    root = tmp_path / "f"
    for name in "ab":
        (root / name).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (9, 9), (40 * i, 0, 9)).save(root / name / f"{i}.png")
    written(root / "a/voice.wav", word(0))
    assert load_plan({"datasets": [str(root)]}).backbones == ["EfficientNetLite0"]


def test_mistakes_in_folders(tmp_path: Path) -> None:
    assert "The clips lie directly in the folder" in refusal(folder(tmp_path / "a", "."))
    assert "This is one clip" in refusal(tmp_path / "a/0.wav")


# --------------------------------------------------------------------------------------------- manifests


def test_a_manifest_of_files_and_of_parts_of_files(tmp_path: Path) -> None:
    folder(tmp_path, "a b")
    rows: list[tuple[object, ...]] = [(f"{name}/{i}.wav", name) for name in "ab" for i in range(6)]
    path = manifest(tmp_path / "list.csv", "path,label", rows)
    assert load_plan({"datasets": [str(path)]}).backbones == ["SpeechEmbedding"]
    assert len(opened(path).pool.ids) + len(opened(path).test.ids) == 12
    words = [word(i, 1.0) for i in range(12)]
    written(tmp_path / "long.wav", np.concatenate(words), subtype="FLOAT")
    parts: list[tuple[object, ...]] = [("long.wav", "ab"[i % 2], i, i + 1, f"g{i // 2}") for i in range(12)]
    dataset = opened(manifest(tmp_path / "parts.csv", "path,label,start,end,group", parts))
    assert "unused_columns" not in told(tmp_path / "parts.csv")
    ids = [*dataset.pool.ids, *dataset.test.ids]
    rows_of = dict(zip(ids, np.concatenate([dataset.pool.data, dataset.test.data]), strict=True))
    assert set(ids) == {f"long.wav {i}-{i + 1} s" for i in range(12)}
    assert np.array_equal(rows_of["long.wav 7-8 s"], row_of(words[7], RATE, RATE))


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("1:20", "", "Line 2 has the start '1:20'"),
        ("2", "1", "Line 2 goes from 2 to 1 s"),
        ("-1", "", "'-1'"),
    ],
)
def test_mistakes_in_spans(tmp_path: Path, start: str, end: str, says: str) -> None:
    folder(tmp_path, "a b")
    rows: list[tuple[object, ...]] = [("a/0.wav", "a", start, end), ("b/0.wav", "b", "", "")]
    assert says in refusal(manifest(tmp_path / "t.csv", "path,label,start,end", rows))
    twice: list[tuple[object, ...]] = [("a/0.wav", "a", 0, 1)] * 2
    assert "repeats 'a/0.wav'" in refusal(manifest(tmp_path / "t.csv", "path,label,start,end", twice))


# ------------------------------------------------------------------------------------------------ arrays


@pytest.mark.parametrize("dtype", ["float32", "int16", "int32"])
def test_arrays_with_a_rate(tmp_path: Path, dtype: str) -> None:
    x = np.stack([word(i, 1.0, 8000) for i in range(16)])
    stored = x if dtype == "float32" else np.rint(x * 2**15).astype(dtype)
    np.savez(tmp_path / "t.npz", x=stored, y=np.arange(16) % 2, rate=8000)
    assert load_plan({"datasets": [str(tmp_path / "t.npz")]}).backbones == ["SpeechEmbedding"]
    dataset = opened(tmp_path / "t.npz")
    first = dict(zip(dataset.pool.ids, dataset.pool.data, strict=True))
    for id, row in first.items():
        assert np.abs(row.astype(int) - row_of(x[int(id)], 8000, RATE)).max() <= 2
    assert "unused_arrays" not in told(tmp_path / "t.npz")


def test_mistakes_in_arrays(tmp_path: Path) -> None:
    path, y = tmp_path / "t.npz", np.arange(16) % 2
    np.savez(path, x=np.zeros((16, 2, 900)), y=y, rate=8000)
    assert "Store x.transpose(0, 2, 1)" in refusal(path)
    np.savez(path, x=np.zeros((16, 900)), y=y, rate=[8000, 8000])
    assert "have rate as one number" in refusal(path)
    np.savez(path, x=np.zeros((16, 900)), y=y[:9], rate=8000)
    assert "as many labels as clips" in refusal(path)
    np.savez(path, x=np.zeros((16, 900)), y=y)
    with pytest.raises(RequestError, match="store their sample rate"):
        open_dataset(str(path), {"image_size": 8, "resizing": "crop"})


# ------------------------------------------------------------------------------------------------- check


def test_what_check_says(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = []

    def add(name: str, samples: np.ndarray, label: str, split: str = "train", rate: int = RATE) -> None:
        rows.append((written(tmp_path / name, samples, rate).name, label, split))

    for i in range(16):
        add(f"{i}.wav", word(i), "ab"[i % 2], "test" if i > 11 else "train")
    add("loud.wav", np.clip(word(20) * 9, -1, 1), "a")
    add("silent.wav", np.zeros(8000, np.float32), "a")
    add("offset.wav", word(21) + 0.1, "b")
    add("low.wav", word(22, rate=8000), "b", rate=8000)
    add("long.wav", word(23, 9.0), "b")
    add("same.flac", word(0).astype(np.float32), "a", "test")
    add("copy.mp3", 0.5 * word(1), "b", "test")
    add("other.ogg", 0.5 * word(2), "b")
    path = manifest(tmp_path / "t.csv", "path,label,split", rows)
    found = told(path)
    assert found["silent"] == (
        "validity",
        "1 of 24 clips (4.2%) silent: what networks hear is below -60 dB throughout.",
    )
    assert found["clipped"][1].startswith("1 of 24 clips (4.2%) clipped")
    assert found["offset"][1].startswith("1 of 24 clips (4.2%) with an offset")
    assert found["low_rates"][0] == "validity"
    assert "recorded at 8,000 Hz: nothing above 4 kHz" in found["low_rates"][1]
    assert found["long_clips"][0] == "validity"
    assert "1 of 24 clips (4.2%) longer than 1 s. Networks hear their middle" in found["long_clips"][1]
    assert "is filled with silence" in found["short_clips"][1]
    assert "nearly the same as a training clip" in found["near_across_splits"][1]
    assert found["near_across_labels"][1] == "2 clips (8.3%) nearly the same as one of another class."
    assert "image" not in json.dumps(found)


def test_a_better_length_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "f")
    assert "--clip-seconds 0.3 wastes less" in told(root)["short_clips"][1]
    assert "--clip-seconds 0.3 keeps 95% of them whole" in told(root, clip_seconds=0.2)["long_clips"][1]
    assert not {"short_clips", "long_clips"} & told(root, clip_seconds=0.3).keys()


# ------------------------------------------------------------------------------------------------ groups


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (
            [f"{d}_{who}_{i}.wav" for d in range(4) for who in ("george", "lucas", "theo") for i in range(3)],
            3,
        ),
        (
            [
                f"{h}_nohash_{i}.wav"
                for _ in range(4)
                for h in ("0a7c2a8d", "0ab3b47d", "0b09edd3")
                for i in range(3)
            ],
            3,
        ),
        ([f"{d}_take_{i}.wav" for d in range(4) for i in range(9)], 0),
        (
            [f"{d}_{who}_{i}.png" for d in range(4) for who in ("george", "lucas", "theo") for i in range(3)],
            0,
        ),
    ],
    ids=["speakers", "hashes", "takes", "images"],
)
def test_speakers_from_names(names: list[str], groups: int) -> None:
    labels = [i // 9 for i in range(36)]
    ids = [f"{label}/{name}" for label, name in zip(labels, names, strict=True)]
    found = patterns(ids, labels, [str(i) for i in range(4)])
    assert (int(grouped(found, 36)[0].max()) + 1 if found else 0) == groups


def test_groups_of_speakers_on_request(tmp_path: Path) -> None:
    root = tmp_path / "f"
    for d in range(2):
        (root / str(d)).mkdir(parents=True)
        for s, who in enumerate(["ann", "bob", "cyd", "dan", "eve"]):
            for i in range(3):
                written(root / f"{d}/{d}_{who}_{i}.wav", word(50 * d + 7 * s + i, 0.2))
    assert "repeat a name" in told(root)["names_across_splits"][1]
    dataset = opened(root, "auto")
    people = [{id.split("_")[1] for id in part.ids} for part in (dataset.pool, dataset.test)]
    assert not people[0] & people[1]
    assert set.union(*people) == {"ann", "bob", "cyd", "dan", "eve"}
