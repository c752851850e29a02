"""Plan files as editors of any system leave them, and paths wherever a text is accepted."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from bench.datasets import canonical_spec
from bench.errors import RequestError
from bench.plans.loading import load_plan

PLAN = 'datasets = ["grün"]\nseeds = 2\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marked_encodings_and_line_ends_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(PLAN.replace("\n", end).encode(encoding))
    plan = load_plan(path)
    assert (plan.datasets, plan.seeds) == (["grün"], 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PLAN.encode("latin-1"), "Line 1 holds bytes of another encoding"),
        (PLAN.replace("ü", "u").encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (PLAN.encode("utf-16-le"), "in UTF-8"),
        (b'\n\ndatasets = ["C:\\photos"]', "single quotes"),
        (b'datasets = ["C:\\Users\\me"]', "single quotes"),
        (b'datasets = ["C:\\temp\\new"]', "free of control characters in datasets"),
        (b'datasets = ["a"]\nsource_dataset = "D:\\backup"', "free of control characters in source_dataset"),
        ("datasets = [“photos”]".encode(), "curly quotes"),
        (b"\n\nseeds = \nepochs = 3", "at line 3"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_to_do(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    with pytest.raises(RequestError) as caught:
        load_plan(path)
    assert caught.value.field == "PLAN"
    assert caught.value.exit_code == 2
    assert says in str(caught.value)


def test_single_quotes_keep_backslashes(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(r"datasets = ['C:\temp\new']")
    assert load_plan(path).datasets == [r"C:\temp\new"]


def test_paths_are_accepted_wherever_texts_are() -> None:
    plan = load_plan(
        {
            "datasets": [Path("photos/cats"), "digits"],
            "source_dataset": Path("/data/drawings"),
            "auxiliary_dataset": PurePosixPath("other/birds"),
            "backbones": ["MobileNet"],
            "weights": ["none", Path("/w/x.weights.h5")],
        }
    )
    assert plan.datasets == ["photos/cats", "digits"]
    assert (plan.source_dataset, plan.auxiliary_dataset) == ("/data/drawings", "other/birds")
    assert plan.backbones == ["MobileNet:weights=none", "MobileNet:weights=/w/x.weights.h5"]


def test_a_path_is_never_the_name_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert canonical_spec("digits") == "digits"
    assert canonical_spec(Path("digits")) == str(tmp_path / "digits")
    assert canonical_spec(load_plan({"datasets": [Path("digits")]}).datasets[0]) == str(tmp_path / "digits")
