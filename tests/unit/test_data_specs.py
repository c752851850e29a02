"""Datasets named as other systems name them: each message says what to type."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.plans.loading import load_plan
from bench.runs.run import _check_apart
from tests.unit.data_samples import refusal, tree


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHOTOS", "/data/photos")
    return fresh_cache


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("C:\\photos", "such as /home/me/photos"),
        ("D:/photos", "This is a Windows path"),
        ("data\\photos", "Write it with slashes: 'data/photos'."),
        (".\\photos\\", "'photos'"),
        ("\\\\server\\share", "such as /home/me/photos"),
        ("file:///data/my%20photos", "'/data/my photos'"),
        ("http://example.org/photos.zip", "Download the files"),
        ("https://example.org/photos", "This is an address"),
        ("s3://bucket/photos", "This is an address"),
        ("gs://bucket/photos", "This is an address"),
        ("photos/*", "without * or ?"),
        ("$PHOTOS/x", "Write '/data/photos/x'."),
    ],
)
def test_paths_of_other_systems(spec: str, says: str) -> None:
    assert says in refusal(spec)


def test_quotes_and_spaces_around_a_path(tmp_path: Path) -> None:
    tree(tmp_path / "photos", "a b")
    for spec in ("'photos'", " photos", '"photos/"', "photos "):
        assert "Leave the quotes and spaces around it out: 'photos" in refusal(spec)


def test_a_folder_whose_name_holds_a_backslash(tmp_path: Path) -> None:
    tree(tmp_path / "a\\b", "a")
    assert "There is one, 'a'" in refusal("a\\b")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("p.zip", "unzip"), ("p.tar.gz", "tar -xf"), ("my p.tgz", "'"), ("p.7z", "7z x"), ("p.rar", "unrar"),
        ("p.xlsx", "save it as CSV"), ("p.txt", "save it as CSV"), ("p.json", "save it as CSV"),
        ("p.npy", "numpy.savez"), ("p.jpg", "one image"), ("p.what", "a file that ends in"),
    ],
)  # fmt: skip
def test_files_of_other_kinds(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert says in refusal(tmp_path / name)


def test_what_the_message_on_an_archive_says_does_it(tmp_path: Path) -> None:
    import subprocess

    tree(tmp_path / "in", "a b")
    with tarfile.open(tmp_path / "my photos.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in", ".")
    command = refusal(tmp_path / "my photos.tar.gz").partition("give the folder: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert (tmp_path / "my photos" / "a" / "0.png").exists()


@pytest.mark.parametrize("name", ["list.csv", "list.parquet", "data.npz", "archive.zip"])
def test_git_lfs_pointers(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "git lfs pull" in refusal(tmp_path / name)


def test_a_run_is_not_written_among_the_images(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", "cats dogs")
    plan = load_plan({"datasets": [str(root)]})
    for out in (root, root / "cats"):
        with pytest.raises(RequestError, match="--out runs/first") as info:
            _check_apart(out, plan)
        assert info.value.field == "out"
    (root / "empty").mkdir()
    (root / "runs").mkdir()
    (root / "runs/.lock").touch()
    for out in (root / "runs/x", root / "empty", root / "runs", tmp_path / "elsewhere", tmp_path):
        _check_apart(out, plan)
