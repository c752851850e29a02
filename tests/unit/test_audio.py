"""Audio: clips as rows, files as people have them, augmentation, and which clips are nearly the same."""

from __future__ import annotations

import base64
import io
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import KINDS, RATE, word, written

from bench.errors import BenchError, RequestError
from bench.modalities.audio import items
from bench.modalities.audio.alike import ALIKE, correlation, fingerprint, partners
from bench.modalities.audio.augment import SHIFT, Augmentation
from bench.modalities.audio.input import AudioInput
from bench.modalities.audio.items import FileClip, RowClip
from bench.modalities.audio.rows import row_of
from bench.modalities.base import Unreadable
from bench.modalities.registry import modality

soundfile = pytest.importorskip("soundfile", reason="the extra audio is not installed")
pytest.importorskip("soxr", reason="the extra audio is not installed")

AUDIO = modality("audio")
ONE = AudioInput(1.0)


def reason(path: Path) -> str:
    with pytest.raises(Unreadable) as info:
        AUDIO.read(FileClip(path), ONE)
    return str(info.value)


# -------------------------------------------------------------------------------------------------- rows


@settings(max_examples=50, deadline=None)
@given(
    frames=st.integers(0, 5000),
    channels=st.integers(1, 3),
    rate=st.sampled_from([1000, 8000, 11025, 16000, 22050, 44100, 96000]),
    clip=st.sampled_from([0.1, 0.25, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_row_of_any_sound_has_the_shape_of_the_input(
    frames: int, channels: int, rate: int, clip: float, seed: int
) -> None:
    samples = np.random.default_rng(seed).uniform(-2, 2, (frames, channels)).astype(np.float32)
    row = row_of(samples, rate, AudioInput(clip).size)
    assert (row.shape, row.dtype) == (AUDIO.row(AudioInput(clip)).shape, np.int16)
    [tensor] = AUDIO.reader(None, len(row)).tensors(row[None])
    assert tensor.dtype == np.float32
    assert np.abs(tensor).max() <= 1


def test_a_row_is_the_middle_or_lies_between_silence() -> None:
    ramp = np.arange(100, dtype=np.float32) / 1000
    assert row_of(ramp, RATE, 10).tolist() == np.rint(ramp[45:55] * 2**15).tolist()
    short = row_of(np.full(4, 0.5, np.float32), RATE, 10)
    assert short.tolist() == [0, 0, 0, *[2**14] * 4, 0, 0, 0]
    both = row_of(np.array([[0.5, 0.0]] * 4, np.float32), RATE, 4)
    assert both.tolist() == [2**13] * 4


def test_resampling_keeps_a_tone() -> None:
    time = np.arange(44_100) / 44_100
    row = row_of(np.sin(2 * np.pi * 440 * time).astype(np.float32), 44_100, RATE)
    spectrum = np.abs(np.fft.rfft(row))
    assert spectrum.argmax() == 440
    assert spectrum[440] > 100 * np.delete(spectrum, range(430, 450)).max()


def test_names_of_inputs() -> None:
    assert AUDIO.input_named(AudioInput(2.5).name) == AudioInput(2.5)
    assert AudioInput(0.975).size == 15_600
    assert AUDIO.mismatch(AudioInput(1.0), AudioInput(2.5)) == "clips of 1 s; here they have 2.5 s"
    assert AUDIO.described({"clip_seconds": 1.0, "augmentation": "light"}) == (
        "clips of 1 s at 16 kHz, augmentation light"
    )


# ------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_all_kinds_are_nearly_the_same(tmp_path: Path, kind: str) -> None:
    row, facts = AUDIO.read(FileClip(written(tmp_path / f"a.{kind}", word(0))), ONE)
    given = row_of(word(0), RATE, RATE)
    assert (
        correlation(np.stack([fingerprint(row), fingerprint(given)]), np.array([0]), np.array([1]))[0] > ALIKE
    )
    assert (facts.rate, facts.channels) == (RATE, 1)
    assert facts.seconds == pytest.approx(0.5, abs=0.01)


def test_one_sound_in_two_files_is_identical(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / name, np.rint(word(0) * 2**15).astype(np.int16)) for name in ("a.wav", "b.flac")
    ]
    paths.append(written(tmp_path / "c.wav", word(1)))
    facts = [AUDIO.read(FileClip(path), ONE)[1] for path in paths]
    assert AUDIO.identical(facts, [], lambda which: iter(())).tolist() == [0, 0, 1]


def test_a_part_of_a_file_is_what_it_would_be_by_itself(tmp_path: Path) -> None:
    one, other = word(0, 1.0), word(1, 2.0)
    path = written(tmp_path / "long.wav", np.concatenate([one, other]), subtype="FLOAT")
    row, facts = AUDIO.read(FileClip(path, 0.0, 1.0), ONE)
    assert np.array_equal(row, row_of(one, RATE, RATE))
    assert facts.seconds == pytest.approx(1.0, abs=1e-3)
    row, facts = AUDIO.read(FileClip(path, 1.0), ONE)
    assert np.array_equal(row, row_of(other[: 2 * RATE], RATE, RATE))
    assert len({FileClip(path, *span).sha256() for span in ((None, None), (0.0, 1.0), (1.0, None))}) == 3


def test_bad_files_are_told_by_kind(tmp_path: Path) -> None:
    good = {kind: written(tmp_path / f"good.{kind}", word(0, 2.0)).read_bytes() for kind in KINDS}

    def bad(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return reason(tmp_path / name)

    assert bad("empty.wav", b"") == "empty"
    assert bad("text.wav", b"these are words" * 9) == "not audio"
    assert bad("lfs.wav", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n").startswith(
        "a git-lfs pointer"
    )
    assert bad("cut.wav", good["wav"][:9000]) == "truncated"
    assert bad("cut.aiff", good["aiff"][:9000]) == "truncated"
    assert "truncated" in bad("cut.flac", good["flac"][:9000])
    at = good["wav"].index(b"fmt ")
    codec = good["wav"][: at + 8] + struct.pack("<H", 0x161) + good["wav"][at + 10 :]
    assert bad("codec.wav", codec) == "an unsupported codec, or damaged: convert it to flac or wav"
    assert (
        bad("a.m4a", b"\0\0\0\x20ftypM4A " + bytes(99))
        == "a .m4a file, which is not read: convert it to flac or wav"
    )
    assert reason(written(tmp_path / "none.wav", word(0)[:0])) == "without a single sample"
    nan = np.array([0.1, np.nan, 0.2], np.float32)
    assert reason(written(tmp_path / "nan.wav", nan, subtype="FLOAT")) == "samples that are no numbers"
    assert "no such file" in reason(tmp_path / "gone.wav") or "gone.wav" in reason(tmp_path / "gone.wav")
    assert "without a header" in bad("a.raw", bytes(99))
    with pytest.raises(Unreadable, match=r"start beyond the end \(2.00 s\)"):
        AUDIO.read(FileClip(tmp_path / "good.wav", 5.0), ONE)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "aiff"])
def test_bytes_at_random_cost_one_file(tmp_path: Path, kind: str) -> None:
    good, rng = written(tmp_path / f"a.{kind}", word(0)).read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        content = bytearray(good)
        for at in rng.integers(0, min(200, len(content)), 3):
            content[at] = rng.integers(0, 256)
        (tmp_path / f"b.{kind}").write_bytes(content[: rng.integers(1, len(content))])
        with suppress(Unreadable):
            AUDIO.read(FileClip(tmp_path / f"b.{kind}"), ONE)


def test_a_file_written_into_a_pipe_is_whole(tmp_path: Path) -> None:
    content = written(tmp_path / "a.wav", word(0)).read_bytes()
    at = content.index(b"data") + 4
    for length in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):
        (tmp_path / "pipe.wav").write_bytes(content[:at] + length + content[at + 4 :])
        assert AUDIO.read(FileClip(tmp_path / "pipe.wav"), ONE)[1].seconds == pytest.approx(0.5, abs=0.01)


