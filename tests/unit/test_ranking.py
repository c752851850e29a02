"""Ranking backbones: order, choice, what a plan makes of ``auto:K``, agreement with a run. No worker is started."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.backbones import weights
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import present
from bench.errors import BenchError, RequestError
from bench.execution.local import LocalExecutor
from bench.plans.loading import load_plan
from bench.plans.resolved import resolve
from bench.ranking import candidates
from bench.ranking import rank as ranking_module
from bench.ranking.rank import rank
from bench.ranking.ranking import COLUMNS, SCORES, Ranked, Ranking, choose, order
from bench.ranking.scores import SCORES as OF_FEATURES
from bench.records import Record
from bench.runs.agreement import agreement, find_run, rank_correlations
from bench.runs.results import Run
from bench.runs.run import default_out
from bench.store import Store
from bench.system import plugins
from bench.system.files import cache_dir

GOOD = {"MobileNet": 0.7, "MobileNet:alpha=0.25": 0.6, "EfficientNetLite0": 0.8, "DenseNet121": 0.75}
"""Predicted accuracy of pretrained weights in these tests; random ones get 0.2."""


def made(backbone: str, probe: float | None, logme: float = 0.0, params: int = 10) -> Ranked:
    scores = dict.fromkeys(SCORES, 0.1) | {"probe": probe, "logme": logme, "leep": None}
    top1 = parse_backbone(backbone).imagenet_top1
    return Ranked(backbone, scores, {"leep": "no head"}, params, 4, [2, 2], top1, 1.0)


def ranking_of(*backbones: str, **changes: Any) -> Ranking:
    """A ranking of these backbones in this order."""
    ranked = tuple(made(name, 0.9 - 0.1 * i) for i, name in enumerate(backbones))
    fields: dict[str, Any] = {
        "dataset": "digits", "name": "digits", "fingerprint": "f" * 16, "images": 100, "pool": 1438, "classes": 10,
        "majority": 0.1, "modality": "image", "input": {"image_size": 32, "resizing": "crop"},
        "pooling": "avg", "backbones": ranked,
        "left_out": (("VGG16", "its weights are not on this machine"),),
    }  # fmt: skip
    return Ranking(**{**fields, **changes})


# ------------------------------------------------------------------------------------------------- order


def test_the_predicted_accuracy_decides_then_logme_then_size() -> None:
    ranked = [
        made("MobileNet", None),
        made("VGG16", 0.5, logme=0.1, params=9),
        made("VGG19", 0.5, logme=0.1, params=8),
        made("Xception", 0.5, logme=0.2, params=99),
        made("MobileNet:weights=none", 0.6, logme=-1),
    ]
    names = ["MobileNet:weights=none", "Xception", "VGG19", "VGG16", "MobileNet"]
    assert [r.backbone for r in order(ranked)] == names
    assert [r.backbone for r in order(ranked[::-1])] == names


def test_every_column_has_a_meaning_and_every_score_of_features_is_one() -> None:
    assert set(OF_FEATURES) | {"leep", "nce"} == set(SCORES)
    assert list(COLUMNS)[: len(SCORES)] == list(SCORES)
    ranked = made("MobileNet:alpha=0.25", 0.5)
    assert {column: ranked.value(column) for column in ("probe", "leep", "imagenet_top1", "params")} == {
        "probe": 0.5, "leep": None, "imagenet_top1": 50.6, "params": 10,
    }  # fmt: skip


def test_a_published_accuracy_is_of_these_very_weights() -> None:
    known = {
        "ResNet50": 74.9,
        "MobileNetV2:alpha=0.35": 60.3,
        "ResNet50:weights=none": None,
        "MobileNetV3Small:minimalistic=true": 61.9,
    }
    assert {text: parse_backbone(text).imagenet_top1 for text in known} == known


def test_the_choice_is_the_top_and_what_was_named() -> None:
    ranking = ranking_of("Xception", "VGG16", "MobileNet", "MobileNet:weights=none")
    assert choose([ranking], 2, []) == ["Xception", "VGG16"]
    assert choose([ranking], 1, ["MobileNet:weights=none", "Xception"]) == [
        "Xception",
        "MobileNet:weights=none",
    ]
    assert len(choose([ranking], 99, [])) == 4


def test_over_several_datasets_the_mean_place_counts() -> None:
    first = ranking_of("Xception", "VGG16", "MobileNet", "VGG19")
    second = ranking_of("VGG16", "MobileNet", "Xception")
    assert choose([first, second], 4, []) == ["VGG16", "Xception", "MobileNet"]


def test_the_margin_is_that_of_a_share() -> None:
    assert ranking_of().margin(0.5) == pytest.approx(1.96 * 0.05)
    assert ranking_of().margin(1.0) == 0


# -------------------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize("backbones", ["auto:5", ["auto:5"], [" auto:05 "], ["auto:5", "VGG16"]])
def test_a_plan_may_leave_the_choice_open(backbones: Any) -> None:
    plan = resolve(load_plan({"datasets": ["digits"], "backbones": backbones})).plan
    assert plan.auto == 5
    assert plan.backbones[0] == "auto:5"
    assert plan.named == (["VGG16"] if "VGG16" in backbones else [])
    assert load_plan({"datasets": ["digits"]}).auto is None


@pytest.mark.parametrize(
    "bad", ["auto", "auto:", "auto:0", "auto:x", "auto:-1", "auto:1.5", "auto:²", "auto:1e1"]
)
def test_what_is_no_number_of_backbones_is_refused(bad: str) -> None:
    for backbones in (bad, [bad], ["VGG16", bad]):
        with pytest.raises(RequestError, match=r"backbones must be .*auto:5") as caught:
            load_plan({"datasets": ["digits"], "backbones": backbones})
        assert caught.value.received == bad


def test_the_choice_is_open_once() -> None:
    with pytest.raises(RequestError, match="auto:K once"):
        load_plan({"datasets": ["digits"], "backbones": ["auto:1", "auto:2"]})


@pytest.mark.parametrize(
    ("key", "value"), [("images", 3), ("images", 20.0), ("download", -1), ("downlod", 1)]
)
def test_settings_of_the_ranking_are_checked(key: str, value: Any) -> None:
    with pytest.raises(RequestError, match=f"ranking.{key}"):
        load_plan({"datasets": ["digits"], "ranking": {key: value}})


# ------------------------------------------------------------------------------------------- candidates


def test_weights_are_known_by_the_names_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "mobilenet_2_5_224_tf_no_top.h5": "MobileNet:alpha=0.25",
        "mobilenet_1_0_128_tf_no_top.h5": "MobileNet",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5": "MobileNetV2:alpha=0.35",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5": "MobileNetV2",
        "weights_mobilenet_v3_large_224_0.75_float_no_top_v2.h5": "MobileNetV3Large:alpha=0.75",
        "weights_mobilenet_v3_small_minimalistic_224_1.0_float_no_top_v2.h5":
            "MobileNetV3Small:minimalistic=true",
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5": "ResNet50",
        "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5": "ResNet50V2",
        "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5": "ResNet152V2",
        "efficientnetb0_notop.h5": "EfficientNetB0",
        "efficientnetv2-b0_notop.h5": "EfficientNetV2B0",
        "efficientnetv2-s_notop.h5": "EfficientNetV2S",
        "convnext_large_notop.h5": "ConvNeXtLarge",
        "convnext_xlarge_notop.h5": "ConvNeXtXLarge",
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5": "InceptionResNetV2",
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5": "InceptionV3",
        "nasnet_mobile_no_top.h5": "NASNetMobile",
        "densenet201_weights_tf_dim_ordering_tf_kernels_notop.h5": "DenseNet201",
        "xception_weights_tf_dim_ordering_tf_kernels_notop.h5": "Xception",
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5": "VGG19",
    }  # fmt: skip
    others = ["mine.h5", "mobilenet_new.h5", "efficientnet_lite0_notop.h5", "mobilenet_3_3_224_tf_no_top.h5"]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(weights.tempfile, "gettempdir", lambda: str(tmp_path / "none"))
    assert present() == []
    (tmp_path / "models").mkdir()
    for name in [*files, *others]:
        (tmp_path / "models" / name).touch()
    (tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5.123.part").touch()
    assert {spec.text for spec in present()} == set(files.values())
    assert present(classifier=True) == []
    (tmp_path / "models" / "mobilenet_2_5_224_tf.h5").touch()
    assert [spec.text for spec in present(classifier=True)] == ["MobileNet:alpha=0.25"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A machine with the weights of ``here``, and of ``there`` if it is ``online``; no workers, made-up scores."""
    state: dict[str, Any] = {
        "here": ["MobileNet", "MobileNet:alpha=0.25"], "there": ["DenseNet121"], "online": False,
        "asked": [], "jobs": [], "fails": [], "feature_map": [2, 2],
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache").mkdir()
    # Decoded images may be those of other tests.
    (cache_dir() / "datasets").mkdir(exist_ok=True)
    (tmp_path / "cache" / "datasets").symlink_to(cache_dir() / "datasets")
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "some.h5"
    file.write_bytes(b"abc")

    def fetch(self: Any, spec: Any, image_size: int, download: bool = True) -> dict[str, str]:
        state["asked"].append((spec.text, download))
        if spec.text in state["here"] or (download and state["online"] and spec.text in state["there"]):
            return {"path": str(file)}
        return {"file": f"{spec.name}.h5", "folder": "/k", "origin": "https://o", "error": "not there"}

    def rank_jobs(self: Any, jobs: Sequence[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        state["jobs"] += jobs
        for place, job in reversed(list(enumerate(jobs))):
            if job.backbone in state["fails"]:
                yield place, {"failed": "out of memory"}
                continue
            probe = 0.2 if job.weights == "none" else GOOD[job.backbone]
            scores = dict.fromkeys(SCORES, 0.1) | {"probe": probe, "leep": None}
            yield place, {"scores": scores, "missing": {"leep": "no head"}, "params": 5, "width": 4,
                          "feature_map": state["feature_map"], "ms_per_image": 1.5}  # fmt: skip

    def run(self: Any, queue: Any, latencies: dict[str, Any]) -> Iterator[Record]:
        while cell := queue.take(0):
            yield Record(cell.id, asdict(cell), "ok", metrics={"accuracy": 0.5}, n=144)

    monkeypatch.setattr(LocalExecutor, "fetch", fetch)
    monkeypatch.setattr(LocalExecutor, "rank", rank_jobs)
    monkeypatch.setattr(LocalExecutor, "run", run)
    monkeypatch.setattr(LocalExecutor, "measure_latency", lambda self, job: 1.5)
    monkeypatch.setattr(LocalExecutor, "time_batches", lambda self, jobs: [None] * len(jobs))
    monkeypatch.setattr("bench.ranking.candidates.online", lambda: state["online"])
    monkeypatch.setattr(
        candidates, "present",
        lambda classifier=False: [] if classifier else [parse_backbone(text) for text in state["here"]],
    )  # fmt: skip
    return state


def names(ranking: Ranking) -> list[str]:
    return [ranked.backbone for ranked in ranking.backbones]


def test_offline_those_that_are_here_are_ranked_and_the_rest_is_named(machine: dict[str, Any]) -> None:
    ranking = rank("digits", ["MobileNet:weights=none"], image_size=32)
    assert names(ranking) == [
        "EfficientNetLite0", "MobileNet", "MobileNet:alpha=0.25", "MobileNet:weights=none",
    ]  # fmt: skip
    left_out = dict(ranking.left_out)
    assert set(left_out) & set(names(ranking)) == set()
    assert len(left_out) == 41 - 2
    assert "no connection" in left_out["DenseNet121"]
    assert "75 px" in left_out["InceptionV3"]
    assert "more than 30 million" in left_out["VGG16"]
    assert not any(download for _, download in machine["asked"])
    assert ranking.images == ranking.pool == 1438
    json.dumps(ranking.to_json(), allow_nan=False)


def test_online_what_is_missing_is_downloaded_up_to_a_size(machine: dict[str, Any]) -> None:
    machine["online"] = True
    said: list[str] = []
    ranking = rank("digits", image_size=32, say=said.append)
    assert "DenseNet121" in names(ranking)
    assert any("Downloading" in line and "ranking.download = 0" in line for line in said)
    tried = [text for text, download in machine["asked"] if download]
    assert tried[0] == "MobileNetV3Small"  # the smallest first
    assert "ResNet50" in tried
    assert "VGG16" not in tried
    assert "not there" in dict(ranking.left_out)["ResNet50"]
    machine["asked"].clear()
    small = rank("digits", image_size=32, ranking={"download": 0})
    assert "DenseNet121" not in names(small)
    assert not any(download for _, download in machine["asked"])
    assert dict(small.left_out)["DenseNet121"] == "its weights are not on this machine"


def test_a_connection_that_breaks_is_not_tried_for_ever(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False])
    monkeypatch.setattr("bench.ranking.candidates.online", lambda: next(answers))
    left_out = dict(rank("digits", image_size=32).left_out)
    assert len([text for text, download in machine["asked"] if download]) == 1
    assert "no connection" in left_out["ResNet50"]


def test_pretrained_networks_with_a_small_feature_map_are_a_warning(
    machine: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.cli.show.ranking import print_ranking

    machine["feature_map"] = [1, 1]
    ranking = rank("digits", ["MobileNet", "MobileNet:weights=none"], only=True, image_size=48)
    (warning,) = ranking.to_json()["warnings"]
    assert warning.startswith("MobileNet: at 48 px, the last feature map is only 1 x 1.")
    print_ranking(ranking, None)
    assert f"Warning: {warning}\n" in capsys.readouterr().out
    machine["feature_map"] = [2, 2]
    assert rank("digits", ["MobileNet"], only=True, image_size=64).warnings == ()


def test_only_those_that_are_given(machine: dict[str, Any]) -> None:
    given = ["MobileNet:weights=none", "MobileNet"]
    assert names(rank("digits", given, only=True, image_size=32)) == given[::-1]
    assert [text for text, _ in machine["asked"]] == ["MobileNet"]
    with pytest.raises(RequestError, match="only"):
        rank("digits", only=True)
    with pytest.raises(RequestError, match="All are ranked"):
        rank("digits", ["auto:3"])


def test_weights_that_were_asked_for_and_are_missing_are_a_mistake(machine: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="ResNet50"):
        rank("digits", ["ResNet50"], image_size=32)


def test_no_weights_at_all(machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    machine["here"] = []
    monkeypatch.setattr(weights, "LITE0_PACKAGE", "no-such-package")
    with pytest.raises(RequestError, match="backbones whose weights"):
        rank("digits", image_size=32)


def test_scores_are_kept_and_follow_what_they_depend_on(machine: dict[str, Any]) -> None:
    first = rank("digits", image_size=32)
    assert len(machine["jobs"]) == 3
    assert rank("digits", image_size=32) == first
    assert len(machine["jobs"]) == 3, "kept scores were computed again"
    for changes in (
        {"image_size": 33},
        {"resizing": "pad"},
        {"ranking": {"images": 100}},
        {"head": {"pooling": "max"}},
        {"threads": 2},
    ):
        machine["jobs"].clear()
        rank("digits", **{"image_size": 32, **changes})
        assert len(machine["jobs"]) == 3, changes


def test_a_damaged_file_of_scores_is_made_again(machine: dict[str, Any], tmp_path: Path) -> None:
    rank("digits", image_size=32)
    for path in (tmp_path / "cache" / "ranking").iterdir():
        path.write_text('{"scores": 3}')
    machine["jobs"].clear()
    rank("digits", image_size=32)
    assert len(machine["jobs"]) == 3


def test_a_backbone_that_fails_costs_no_other_and_is_tried_again(machine: dict[str, Any]) -> None:
    machine["fails"] = ["MobileNet"]
    ranking = rank("digits", image_size=32)
    assert "MobileNet" not in names(ranking)
    assert "out of memory" in dict(ranking.left_out)["MobileNet"]
    machine["fails"] = []
    assert "MobileNet" in names(rank("digits", image_size=32))
    machine["fails"] = ["MobileNet:alpha=0.25"]
    with pytest.raises(BenchError, match="out of memory"):
        rank("digits", ["MobileNet:alpha=0.25"], only=True, image_size=40)


def test_those_of_other_packages_that_bring_weights_are_ranked_too(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "net.weights.h5").write_bytes(b"abc")
    (tmp_path / "some_nets.py").write_text(
        "from bench.backbones.plugin import BackbonePlugin\n"
        "class Bare(BackbonePlugin): pass\n"
        "class Net(BackbonePlugin):\n"
        f"    def weights(self): return {str(tmp_path / 'net.weights.h5')!r}\n"
        "class Lost(Net):\n"
        "    def weights(self): return 'nowhere.h5'\n"
    )
    names_of = {"Net": "Net", "Bare": "Bare", "Lost": "Lost", "Gone": "Missing"}
    made_up = [plugins.Plugin(name, f"some_nets:{kind}", "some-nets") for name, kind in names_of.items()]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        plugins, "_declared", lambda path: {kind: [] for kind in plugins.GROUPS} | {"backbones": made_up}
    )
    monkeypatch.setitem(GOOD, "Net", 0.9)
    ranking = rank("digits", image_size=32)
    assert names(ranking)[0] == "Net"
    left_out = dict(ranking.left_out)
    assert not {"Bare", "Lost", "Gone"} & set(names(ranking))
    assert "nowhere.h5" in left_out["Lost"]
    assert "no attribute 'Missing'" in left_out["Gone"]
    assert "Bare" not in left_out  # as of its like among those that are built in


# --------------------------------------------------------------------------------------------------- run

PLAN = {
    "datasets": ["digits"],
    "backbones": ["auto:2", "MobileNet:weights=none"],
    "strategies": ["feature_extraction"],
    "image_size": 32,
    "fractions": [0.1],
    "seeds": 1,
}


def test_a_run_takes_the_top_and_says_what_it_left_out(machine: dict[str, Any], tmp_path: Path) -> None:
    result = bench.run(PLAN)
    store = Store(result.directory)
    assert result.directory == default_out(resolve(load_plan(PLAN)).plan)
    chosen = ["EfficientNetLite0", "MobileNet", "MobileNet:weights=none"]
    assert load_plan(store.plan_path).backbones == chosen
    content = store.read_ranking()
    assert content["chosen"] == chosen
    assert [r["backbone"] for r in content["rankings"][0]["backbones"]] == names(
        rank("digits", ["MobileNet:weights=none"], image_size=32)
    )
    page = (result.directory / "report.html").read_text(encoding="utf-8")
    for text in (
        "Why these backbones?",
        "MobileNet:alpha=0.25 (place 3,",
        "VGG16",
        "50.6%",
        "auto:2",
        " chose ",
    ):
        assert text in page


def test_a_run_says_if_fewer_could_be_ranked_than_it_was_to_take(
    machine: dict[str, Any], tmp_path: Path
) -> None:
    said: list[str] = []
    plan = resolve(load_plan({**PLAN, "backbones": ["auto:9", "MobileNet:weights=none"]}))
    with ranking_module.ranking_executor(plan.plan) as runs:
        ranking_module.choose_backbones(plan, Store(tmp_path / "out"), runs, said.append)
    names = "EfficientNetLite0, MobileNet, MobileNet:alpha=0.25, MobileNet (weights: none)"
    assert said[-1] == f"auto:9 takes {names}. Only 4 of 9 could be ranked: {names}."


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "report", lambda self, settings=None: self.directory / "report.html")


@pytest.mark.usefixtures("no_report")
def test_a_run_keeps_its_choice(
    machine: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(PLAN, tmp_path / "out")
    before = (tmp_path / "out" / "ranking.json").read_bytes()
    machine["here"] = ["MobileNet:alpha=0.25", "DenseNet121"]  # another machine, or another day
    machine["jobs"].clear()
    monkeypatch.setitem(GOOD, "DenseNet121", 0.99)
    again = bench.run({**PLAN, "seeds": 1}, tmp_path / "out")
    assert len(again.records) == 3
    assert machine["jobs"] == []
    bench.run(tmp_path / "out" / "plan.toml", tmp_path / "out")
    assert (tmp_path / "out" / "ranking.json").read_bytes() == before


@pytest.mark.usefixtures("no_report")
def test_a_run_grows_by_what_is_chosen_now(
    machine: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.run(PLAN, tmp_path / "out")
    chosen = Store(tmp_path / "out").read_ranking()["chosen"]
    machine["here"] = ["MobileNet:alpha=0.25", "DenseNet121"]
    monkeypatch.setitem(GOOD, "DenseNet121", 0.99)
    grown = bench.run({**PLAN, "backbones": ["auto:1"]}, tmp_path / "out")
    assert {record.cell_id for record in first.records} < {record.cell_id for record in grown.records}
    assert Store(tmp_path / "out").read_ranking()["chosen"] == [*chosen, "DenseNet121"]
    again = bench.run({**PLAN, "backbones": ["auto:1"]}, tmp_path / "out")
    assert len(again.records) == len(grown.records)


@pytest.mark.usefixtures("no_report")
def test_a_ranking_that_is_not_sound_is_made_again(machine: dict[str, Any], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out")
    for text in ("[]", "{", '{"asked": 1, "chosen": [3]}', '{"chosen": []}'):
        (tmp_path / "out" / "ranking.json").write_text(text)
        assert len(bench.run(PLAN, tmp_path / "out").records) == 3
        assert Store(tmp_path / "out").read_ranking()["chosen"]


@pytest.mark.usefixtures("no_report")
def test_shards_choose_once(machine: dict[str, Any], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out", shard="1/2")
    machine["here"] = ["MobileNet:alpha=0.25"]  # another host
    assert len(bench.run(PLAN, tmp_path / "out", shard="2/2").records) == 3


def test_a_run_without_auto_has_no_ranking(machine: dict[str, Any], tmp_path: Path) -> None:
    result = bench.run({**PLAN, "backbones": ["MobileNet"]}, tmp_path / "out")
    assert not (tmp_path / "out" / "ranking.json").exists()
    assert "Why these backbones?" not in (result.directory / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_report")
def test_labels_of_new_classes_choose_no_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = []

    def fake(plan: Any, *rest: Any) -> list[Ranking]:
        ranked.extend(Path(spec).name for spec in plan.datasets)
        return [ranking_of("Xception", "VGG16", "MobileNet")]

    monkeypatch.setattr(ranking_module, "rank_plan", fake)
    content = {"datasets": ["new.csv"], "backbones": ["auto:2"], "protocol": "few-shot", "image_size": 96}
    store = Store(tmp_path / "out")
    asked = resolve(load_plan({**content, "source_dataset": "others.csv"}))
    resolved, chosen = ranking_module.choose_backbones(asked, store, None)  # type: ignore[arg-type]
    plan = resolved.plan
    assert ranked == ["others.csv"]
    assert [Path(spec).name for spec in plan.datasets] == ["new.csv"]
    assert chosen is not None
    assert plan.backbones == chosen["chosen"] == ["Xception", "VGG16"]
    with pytest.raises(RequestError, match=r"backbones must be .*--source-dataset .got .auto:2."):
        ranking_module.choose_backbones(resolve(load_plan(content)), store, None)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- agreement


def test_rank_correlations_by_hand() -> None:
    rising = [(float(i), i / 10) for i in range(5)]
    assert rank_correlations(rising) == (pytest.approx(1), pytest.approx(1))
    assert rank_correlations([(-s, a) for s, a in rising]) == (pytest.approx(-1), pytest.approx(-1))
    swapped_low = rank_correlations([(1, 0), (0, 1), (2, 2), (3, 3), (4, 4)])
    swapped_top = rank_correlations([(0, 0), (1, 1), (2, 2), (4, 3), (3, 4)])
    assert swapped_low[1] == pytest.approx(swapped_top[1]) == pytest.approx(0.9)
    assert swapped_low[0] > swapped_top[0], "a mistake at the top weighs more"
    for too_little in (
        [],
        rising[:2],
        [(1.0, 0.1), (1.0, 0.2), (1.0, 0.3)],
        [(1.0, 0.1), (2.0, 0.1), (3.0, 0.1)],
    ):
        assert rank_correlations(too_little) == (None, None)


def measured(directory: Path, accuracies: dict[str, dict[str, float]], **changes: Any) -> Path:
    """A run directory with these accuracies by strategy and backbone, and worse ones with fewer labels."""
    from bench.records import Cell

    store = Store(directory)
    fields = {
        "strategy_version": 1, "dataset": "digits", "dataset_name": "digits", "fingerprint": "f" * 16,
        "modality": "image", "weights_sha256": "", "image_size": 32, "resizing": "crop", "augmentation": "none",
        "flip": False, "epochs": 1, "batch_size": 32, "threads": 1, "head": {"pooling": "avg"},
        "tuning": {"trials": 1}, **changes,
    }  # fmt: skip
    for strategy, of in accuracies.items():
        for backbone, accuracy in of.items():
            spec = parse_backbone(backbone)
            for fraction, seed in ((0.1, 0), (1.0, 0), (1.0, 1)):
                cell = Cell.of({"strategy": strategy, "backbone": spec.architecture, "weights": spec.weights,
                                "fraction": fraction, "seed": seed, **fields})  # fmt: skip
                value = accuracy + (seed - 0.5) * 0.02 if fraction == 1 else 0.0
                store.write(Record(cell.id, asdict(cell), "ok", metrics={"accuracy": value}))
    store.write_run({"datasets": {fields["fingerprint"]: {}}})
    return directory


def test_a_ranking_is_compared_with_a_run(tmp_path: Path) -> None:
    backbones = ("Xception", "VGG16", "MobileNet", "VGG19")  # predicted .9, .8, .7, .6
    real = dict(zip(backbones, (0.85, 0.8, 0.7, 0.4), strict=True))
    other = {"Xception": 0.1, "VGG16": 0.2, "MobileNet": 0.3, "ResNet50": 0.9}
    run = bench.load(measured(tmp_path / "r", {"feature_extraction": real, "full_finetune": other}))
    agrees = agreement(ranking_of(*backbones), run)
    assert agrees.accuracies["feature_extraction"] == pytest.approx(real)
    assert agrees.probe_error == pytest.approx((0.05 + 0 + 0 + 0.2) / 4)
    by = {(c.strategy, c.column): c for c in agrees.correlations}
    assert by["feature_extraction", "probe"].weighted_tau == pytest.approx(1)
    assert by["full_finetune", "probe"].spearman == pytest.approx(-1)
    assert by["full_finetune", "probe"].backbones == 3
    assert by["best", "probe"].spearman == pytest.approx(1)
    assert by["feature_extraction", "leep"].backbones == 0
    assert by["feature_extraction", "logme"].spearman is None  # all equal
    assert agrees.remarks == ()
    json.dumps(agrees.to_json(), allow_nan=False)


def test_a_few_shot_run_is_nothing_to_compare_with(tmp_path: Path) -> None:
    ranking = ranking_of("Xception", "VGG16", "MobileNet")
    path = measured(
        tmp_path / "few", {"feature_extraction": {"Xception": 0.5}}, few_shot={"ways": [5], "shots": [1]}
    )
    for cell in (path / "cells").glob("*.json"):
        content = json.loads(cell.read_text())
        cell.write_text(json.dumps({**content, "metrics": {}}))
    assert find_run(ranking, runs=tmp_path) is None
    with pytest.raises(RequestError, match="of the protocol fractions"):
        find_run(ranking, path)


def test_the_run_to_compare_with_is_found(tmp_path: Path) -> None:
    ranking = ranking_of("Xception", "VGG16", "MobileNet")
    assert find_run(ranking, runs=tmp_path) is None
    one = {"feature_extraction": {"Xception": 0.5}}
    two = {"feature_extraction": {"Xception": 0.5, "VGG16": 0.6}}
    measured(tmp_path / "small", one)
    best = measured(tmp_path / "best", two)
    measured(
        tmp_path / "other-size", {"feature_extraction": dict.fromkeys(names(ranking), 0.5)}, image_size=64
    )
    measured(tmp_path / "other-data", two, fingerprint="e" * 16)
    found = find_run(ranking, runs=tmp_path)
    assert isinstance(found, Run)
    assert found.directory == best
    assert agreement(ranking, bench.load(tmp_path / "other-size")).remarks == (
        "The run has image size 64, the ranking 32.",
    )
    with pytest.raises(RequestError, match="against"):
        find_run(ranking, tmp_path / "other-data")
    with pytest.raises(RequestError, match="run directory"):
        find_run(ranking, tmp_path)


# ------------------------------------------------------------------------------------------ command line


@pytest.fixture
def command(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs ``bench ARGUMENTS`` in this process."""
    from bench.cli.app import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


def test_what_a_person_sees(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    fingerprint = rank("digits", image_size=32).fingerprint
    real = {"feature_extraction": {"EfficientNetLite0": 0.8, "MobileNet": 0.71, "MobileNet:alpha=0.25": 0.6}}
    measured(tmp_path / "runs" / "earlier", real, fingerprint=fingerprint)
    code, out, _ = command("rank", "digits", "--image-size", 32, "--backbone", "MobileNet:weights=none")
    assert code == 0
    lines = out.splitlines()
    table = [line.replace(" (weights: none)", "(none)").split() for line in lines if line[:1].isdigit()]
    assert [line[1] for line in table] == [
        "EfficientNetLite0", "MobileNet", "MobileNet:alpha=0.25", "MobileNet(none)",
    ]  # fmt: skip
    assert table[0][2:5] == ["80.0", "±", "2.1"]
    for text in ("Order: the predicted accuracy", "No LEEP: no head", "VGG16", "No test image", "LogME"):
        assert text in out
    assert "Measured in runs/earlier" in out
    assert "off by 0.3 points" in out
    assert "+1.00 / +1.00 (3)" in out


def test_the_same_as_json(command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command("rank", "digits", "--image-size", 32, "--images", 50, "--json")
    content = json.loads(out)
    assert code == 0
    assert content["images"] == 50
    assert content["decides"] == "probe"
    assert content["backbones"][0]["backbone"] == "EfficientNetLite0"
    assert set(content["columns"]) == set(COLUMNS)
    assert content["agreement"] is None


def test_a_plan_shows_what_would_be_taken(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*.toml"))
    code, out, error = command(
        "plan", "--dataset", "digits", "--image-size", 32, "--backbones", "auto:1", "--strategy",
        "feature_extraction",
    )  # fmt: skip
    assert code == 0, error
    assert "auto:1 takes EfficientNetLite0" in error
    assert "could be ranked" not in error
    assert "EfficientNetLite0" in out
    assert sorted(tmp_path.rglob("*.toml")) == before
    asked = {"datasets": ["digits"], "image_size": 32, "backbones": ["auto:1"],
             "strategies": ["feature_extraction"]}  # fmt: skip
    assert str(default_out(resolve(load_plan(asked)).plan)) in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rank", "no-such-folder"], "no-such-folder"),
        (["rank", "digits", "--backbone", "MobilNet"], "Did you mean 'MobileNet'?"),
        (["rank", "digits", "--backbone", "Xception:weights=none", "--image-size", 32], "at least 71"),
        (["rank", "digits", "--only"], "--backbone"),
        (["rank", "digits", "--images", 1], "--images must be"),
        (["rank", "digits", "--workers", 0], "workers"),
        (["rank", "digits", "--against", "nowhere"], "against"),
        (["run", "--dataset", "digits", "--backbones", "auto:0"], "auto:5"),
        (["run", "--dataset", "digits", "--backbones", "auto:x"], "auto:5"),
        (["plan", "--dataset", "digits", "--backbone", "auto"], "auto:5"),
    ],
)
def test_mistakes_are_one_message(
    command: Callable[..., tuple[int, str, str]], arguments: list[object], said: str, tmp_path: Path
) -> None:
    code, _, error = command(*arguments)
    assert code == 2
    assert said in error
    assert error.count("bench: ") == 1
    assert "Traceback" not in error
    assert not (tmp_path / "runs").exists()


def test_no_weights_at_all_on_the_command_line(
    command: Callable[..., tuple[int, str, str]], machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine["here"] = []
    monkeypatch.setattr(weights, "LITE0_PACKAGE", "no-such-package")
    for arguments in (["rank", "digits"], ["run", "--dataset", "digits", "--backbones", "auto:2"]):
        code, _, error = command(*arguments)
        assert code == 2
        assert "backbones whose weights are on this machine" in error
    assert not Path("runs").exists()


def test_hostile_names_stay_text(
    command: Callable[..., tuple[int, str, str]], machine: dict[str, Any]
) -> None:
    from bench.cli.show.ranking import print_ranking

    ranking = ranking_of("Xception", name="[red]x\x1b[31m\nname")
    ranked = replace(ranking.backbones[0], backbone="[bold]\x1b[31m<b>")
    print_ranking(replace(ranking, backbones=(ranked,), left_out=(("\x1b[2J", "\x1b[31m"),)), None)
    _, out, _ = command("cache")
    assert "\x1b" not in out
    assert "[bold]" in out
    assert "[red]" in out
