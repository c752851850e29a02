"""Plug-ins: found without being imported, told apart when broken, and part of a cell's identity."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.backbones.families.small_transformer import SmallTransformer
from bench.backbones.plugin import backbone_origin
from bench.backbones.spec import has_small_map, parse_backbone
from bench.backbones.weights import resolve_weights
from bench.cli import listing
from bench.datasets import canonical_spec, open_dataset
from bench.datasets.specs import open_source
from bench.errors import BenchError, RequestError
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan
from bench.plans.strategies import ask_for, get_strategy, load_strategy
from bench.protocols.cells import check_unchanged, used
from bench.records import Cell
from bench.runs.prepare import prepare
from bench.system import plugins

GENTLE = """
from strategies.base import Stage, Strategy

class Gentle(Strategy):
    name, summary = "gentle", "A gentle one."
    def stages(self, hp, info):
        return [Stage("head", cut="top", learning_rate=1e-2)]
"""
PLAN = {"datasets": ["digits"], "backbones": ["MobileNet:weights=none"], "image_size": 32, "seeds": 1,
        "fractions": [0.1]}  # fmt: skip

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes a package of modules with entry points, as pip leaves it in a folder of the path."""
    before = set(sys.modules)

    def make(package: str, entries: dict[str, dict[str, str]], version: str = "1.0", **modules: str) -> Path:
        folder = tmp_path / package
        about = folder / f"{package.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = [
            line
            for kind, names in entries.items()
            for line in (
                f"[{plugins.GROUPS[kind]}]",
                *(f"{name} = {target}" for name, target in names.items()),
            )
        ]
        (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield make
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_plugin_is_imported_when_it_is_asked_for_and_not_before(install: Install) -> None:
    install("gentle-package", {"strategies": {"gentle": "gentle_module:Gentle"}}, gentle_module=GENTLE)
    (found,) = plugins.plugins("strategies")
    assert (found.name, found.package, found.problem) == ("gentle", "gentle-package 1.0", "")
    assert "gentle_module" not in sys.modules
    get_strategy("majority")
    assert "gentle_module" not in sys.modules
    assert get_strategy("gentle").summary == "A gentle one."
    assert load_strategy("gentle")[1] == "gentle-package 1.0"


def test_what_is_built_in_asks_no_package(monkeypatch: pytest.MonkeyPatch, session_cache: Path) -> None:
    def refuse(path: tuple[str, ...]) -> Any:
        raise AssertionError("entry points were read")

    monkeypatch.setattr(plugins, "_declared", refuse)
    assert prepare(load_plan({**PLAN, "strategies": ["scratch", "majority"]})).cells
    assert canonical_spec("keras:mnist") == "keras:mnist"


BROKEN = {
    "no_such": ("no_such_module:Thing", "", "ModuleNotFoundError"),
    "raises": ("raising:Thing", "1 / 0", "ZeroDivisionError: division by zero"),
    "exits": ("exiting:Thing", "import sys; sys.exit('good bye')", "SystemExit: good bye"),
    "lacks": ("lacking:Thing", "", "AttributeError"),
    "no_strategy": ("something:Thing", "class Thing: ...", "is not derived from strategies.base.Strategy"),
    "an_object": ("object_there:Thing", "Thing = 3", "Thing, a int, is not derived"),
    "scratch": ("taking:Thing", GENTLE, "this name is built in"),
}


@pytest.fixture
def broken(install: Install) -> None:
    """Every kind of broken strategy; and a package of other things, whose file of entry points is damaged."""
    modules = {target.partition(":")[0]: text for target, text, _ in BROKEN.values()}
    del modules["no_such_module"]
    install(
        "bad-package", {"strategies": {name: target for name, (target, _, _) in BROKEN.items()}}, **modules
    )
    folder = install("damaged-package", {})
    (path,) = folder.glob("*.dist-info/entry_points.txt")
    path.write_text("[transfer_bench.strategies]\nthis is no entry point\n")


def test_a_line_says_what_is_broken_and_why(
    broken: None, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("gentle-package", {"strategies": {"gentle": "gentle_module:Gentle"}}, gentle_module=GENTLE)
    listing.list_strategies()
    lines = capsys.readouterr().out.splitlines()
    for name, (_, _, reason) in BROKEN.items():
        (line,) = (line for line in lines if line.startswith(f"{name} ") and "BROKEN" in line)
        assert "bad-package 1.0: " in line
        assert reason in line
    (damaged,) = (line for line in lines if "damaged-package" in line)
    assert "entry_points.txt cannot be read" in damaged
    assert any(line.startswith("gentle  ") and line.endswith("A gentle one.") for line in lines)
    assert any(line.startswith("scratch  ") and "trains from random weights" in line for line in lines)
    listing.list_backbones()
    listing.list_datasets()


def test_a_broken_plugin_is_one_message_to_who_asks_for_it(broken: None) -> None:
    for name, (_, _, reason) in BROKEN.items():
        if name == "scratch":
            assert type(get_strategy(name)).__module__ == "strategies.scratch"
            continue
        with pytest.raises(RequestError) as caught:
            prepare(load_plan({**PLAN, "strategies": ["majority", name]}))
        assert str(caught.value).startswith(
            f"strategy must be a plug-in that works (got '{name}'). bad-package"
        )
        assert reason in str(caught.value)


def test_a_broken_plugin_hurts_no_run_without_it(broken: None) -> None:
    assert len(prepare(load_plan({**PLAN, "strategies": ["majority", "scratch"]})).cells) == 2
    with pytest.raises(RequestError, match="Did you mean 'majority'"):
        get_strategy("majorty")


def test_two_packages_with_one_name(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("first", "second"):
        install(
            package, {"strategies": {"gentle": f"{package}_module:Gentle"}}, **{f"{package}_module": GENTLE}
        )
    with pytest.raises(RequestError, match=r"second 1.0 and first 1.0: they declare the same name"):
        get_strategy("gentle")
    ask_for("second_module:Gentle")
    assert get_strategy("second_module:Gentle").summary
    listing.list_strategies()
    assert "they declare the same name" in capsys.readouterr().out


def test_the_first_of_a_package_that_is_installed_twice_counts(install: Install) -> None:
    entries = {"strategies": {"gentle": "gentle_module:Gentle"}}
    old = install("gentle-package", entries, gentle_module=GENTLE)
    new = old.with_name("new")
    (old / "gentle_package-1.0.dist-info").rename(old / "gentle_package-2.0.dist-info")
    new.mkdir()
    install_again = new / "gentle_package-1.0.dist-info"
    install_again.mkdir()
    for path in (old / "gentle_package-2.0.dist-info").iterdir():
        (install_again / path.name).write_text(path.read_text())
    sys.path.append(str(new))
    try:
        (found,) = plugins.plugins("strategies")
        assert found.problem == ""
    finally:
        sys.path.remove(str(new))


def ids(strategy: str) -> str:
    (cell,) = prepare(load_plan({**PLAN, "strategies": [strategy]})).cells
    return cell.id


def test_the_version_of_a_built_in_network_is_part_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    first = backbone_origin("SmallTransformer")
    assert first == backbone_origin("MobileNet") == ""
    monkeypatch.setattr(SmallTransformer, "version", 2)
    assert backbone_origin("SmallTransformer") == "version 2"


def test_version_and_source_of_a_plugin_are_part_of_a_cell(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"strategies": {"gentle": "gentle_module:Gentle"}}

    def installed(version: str, text: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", list(sys.path))
            plugins._declared.cache_clear()  # as in another process
            folder = install("gentle-package", entries, version, gentle_module=text)
            found = ids("gentle")
            assert ids("gentle") == found
            folder.rename(folder.with_name(f"gone-{version}-{len(text)}"))
        del sys.modules["gentle_module"]
        return found

    first = installed("1.0", GENTLE)
    assert installed("1.0", GENTLE + "# changed\n") != first
    assert installed("1.1", GENTLE) != first
    assert installed("1.0", GENTLE.replace("name,", "version = 2\n    name,")) != first


def test_a_base_class_of_the_author_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = set()
    for rate in ("1e-2", "2e-2"):
        Path("base_of_mine.py").write_text(GENTLE.replace("1e-2", rate))
        Path("of_mine.py").write_text("from base_of_mine import Gentle\nclass Mine(Gentle): ...\n")
        found.add(ids("of_mine:Mine"))  # found in the current folder
        del sys.modules["base_of_mine"], sys.modules["of_mine"]
    assert len(found) == 2


def test_cells_of_what_is_built_in_are_what_they_were() -> None:
    (cell,) = prepare(load_plan({**PLAN, "strategies": ["majority"]})).cells
    assert cell.plugins == {}
    assert "plugins" not in cell.identity
    fields = {name: getattr(cell, name) for name in Cell.__dataclass_fields__ if name != "plugins"}
    assert Cell(**fields).id == cell.id  # of a record from before
    (spelled,) = prepare(load_plan({**PLAN, "strategies": ["strategies.majority:Majority"]})).cells
    assert spelled.plugins == {}


def test_a_cell_is_refused_where_its_plugin_is_another(install: Install) -> None:
    install("gentle-package", {"strategies": {"gentle": "gentle_module:Gentle"}}, gentle_module=GENTLE)
    (cell,) = prepare(load_plan({**PLAN, "strategies": ["gentle"]})).cells
    check_unchanged(cell)
    assert cell.plugins["strategy"].startswith("gentle-package 1.0 source ")
    other = replace(cell, plugins={"strategy": "gentle-package 0.9 source 000000000000"})
    with pytest.raises(
        RequestError,
        match=r"-package 0.9 source 0+, as planned .got .gentle... Here it is gentle-package 1.0",
    ):
        check_unchanged(other)
    with pytest.raises(RequestError, match="the first built-in version, as planned"):
        check_unchanged(replace(cell, plugins={}))


def test_the_script_that_runs_is_no_module() -> None:
    with pytest.raises(RequestError, match="put it into a module"):
        get_strategy("__main__:Anything")


# ---------------------------------------------------------------------------------------------- backbones

NET = """
from bench.backbones.plugin import BackbonePlugin

class Net(BackbonePlugin):
    summary = "A net."
    options = {"width": 1.0, "deep": False}
    def build(self, image, **options):
        return image
    def weights(self, **options):
        if options["width"] != 1.0:
            raise ValueError("only of width 1")
        return FILE

class Bare(BackbonePlugin):
    summary = "Without weights."
"""


@pytest.fixture
def nets(install: Install, tmp_path: Path) -> Path:
    """Two backbones, and where the weights of one of them are to be."""
    file = tmp_path / "net.weights.h5"
    names = {"Net": "net_module:Net", "Bare": "net_module:Bare", "Gone": "gone_module:Gone", "VGG16": "x:y"}
    install("net-package", {"backbones": names}, net_module=NET.replace("FILE", repr(str(file))))
    return file


def test_a_backbone_of_another_package(nets: Path) -> None:
    spec = parse_backbone("Net:deep=true,width=1")
    assert (spec.text, spec.weights) == ("Net:deep=true", "pretrained")
    assert parse_backbone(parse_backbone("Net:weights=none").text).weights == "none"
    assert (parse_backbone("Bare").text, parse_backbone("Bare:weights=none").text) == ("Bare", "Bare")
    for text, words in (
        ("Net:depth=3", "width, deep, weights"),
        ("Net:weights=imagenet", "have weights as pretrained, none, source:DIR or a path"),
        ("Bare:weights=pretrained", "have weights as none, source:DIR or a path"),
        ("Gone", "ModuleNotFoundError"),
        ("Nett", "Did you mean 'Net'"),
    ):
        with pytest.raises(RequestError) as caught:
            parse_backbone(text)
        assert words in str(caught.value)
    assert not has_small_map(parse_backbone("Net"), 8)  # nobody knows before it is built
    assert used("majority", "Net:deep=true")["backbone"].startswith("net-package 1.0 source ")
    assert used("majority", "VGG16") == used("majority", "") == {}


def test_its_weights_are_a_file_that_is_there(nets: Path) -> None:
    with pytest.raises(RequestError, match="There is no file"):
        resolve_weights(parse_backbone("Net"), 32)
    nets.write_bytes(b"anything")
    found = resolve_weights(parse_backbone("Net"), 32)
    assert (found.kind, found.path, len(found.sha256)) == ("file", str(nets), 64)
    with pytest.raises(RequestError, match="ValueError: only of width 1"):
        resolve_weights(parse_backbone("Net:width=0.5"), 32)


def test_backbones_are_listed(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing.list_backbones()
    text = capsys.readouterr().out
    assert "width, deep" in text
    assert "A net. From net-package 1.0; weights=pretrained (default)" in text
    assert "Without weights. From net-package 1.0; weights=none (default)" in text
    assert [line for line in text.splitlines() if line.startswith("Gone") and "ModuleNotFoundError" in line]
    assert [
        line for line in text.splitlines() if line.startswith("VGG16") and "this name is built in" in line
    ]


# ----------------------------------------------------------------------------------------------- datasets

DOTS = """
import numpy as np
from bench.datasets.plugin import DatasetPlugin
from bench.datasets.source import Contents, RowPicture

class Dots(DatasetPlugin):
    summary = "Dots."
    def stamp(self):
        return [self.argument]
    def contents(self):
        n = int(self.argument or 8)
        parts = dict(
            ids=[str(i) for i in range(n)], labels=[i % 2 for i in range(n)], class_names=["a", "b"], in_test=None,
            groups=None, group_names=(),
            pictures=[RowPicture(np.full((9, 9), i, np.uint8), 1.0) for i in range(n)],
        )
        CHANGE
        return Contents(**parts)
"""


def dots(install: Install, change: str = "") -> None:
    module = DOTS.replace("CHANGE", change)
    install("dots-package", {"datasets": {"dots": "dots_module:Dots"}}, dots_module=module)


def test_a_dataset_of_another_package(install: Install, fresh_cache: Path) -> None:
    dots(install)
    assert canonical_spec("plugin:dots:12") == "plugin:dots:12"
    dataset = open_dataset("plugin:dots:12", ImageInput(16))
    assert (dataset.name, dataset.class_names) == ("dots", ("a", "b"))
    assert len(dataset.pool.ids) + len(dataset.test.ids) == 12
    assert open_source("plugin:dots").stamp() == ["dots-package 1.0", ""]  # another version is decoded again
    for spec in ("plugin:dotts", "dots"):
        with pytest.raises(RequestError, match="Did you mean 'plugin:dots'"):
            open_source(canonical_spec(spec))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("return parts", "contents() gave dict"),
        ("parts['ids'] = []", "lists no examples"),
        ("parts['labels'] = [0]", "8 ids and 1 labels"),
        ("parts['ids'] = ['x'] * n", "no two are the same"),
        ("parts['labels'] = [2] * n", "no indices into its 2 class names"),
        ("parts['groups'] = [5] * n", "no indices into its 0 group names"),
        ("1 / 0", "contents() failed with ZeroDivisionError"),
    ],
)
def test_mistakes_of_a_dataset_are_told(install: Install, fresh_cache: Path, change: str, words: str) -> None:
    dots(install, change)
    with pytest.raises(BenchError) as caught:
        open_dataset("plugin:dots", ImageInput(16))
    assert words in str(caught.value)
    assert "dots-package 1.0" in str(caught.value)


def test_an_argument_that_a_dataset_cannot_use(install: Install, fresh_cache: Path) -> None:
    dots(install)
    with pytest.raises(RequestError, match="contents\\(\\) failed with ValueError"):
        open_dataset("plugin:dots:many", ImageInput(16))


def test_without_any_plugin() -> None:
    with pytest.raises(RequestError, match="No installed package declares one"):
        open_source("plugin:dots")