def test_rows_of_arrays_of_all_types_are_the_same() -> None:
    samples = word(0)
    whole = np.rint(samples * 2**15)
    clips = [
        RowClip(samples, RATE, 1.0),
        RowClip(whole.astype(np.int16), RATE, 2.0**15),
        RowClip(np.stack([samples, samples], axis=1), RATE, 1.0),
        RowClip(np.rint(samples * 128 + 128).astype(np.uint8), RATE, 128.0),
    ]
    rows = [AUDIO.read(clip, ONE)[0].astype(int) for clip in clips]
    for row, within in zip(rows, (0, 1, 1, 300), strict=True):
        assert np.abs(row - rows[0]).max() <= within


def test_without_the_packages_one_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"pip install 'transfer-bench\[audio\]'"), AUDIO.reading():
        pass


# ------------------------------------------------------------------------------------------ augmentation


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["light", "strong"]),
    size=st.sampled_from([1600, 4001, 16_000]),
    loudness=st.sampled_from([0.0, 1e-3, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_augmented_clips_keep_shape_type_and_range(kind: str, size: int, loudness: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.rint(rng.uniform(-1, 1, (3, size)) * loudness * (2**15 - 1)).astype(np.int16)
    before = rows.copy()
    policy = Augmentation(kind)
    one, again = (policy(rows, np.random.default_rng(seed)) for _ in range(2))
    assert (one.shape, one.dtype) == (rows.shape, np.int16)
    assert np.array_equal(one, again)
    assert np.array_equal(rows, before)
    assert loudness or not one.any()


def test_a_view_differs_and_is_still_the_clip() -> None:
    row = row_of(word(0), RATE, RATE)
    views = Augmentation("light")(np.stack([row] * 20), np.random.default_rng(0))
    assert len({view.tobytes() for view in views}) == 20
    [crossed] = np.argmax([np.correlate(views[0][::8].astype(float), row[::8].astype(float), "full")], axis=1)
    assert abs(crossed - (RATE // 8 - 1)) <= SHIFT["light"] * RATE // 8 + 1
    assert Augmentation("none")(row[None], np.random.default_rng(0)) is not None
    assert not Augmentation("none")


def test_what_is_of_images_is_refused() -> None:
    with pytest.raises(RequestError, match="none, light or strong"):
        AUDIO.settings({"clip_seconds": 1.0, "augmentation": "affine"}, {})


# ------------------------------------------------------------------------------------------ nearly the same


def test_nearly_the_same_are_found_and_others_not(tmp_path: Path) -> None:
    words = [word(i) for i in range(60)]
    rows = [row_of(one, RATE, RATE) for one in words]
    coded = AUDIO.read(FileClip(written(tmp_path / "a.mp3", 0.3 * words[1])), ONE)[0]
    copies = [
        row_of(0.1 * words[0], RATE, RATE),
        coded,
        row_of(np.concatenate([np.zeros(900, np.float32), words[2]]), RATE, RATE),
    ]
    prints = np.stack([fingerprint(row) for row in (*rows, *copies)])
    found = partners(prints, np.array([0] * 60 + [1] * 3))
    assert found[60:].tolist() == [0, 1, 2]
    assert (found[3:60] < 0).all()
    assert (partners(prints[:60], np.arange(60)) < 0).all()
    assert (partners(prints, np.zeros(63, int)) < 0).all()


def test_silence_and_hum_are_not_nearly_anything() -> None:
    hum = row_of(np.sin(np.arange(RATE) / 9).astype(np.float32), RATE, RATE)
    prints = np.stack([fingerprint(row) for row in (hum, hum // 2, np.zeros_like(hum), np.zeros_like(hum))])
    assert (partners(prints, np.arange(4)) < 0).all()


# ------------------------------------------------------------------------------------------------ showing


def test_a_preview_is_a_small_picture_and_a_short_sound() -> None:
    from PIL import Image

    row = row_of(word(0, 8.0), RATE, 8 * RATE)
    kind, _, content = AUDIO.preview(row).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert picture.size == (160, 64)
    kind, _, content = AUDIO.sound(row).partition(",")
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert (kind, rate) == ("data:audio/mpeg;base64", RATE)
    assert 2.9 < len(heard) / rate < 3.2
    assert len(content) < 40_000
    assert AUDIO.sound(row) == AUDIO.sound(row)
    AUDIO.preview(np.zeros_like(row))
