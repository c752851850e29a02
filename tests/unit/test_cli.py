"""Mistakes in what is asked for: one message that names the value, exit code 2, and nothing was begun."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bench.execution.local
import bench.runs.run
from bench.cli.app import main
from bench.cli.expand import Sets, expanded
from bench.cli.options import AuditOptions, FewShotOptions, PlanOptions, PretrainingOptions, RankingOptions
from bench.execution.local import LocalExecutor
from bench.plans.loading import load_plan
from bench.plans.plan import Plan, section
from bench.plans.protocol import PROTOCOLS, protocol
from bench.records import PROTOCOL_VERSION, SCHEMA_VERSION, Cell, Record
from bench.runs.prepare import prepare
from bench.store import Store
from bench.system.files import cache_dir
from reports.columns import TABLES

TINY = ("--backbone", "MobileNet:weights=none", "--image-size", "32", "--seeds", "1")
DIGITS = ("--dataset", "digits", *TINY)

SMALL_CELL: dict[str, Any] = {
    "strategy_version": 1, "dataset": "d", "dataset_name": "d", "fingerprint": "f", "modality": "image",
    "backbone": "MobileNet", "weights": "imagenet", "weights_sha256": "", "fraction": 1.0, "seed": 0,
    "examples": {"image_size": 48, "resizing": "crop", "augmentation": "none", "flip": False}, "epochs": 1,
    "batch_size": 32, "threads": 1, "head": {}, "tuning": {},
}  # fmt: skip

Ended = tuple[int, str, str]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs the command line in this process, in an empty folder, without any worker."""

    def no_worker(*arguments: object, **options: object) -> None:
        raise AssertionError("a child process was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench.execution.local, "_Worker", no_worker)
    monkeypatch.setattr(LocalExecutor, "time_batches", lambda self, jobs: [None] * len(jobs))

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code or 0
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command: Callable[..., Ended], tmp_path: Path) -> Callable[..., str]:
    """Runs a command that must be refused; returns the message."""

    def run(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        code, _, error = command(*arguments)
        assert code == 2, error
        assert "Traceback" not in error
        assert error.count("bench: ") == 1
        assert error.startswith("bench: ")
        assert " must " in error
        assert len(error.strip().splitlines()) == 1
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return error

    return run


def picture(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value, 2 * value % 256, 40)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two classes of ten images."""
    for label in ("cat", "dog"):
        for i in range(10):
            picture(tmp_path / "photos" / label / f"{i}.png", 10 * i + ord(label[0]) % 10)
    return tmp_path / "photos"


# ------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("group", [PlanOptions, RankingOptions, AuditOptions, PretrainingOptions])
def test_an_option_sets_a_key_that_the_plan_has(group: type) -> None:
    options = inspect.signature(expanded(group)).parameters.values()
    found = [about for option in options for about in option.annotation.__metadata__]
    keys = [about.key for about in found if isinstance(about, Sets)]
    assert keys
    assert len(keys) == len(set(keys))
    of_protocols = {section(name): protocol(name).settings for name in PROTOCOLS if protocol(name).settings}
    for key in set(keys) - {"weights"}:  # those go into the names of the backbones
        where: Any = Plan
        for name in key.split("."):
            assert name in where.model_fields.keys() | of_protocols, key
            where = of_protocols.get(name) or where.model_fields[name].annotation


def test_options_of_a_group_stand_in_the_place_of_the_group() -> None:
    called = []

    def command(*, first: int = 1, options: PlanOptions, last: int) -> None:
        called.append((first, options, last))

    names = list(inspect.signature(expanded(command)).parameters)
    own = [field.name for field in fields(PlanOptions)]
    inner = own.index("few_shot")
    own[inner : inner + 1] = [field.name for field in fields(FewShotOptions)]
    assert names == ["first", *own, "last"]
    expanded(command)(**{**dict.fromkeys(names), "shots": "1", "seeds": 2, "last": 3})
    ((first, options, last),) = called
    assert (first, options.few_shot.shots, options.few_shot.ways, options.seeds, last) == (
        None,
        "1",
        None,
        2,
        3,
    )


# -------------------------------------------------------------------------------------- names and numbers


@pytest.mark.parametrize("verb", ["run", "plan"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([*DIGITS, "--strategy", "scrach"], ["strategy", "'scrach'", "Did you mean 'scratch'?"]),
        ([*DIGITS, "--strategy", "scratch", "--strategy", "x\x1b[31m\n"], ["strategy", r"'x\x1b[31m\n'"]),
        ([*DIGITS, "--backbone", "MobileNett"], ["backbone", "'MobileNett'", "Did you mean 'MobileNet'?"]),
        ([*DIGITS, "--backbone", "MobileNet:alfa=1"], ["backbone", "alfa=1", "alpha"]),
        ([*DIGITS, "--backbone", "MobileNet:alpha=0.3"], ["backbone", "alpha=0.3", "weights=none"]),
        ([*DIGITS, "--backbone", "MobileNet:weights=no.weights.h5"], ["backbone", "no.weights.h5"]),
        ([*DIGITS, "--backbone", "MobileNet:weights=evil.pkl"], ["backbone", "evil.pkl"]),
        (["--dataset", "digit", *TINY], ["dataset", "'digit'", "Did you mean 'digits'?"]),
        (["--dataset", "keras:mnits", *TINY], ["dataset", "'keras:mnits'", "keras:mnist"]),
        ([*DIGITS, "--dataset", "digits"], ["--dataset", "'digits'", "repetition"]),
        ([*DIGITS, "--fractions", "0"], ["fractions", "0.0"]),
        ([*DIGITS, "--fractions", "0.1,1.5"], ["fractions", "1.5"]),
        ([*DIGITS, "--fractions", "-0.1"], ["fractions", "-0.1"]),
        ([*DIGITS, "--fractions", "0.1,0.10"], ["fractions", "0.1"]),
        ([*DIGITS, "--fractions", "many"], ["fractions", "'many'", "0.1,0.5,1"]),
        ([*DIGITS, "--fractions", ""], ["fractions", "''"]),
        ([*DIGITS, "--fractions", "nan"], ["fractions", "nan"]),
        ([*DIGITS, "--fractions", "0.004"], ["0.004", "two images of every class", "smallest fraction"]),
        ([*DIGITS, "--fractions", "1,0.001"], ["fractions", "0.001"]),
        ([*DIGITS, "--image-size", "16"], ["--image-size", "16", "32"]),
        ([*DIGITS, "--epochs", "0"], ["epochs", "0"]),
        ([*DIGITS, "--trials", "-1"], ["--trials", "-1"]),
        ([*DIGITS, "--set", "tuning.algorithm=bayes"], ["tuning.algorithm", "'bayes'", "'bayesian'"]),
        ([*DIGITS, "--set", "tuning.trails=3"], ["tuning.trails", "Did you mean 'trials'?"]),
        ([*DIGITS, "--set", "seeds"], ["--set", "'seeds'", "key=value"]),
        ([*DIGITS, "--set", "seeds.x=1"], ["--set", "'seeds"]),
        ([*DIGITS, "--set", "resizing=squash"], ["resizing", "'squash'"]),
        (["none.toml"], ["PLAN", "'none.toml'"]),
    ],
)  # fmt: skip
def test_a_wrong_name_or_number(
    refused: Callable[..., str], verb: str, arguments: list[str], named: list[str]
) -> None:
    message = refused(verb, *arguments)
    assert [part for part in named if part not in message] == []
    assert message.isprintable() or message[:-1].isprintable()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--workers", "0"], ["workers", "0", "1 or more"]),
        (["--retry", "failed,slow"], ["retry", "'slow'", "timeout"]),
        (["--retry", "ok"], ["retry", "'ok'"]),
    ],
)
def test_a_wrong_option_of_run(refused: Callable[..., str], arguments: list[str], named: list[str]) -> None:
    message = refused("run", *DIGITS, *arguments)
    assert [part for part in named if part not in message] == []


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('datasets = ["digits"]\nimage_sise = 32\n', ["image_sise", "Did you mean 'image_size'?"]),
        ('datasets = ["digits"]\n[tuning]\ntrails = 3\n', ["tuning.trails", "Did you mean 'trials'?"]),
        ('datasets = ["digits"]\nseeds = "3"\n', ["seeds", "'3'"]),
        ("seeds = 3\n", ["datasets"]),
        ("seeds = \n", ["plan.toml", "line 1"]),
        ('datasets = ["digits"]\nimage-size = 32\n', ["image-size", "Did you mean 'image_size'?"]),
    ],
)  # fmt: skip
def test_a_wrong_plan_file(
    refused: Callable[..., str], tmp_path: Path, content: str, named: list[str]
) -> None:
    (tmp_path / "plan.toml").write_text(content)
    message = refused("run", "plan.toml")
    assert [part for part in named if part not in message] == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--datset", "digits"], ["--datset", "--dataset"]),
        (["run", "--seeds", "three"], ["--seeds", "'three'", "whole number"]),
        (["run", "--epochs", "1.5"], ["--epochs", "'1.5'", "whole number"]),
        (["rank", "x", "--download", "all"], ["--download", "'all'", "a number"]),
        (["recommend", "x", "--target", "high"], ["--target", "'high'", "a number"]),
        (["runn"], ["runn", "run"]),
        (["run", "a.toml", "b.toml"], ["b.toml"]),
        (["report"], ["DIR"]),
        (["ls"], ["strategies|backbones|datasets"]),
    ],
)
def test_an_unknown_flag_or_command(
    command: Callable[..., Ended], tmp_path: Path, arguments: list[str], named: list[str]
) -> None:
    code, _, error = command(*arguments)
    assert code == 2
    assert "Traceback" not in error
    assert [part for part in named if part not in error] == []
    assert error.count("Error: ") == 1
    assert list(tmp_path.iterdir()) == []


def test_ls_says_what_is_searched(command: Callable[..., Ended]) -> None:
    code, said, _ = command("ls", "strategies")
    assert code == 0
    blocks = said.split("\npartial_finetune ")[1].split("\n")
    assert "Searches: unfreeze 0.25|0.5|0.75, learning_rate 0.0005..0.01" in "".join(blocks[:4])
    assert "align_weight=100.0" in said
    assert max(len(line) for line in said.split("\n")) <= 141


def test_ls_columns_needs_no_pandas(python: Callable[..., Any]) -> None:
    listed = python("-X", "importtime", "-m", "bench", "ls", "columns")
    assert listed.rc == 0
    assert not re.search(r"\| +(pandas|keras|tensorflow|matplotlib)$", listed.stderr, re.MULTILINE)
    for table, columns in TABLES.items():
        assert f"{table}:\n" in listed.stdout
        assert [name for name in columns if f"\n  {name} " not in listed.stdout] == []


def test_ls_of_something_else(refused: Callable[..., str]) -> None:
    assert "Did you mean 'backbones'?" in refused("ls", "backbone")


# ------------------------------------------------------------------------------------------------ datasets


def test_a_folder_that_is_missing(refused: Callable[..., str], photos: Path) -> None:
    message = refused("run", "--dataset", "fotos/", *TINY)
    assert str(photos.parent / "fotos") in message
    assert "Did you mean 'photos'?" in message


def test_a_folder_that_is_empty(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message = refused("run", "--dataset", "empty", *TINY)
    assert str(tmp_path / "empty") in message
    assert "no image" in message


def test_a_folder_with_one_class(refused: Callable[..., str], tmp_path: Path) -> None:
    for i in range(5):
        picture(tmp_path / "photos" / "cat" / f"{i}.png", i)
    message = refused("run", "--dataset", "photos/", *TINY)
    assert "two class" in message
    assert "'cat'" in message


def test_images_without_class_folders(refused: Callable[..., str], tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "1.png")
    assert "class" in refused("run", "--dataset", "photos/", *TINY)


def test_a_class_with_no_readable_image(refused: Callable[..., str], photos: Path) -> None:
    for i in range(10):
        text = photos / "fish" / f"{i}.jpg"
        text.parent.mkdir(exist_ok=True)
        text.write_text("this is no image")
    message = refused("run", "--dataset", photos, *TINY, "--fractions", "1")
    assert "'fish'" in message
    assert "fish/0.jpg" in message


def test_a_class_folder_that_is_empty(refused: Callable[..., str], photos: Path) -> None:
    (photos / "fish").mkdir()
    assert "'fish'" in refused("run", "--dataset", photos, *TINY, "--fractions", "1")


def test_a_class_too_small_to_spare_one_for_validation(refused: Callable[..., str], photos: Path) -> None:
    picture(photos / "fish" / "only.png")
    assert "'fish'" in refused("run", "--dataset", photos, *TINY, "--fractions", "1")


def test_a_fraction_too_small_names_the_class(refused: Callable[..., str], photos: Path) -> None:
    message = refused("run", "--dataset", photos, *TINY, "--fractions", "0.1")
    assert "'cat'" in message or "'dog'" in message


def test_single_corrupt_images_are_named_and_left_out(
    command: Callable[..., Ended], photos: Path, tmp_path: Path
) -> None:
    (photos / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    code, out, error = command("plan", "--dataset", photos, *TINY, "--fractions", "1")
    assert (code, error.count("Traceback")) == (0, 0)
    assert "cat/broken.jpg" in out
    assert "1 of 21 images" in out
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------------------------------- run directories


def test_a_directory_with_another_plan(refused: Callable[..., str], tmp_path: Path) -> None:
    other = prepare(
        load_plan({"datasets": ["digits"], "backbones": ["MobileNet:weights=none"], "image_size": 32})
    )
    out = tmp_path / "out"
    out.mkdir()
    (out / "plan.toml").write_text(other.plan.to_toml())
    message = refused("run", *DIGITS, "--epochs", "3", "--out", out)
    assert str(out) in message
    assert "epochs" in message
    assert "seeds" not in message  # a run may grow by these
    assert f"python -m bench run {out / 'plan.toml'}" in message


def test_plan_shows_the_run_that_would_grow(command: Callable[..., Ended], tmp_path: Path) -> None:
    settings = {"datasets": ["digits"], "backbones": ["MobileNet:weights=none"], "image_size": 32, "seeds": 2}
    store = Store(tmp_path / "out")
    store.directory.mkdir()
    store.write_plan(load_plan({**settings, "fractions": [1], "strategies": ["majority"]}).to_toml())
    store.write_run({})
    for run in ((store.plan_path,), ("--out", store.directory)):
        code, out, error = command("plan", *run, "--seeds", "3", "--strategy", "logistic")
        assert code == 0, error
        assert "The run grows: strategies logistic; 3 seeds instead of 2." in error
        assert "majority" in out


def test_a_directory_of_another_protocol(refused: Callable[..., str], tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    store.write_run({"protocol_version": PROTOCOL_VERSION + 1})
    assert "protocol" in refused("run", *DIGITS, "--out", store.directory)


def test_a_directory_with_other_data(refused: Callable[..., str], tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    store.write_run({"protocol_version": PROTOCOL_VERSION, "datasets": {"0123": {}}})
    assert "changed" in refused("run", *DIGITS, "--out", store.directory)


def test_a_directory_that_cannot_be_made(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "out" in refused("run", *DIGITS, "--out", tmp_path / "file" / "out")
    assert "out" in refused("run", *DIGITS, "--out", tmp_path / "file")


def test_a_directory_in_which_another_run_works(
    command: Callable[..., Ended], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    code = (
        "import sys, time, pathlib\nfrom bench.store import Store\n"
        "store = Store(pathlib.Path(sys.argv[1]))\nstore.lock()\nprint('locked', flush=True)\ntime.sleep(600)\n"
    )
    with start("-c", code, tmp_path / "out") as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            rc, _, error = command("run", *DIGITS, "--out", tmp_path / "out")
        finally:
            holder.kill()
    assert rc == 2
    assert "another run" in error
    assert "Traceback" not in error
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock"}


def test_a_record_of_a_newer_program(command: Callable[..., Ended], tmp_path: Path) -> None:
    settings = {"datasets": ["digits"], "backbones": ["MobileNet:weights=none"], "image_size": 32, "seeds": 1}
    cell = prepare(load_plan(settings)).cells[0]
    content = Record(cell_id=cell.id, cell=asdict(cell), status="ok").to_json()
    path = tmp_path / "out" / "cells" / f"{cell.id}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**content, "schema_version": SCHEMA_VERSION + 1}))
    for arguments in (["run", *DIGITS, "--out", tmp_path / "out"], ["report", tmp_path / "out"]):
        code, _, error = command(*arguments)
        assert code == 2
        assert "newer" in error
        assert "Traceback" not in error
        assert path.exists()


def test_a_cell_without_a_record_is_no_success(
    command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.execution.local.LocalExecutor, "run", lambda *arguments: iter(()))
    code, _, _ = command("run", *DIGITS, "--strategy", "majority")
    assert code == 1


def test_report_of_what_is_no_run(refused: Callable[..., str], tmp_path: Path) -> None:
    assert str(tmp_path / "nothing") in refused("report", tmp_path / "nothing")


def test_the_default_directory_is_named_first_and_by_dataset_and_plan(
    command: Callable[..., Ended], photos: Path
) -> None:
    _, out, _ = command("plan", "--dataset", f"{photos}/", *TINY, "--fractions", "1")
    assert "runs/photos-" in out


def test_a_plan_warns_of_images_too_small_for_pretrained_weights(
    command: Callable[..., Ended], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runs.prepare.check_fit", lambda *arguments: None)  # would load Keras
    (tmp_path / "x.weights.h5").write_bytes(b"x")
    pretrained = (
        "--backbone",
        f"MobileNet:weights={tmp_path / 'x.weights.h5'}",
        "--seeds",
        1,
        "--fractions",
        1,
    )

    def plan(*more: object) -> str:
        code, out, error = command("plan", "--dataset", photos, *more)
        assert code == 0, error
        return out

    warned = plan(*pretrained, "--image-size", 48)
    assert (
        "Warning: MobileNet (weights: x.weights.h5): at 48 px, the last feature map is only 1 x 1." in warned
    )
    assert "--image-size 64" in warned
    assert "feature map" not in plan(*pretrained, "--image-size", 64)
    assert "feature map" not in plan(*pretrained, "--image-size", 48, "--strategy", "scratch")
    assert "feature map" not in plan(*TINY, "--fractions", 1)


def test_a_recommendation_tells_of_images_that_were_too_small(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    store = Store(tmp_path / "run")
    for strategy, accuracy in (("nearest_pixel", 0.6), ("feature_extraction", 0.4)):
        cell = SMALL_CELL | {"strategy": strategy}
        if strategy == "nearest_pixel":
            cell |= {"backbone": "", "weights": ""}
        side = [1, 1] if cell["backbone"] else []
        record = Record(Cell(**cell).id, cell, "ok", n=100, metrics={"accuracy": accuracy}, feature_map=side)
        record.costs = {"total_seconds": 1.0}
        store.write(record)
    code, out, error = command("recommend", store.directory)
    assert code == 0, error
    assert "nearest pixels" in out
    assert "Caution: MobileNet: at 48 px, the last feature map is only 1 x 1." in out
    code, out, _ = command("recommend", store.directory, "--json")
    assert "--image-size 64" in json.loads(out)["cautions"][0]


def test_cache_shows_and_clears(
    command: Callable[..., Ended],
    refused: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path / "kept"))
    entry = cache_dir() / "prefixes" / "abc"
    entry.mkdir(parents=True)
    (entry / "tensor-0.npy").write_bytes(b"x" * 3_000_000)
    code, out, _ = command("cache")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("prefixes")]
    assert line.split()[1] == "1"
    assert 2.5 < float(line.split()[2]) < 3.5
    assert "datasts" in refused("cache", "clear", "datasts")
    assert "'cleer'" in refused("cache", "cleer")
    assert entry.exists()
    code, out, _ = command("cache", "clear", "prefixes")
    assert code == 0
    assert out.startswith("3 MiB")
    assert not entry.exists()


@pytest.mark.parametrize(
    ("field", "strategy"), [("source_dataset", "dann"), ("auxiliary_dataset", "multi_task")]
)
def test_a_second_dataset_is_named_by_its_own_field(
    refused: Callable[..., str], field: str, strategy: str
) -> None:
    flag = "--" + field.replace("_", "-")
    message = refused("plan", "--dataset", "digits", flag, "nowhere", "--strategy", strategy)
    assert message.startswith(f"bench: {flag} must be ")
