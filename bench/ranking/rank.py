"""Which backbones are worth a run: ordered from their features, before anything is trained.

Features come from worker processes and lie in the cache of stored prefixes, where the cells of a later run find
them; scores are kept too, so that ranking again starts no process. Only labelled examples of the pool are looked
at, never a test example.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.backbones.plugin import MODULE, backbone_origin
from bench.backbones.registry import BACKBONES
from bench.backbones.spec import BackboneSpec, check_size, parse_backbone
from bench.backbones.weights import Weights, present, resolve_weights
from bench.datasets import Dataset, decoding_versions, open_dataset
from bench.errors import BenchError, RequestError
from bench.execution.executor import Executor, executor
from bench.execution.jobs import Rank
from bench.modalities.base import Modality
from bench.modalities.registry import input_of, modality
from bench.plans.loading import load_plan
from bench.plans.plan import AUTO, Plan
from bench.plans.resolved import Resolved
from bench.ranking.scores import VERSION
from bench.records import PROTOCOL_VERSION
from bench.store import Store
from bench.system.files import cache_dir, digest, write_atomic
from bench.system.names import short_backbone
from bench.system.plugins import plugins

Say = Callable[[str], None]

ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications/"
"""Where Keras Applications have their weights."""
ONLINE_SECONDS = 5
NOT_HERE = "its weights are not on this machine"

DECIDES = "probe"
"""What a ranking goes by. On clothing at 96 px all scores of features ordered six sets of weights (ImageNet's, of
two networks, and four with more and more noise) as feature extraction did, whose accuracy this one missed by 3.6
points. With random weights beside them the H-score fails: it puts those of EfficientNetLite0 (1,280 features, probe
46%) above ImageNet's of MobileNet:alpha=0.25 (256 features, probe 75%)."""
WHY = (
    "the predicted accuracy of a linear probe decides: it has seen these very {noun.many}, and being an accuracy "
    "it compares networks of any width, with a margin. No score wins everywhere (Agostinelli et al. 2022, "
    "arXiv:2204.01403), and both a probe and the ImageNet accuracy can miss the best network (Renggli et al. 2022, "
    "arXiv:2010.06402): where margins overlap, run several"
)
COLUMNS = {
    "probe": "leave-one-out accuracy of a ridge classifier on the features: predicts that of a linear probe on as "
    "many labels",
    "knn": "leave-one-out accuracy of the 5 nearest neighbours",
    "nearest_mean": "leave-one-out accuracy of the nearest class mean",
    "logme": "log evidence of a Bayesian linear model, in nats {noun.any}; higher is better",
    "h_score": "variance of the features between classes against all of it, shrunk; higher is better",
    "leep": "log probability of the labels through the network's own ImageNet classes; 0 is best",
    "nce": "the same from the first of these classes alone; 0 is best",
    "imagenet_top1": "published ImageNet accuracy in percent: says nothing of these {noun.many}",
    "params": "parameters of the backbone, without a classifier",
    "ms_per_image": "what its features took when they were stored, on the threads of one worker",
}
"""What is said of each backbone: scores, then what one would go by without any, and the cost."""
SCORES = ("probe", "knn", "nearest_mean", "logme", "h_score", "leep", "nce")
BASELINES = ("imagenet_top1", "params")


@dataclass(frozen=True)
class Ranked:
    """One backbone in a ranking; None stands for what is not known or does not exist.

    Attributes:
        backbone: as plans name it, weights included.
        scores: by the names in ``SCORES``.
        missing: why a score is None.
        params: of the backbone, without a classifier.
        width: features an example.
        imagenet_top1: published, in percent.
        ms_per_image: what its features took.
    """

    backbone: str
    scores: dict[str, float | None]
    missing: dict[str, str]
    params: int
    width: int
    imagenet_top1: float | None
    ms_per_image: float | None

    def value(self, column: str) -> float | None:
        """What stands in a column of ``COLUMNS``."""
        return self.scores[column] if column in SCORES else getattr(self, column)


@dataclass(frozen=True)
class Ranking:
    """The backbones in order for one dataset, the best first.

    Attributes:
        dataset, name, fingerprint: which data.
        images: labelled examples of the pool that were looked at.
        pool: how many there are.
        classes: number of classes.
        majority: the share of the commonest class among all of them: what no features are needed for.
        modality: of the examples.
        input: how they became rows, by the plan's keys.
        pooling: of the features.
        backbones: in order.
        left_out: (backbone, why) of those that could not be ranked.
    """

    dataset: str
    name: str
    fingerprint: str
    images: int
    pool: int
    classes: int
    majority: float
    modality: str
    input: dict[str, Any]
    pooling: str
    backbones: tuple[Ranked, ...]
    left_out: tuple[tuple[str, str], ...]

    def margin(self, accuracy: float) -> float:
        """Half the width of the 95% interval of an accuracy on so many examples."""
        return 1.96 * math.sqrt(max(accuracy * (1 - accuracy), 0.0) / self.images)

    @property
    def kind(self) -> Modality:
        """What knows the examples."""
        return modality(self.modality)

    @property
    def why(self) -> str:
        """Why it goes by ``DECIDES``."""
        return WHY.format(noun=self.kind.noun)

    @property
    def columns(self) -> dict[str, str]:
        """What each column means."""
        return {column: meaning.format(noun=self.kind.noun) for column, meaning in COLUMNS.items()}

    def to_json(self) -> dict[str, Any]:
        """With what decides, why, and what the columns mean."""
        content = asdict(self)
        return {
            **content,
            **content.pop("input"),
            "decides": DECIDES,
            "why": self.why,
            "columns": self.columns,
        }


def rank(
    dataset: str,
    backbones: Sequence[str] = (),
    *,
    only: bool = False,
    workers: int | None = None,
    say: Say = lambda text: None,
    **settings: Any,
) -> Ranking:
    """Orders backbones for a dataset without training.

    Args:
        dataset: as in a plan.
        backbones: to rank beside all whose ImageNet weights are there or can be had.
        only: rank these alone.
        workers: backbones at a time; default: one a core.
        say: called with what is being done.
        settings: keys of a plan: ``head``, ``ranking``, ...

    Raises:
        RequestError: the dataset, a backbone or a setting cannot be used, or there is nothing to rank.
    """
    plan = load_plan({**settings, "datasets": [dataset], "backbones": list(backbones) or [f"{AUTO}:1"]})
    if plan.auto is not None and backbones:
        raise RequestError("backbone", f"{AUTO}:{plan.auto}", "names of backbones: all of them are ranked")
    if only and not backbones:
        raise RequestError("only", "no backbone", "--backbone, once or several times")
    with ranking_executor(plan, workers) as runs:
        return rank_plan(plan, runs, say, only)[0]


def ranking_executor(plan: Plan, workers: int | None = None) -> Executor:
    """Worker processes that rank for a plan; they store nothing but what goes into the cache."""
    if workers is not None and workers < 1:
        raise RequestError("workers", workers, "a number of at least 1")
    nowhere = Store(Path(tempfile.gettempdir()))
    return executor("local", None, workers, nowhere, plan.threads, plan.backend, plan.limits.cell_seconds)


def rank_plan(plan: Plan, runs: Executor, say: Say = lambda text: None, only: bool = False) -> list[Ranking]:
    """Orders backbones for each dataset of a plan: those that it names and, unless ``only``, all others there are.

    Args:
        plan: its datasets, named backbones, the keys of its modality, pooling, threads and section ``ranking``.
        runs: gives worker processes, if any are needed.
        say: called with what is being done.
        only: no others than those named.

    Raises:
        RequestError: something in the plan cannot be used, weights of a backbone that it names are missing, or no
            backbone is left.
    """
    named = [parse_backbone(text) for text in plan.named]
    for spec in named:
        check_size(spec, size_of(plan, spec))
    datasets = [open_dataset(spec, vars(plan), progress=say) for spec in plan.datasets]
    weights = {spec: resolve_weights(spec, size_of(plan, spec), runs.fetch) for spec in named}
    left_out: dict[str, str] = {}
    if not only:
        left_out = _find_others(plan, weights, runs, say)
    if not weights:
        raise RequestError(
            "backbones",
            ", ".join(plan.backbones),
            "at least one backbone whose weights are on this machine",
            "Name one with --backbone NAME:weights=FILE.weights.h5, or connect to the network.",
        )
    return [_rank_dataset(plan, dataset, weights, left_out, runs, say) for dataset in datasets]


def order(backbones: Sequence[Ranked]) -> list[Ranked]:
    """The best first: by the predicted accuracy of a probe, at equal ones by LogME, then the smaller."""

    def key(ranked: Ranked) -> tuple[float, float, int, str]:
        probe, logme = (ranked.scores.get(name) for name in (DECIDES, "logme"))
        return (
            math.inf if probe is None else -probe,
            math.inf if logme is None else -logme,
            ranked.params,
            ranked.backbone,
        )

    return sorted(backbones, key=key)


def choose(rankings: Sequence[Ranking], count: int, named: Sequence[str]) -> list[str]:
    """The first ``count`` by their mean place over the datasets, then what else was named."""
    places: dict[str, list[int]] = {}
    for ranking in rankings:
        for place, ranked in enumerate(ranking.backbones):
            places.setdefault(ranked.backbone, []).append(place)
    everywhere = [backbone for backbone, found in places.items() if len(found) == len(rankings)]
    best = sorted(everywhere, key=lambda backbone: sum(places[backbone]))[:count]
    return [*best, *(backbone for backbone in named if backbone not in best)]


def choose_backbones(
    resolved: Resolved, store: Store, runs: Executor, say: Say = lambda text: None
) -> tuple[Resolved, dict[str, Any] | None]:
    """Replaces ``auto:K`` of a plan by backbones.

    A run that goes on keeps what was chosen when it began, as long as the same is asked for.

    Args:
        resolved: the plan.
        store: of the run directory, which need not exist.
        runs, say: see ``rank_plan``.

    Returns:
        The plan with all backbones named, and the content of ``ranking.json``; None if there was nothing to choose.

    Raises:
        RequestError: see ``rank_plan``, or there is nothing that may be ranked.
    """
    plan = resolved.plan
    if plan.auto is None:
        return resolved, None
    asked = {"backbones": plan.backbones, "ranking": plan.ranking.model_dump(mode="json")}
    content = store.read_ranking()
    if content.get("asked") != asked:
        ranked_by = plan.model_copy(update={"datasets": resolved.protocol.ranked_on(plan)})
        rankings = rank_plan(ranked_by, runs, say)
        chosen = choose(rankings, plan.auto, plan.named)
        content = {"asked": asked, "chosen": chosen, "rankings": [ranking.to_json() for ranking in rankings]}
    said = f"{AUTO}:{plan.auto} takes {', '.join(map(short_backbone, content['chosen']))}"
    ranked = _everywhere(content.get("rankings", []))
    if 0 < len(ranked) < plan.auto:
        said += (
            f"; only {len(ranked)} of {plan.auto} could be ranked: {', '.join(map(short_backbone, ranked))}"
        )
    say(said)
    return resolved.with_backbones(content["chosen"]), content


def _everywhere(rankings: Sequence[dict[str, Any]]) -> list[str]:
    """The backbones that are in all of these rankings, as ``Ranking.to_json`` gives them."""
    each = [[entry["backbone"] for entry in ranking["backbones"]] for ranking in rankings]
    first = each[0] if each else []
    return [backbone for backbone in first if all(backbone in others for others in each)]


def _find_others(
    plan: Plan, weights: dict[BackboneSpec, Weights], runs: Executor, say: Say
) -> dict[str, str]:
    """Adds to ``weights`` all backbones whose ImageNet weights are there or can be had, and those of other packages
    that bring weights; says why not the rest."""
    reasons: dict[BackboneSpec, str] = {}
    broken: dict[str, str] = {}

    def add(spec: BackboneSpec, download: bool) -> None:
        try:
            check_size(spec, size_of(plan, spec))
            weights[spec] = resolve_weights(spec, size_of(plan, spec), partial(runs.fetch, download=download))
            reasons.pop(spec, None)
        except BenchError as error:
            reasons[spec] = str(error)

    everything = [parse_backbone(name) for name, info in BACKBONES.items() if info.own_weights != "none"]
    ours = [spec for spec in everything if spec.info.module == "efficientnet_lite"]
    for spec in [*ours, *present()]:
        if spec not in weights:
            add(spec, download=False)
    for plugin in plugins("backbones", BACKBONES):
        try:
            spec = parse_backbone(plugin.name)
        except RequestError as error:
            broken[plugin.name] = str(error)
            continue
        if spec.info.module == MODULE and spec.weights == "pretrained" and spec not in weights:
            add(spec, download=False)
    missing = []
    for spec in everything:
        if spec in weights or spec in ours:
            continue
        if size_of(plan, spec) < spec.info.minimum_size:
            reasons[spec] = modality(spec.info.modality).takes(spec.info.minimum_size)
        elif (spec.info.params_millions or math.inf) <= plan.ranking.download:
            missing.append(spec)
        else:
            limit = f", and it has more than {plan.ranking.download:g} million parameters (ranking.download)"
            reasons.setdefault(spec, NOT_HERE + (limit if plan.ranking.download else ""))
    missing.sort(key=lambda spec: spec.info.params_millions or 0.0)
    connected = bool(missing) and _online()
    if connected:
        size = sum(spec.info.params_millions or 0.0 for spec in missing) * 4e6 / 2**30
        say(
            f"Downloading the weights of {len(missing)} networks, about {size:.1f} GiB, to rank them too; with "
            "ranking.download = 0 only those on this machine are ranked."
        )
    for spec in missing:
        if not connected:
            reasons.setdefault(spec, f"{NOT_HERE}, which has no connection to where they are")
            continue
        add(spec, download=True)
        connected = spec in weights or _online()
    return {spec.text: reason for spec, reason in reasons.items()} | broken


def _online() -> bool:
    """Whether the server of the weights answers, whatever it says."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(ORIGIN, method="HEAD"), timeout=ONLINE_SECONDS).close()
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _rank_dataset(
    plan: Plan,
    dataset: Dataset,
    weights: dict[BackboneSpec, Weights],
    left_out: dict[str, str],
    runs: Executor,
    say: Say,
) -> Ranking:
    pool = dataset.pool
    count = min(plan.ranking.images, len(pool.ids))
    classified = {spec.text for spec in present(classifier=True)}
    jobs = {spec: _job(plan, dataset, spec, file, count) for spec, file in weights.items()}
    kept = {spec: _kept(job, plan, runs, spec.text in classified) for spec, job in jobs.items()}
    found = {spec: answer for spec, path in kept.items() if (answer := _read(path)) is not None}
    failed: dict[str, str] = {}
    waiting = [spec for spec in jobs if spec not in found]
    if waiting:
        of = f"{count:,} labelled {dataset.kind.noun.many} of {dataset.name}"
        say(f"Ranking {len(waiting)} of {len(weights)} backbones on {of}")
    for place, answer in runs.rank([jobs[spec] for spec in waiting]) if waiting else ():
        spec = waiting[place]
        if "failed" in answer:
            failed[spec.text] = f"its features could not be computed: {answer['failed']}"
            say(f"  {short_backbone(spec.text)}: {failed[spec.text]}")
            continue
        found[spec] = answer
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time alone
            write_atomic(kept[spec], json.dumps(answer, indent=1, allow_nan=False))
        say(f"  {short_backbone(spec.text)}: {_shown(answer['scores'][DECIDES])}")
    if not found:
        (backbone, reason), *_ = failed.items()
        raise BenchError(f"rank: none of {len(failed)} backbones could be ranked; {backbone}: {reason}")
    return Ranking(
        dataset=dataset.spec,
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        images=count,
        pool=len(pool.ids),
        classes=len(dataset.class_names),
        majority=float(np.bincount(pool.labels).max() / len(pool.ids)),
        modality=dataset.modality,
        input=asdict(dataset.input),
        pooling=plan.head.pooling,
        backbones=tuple(
            order([Ranked(spec.text, imagenet_top1=spec.imagenet_top1, **found[spec]) for spec in found])
        ),
        left_out=tuple({**left_out, **failed}.items()),
    )


def _job(plan: Plan, dataset: Dataset, spec: BackboneSpec, file: Weights, count: int) -> Rank:
    return Rank(
        dataset=dataset.spec,
        fingerprint=dataset.fingerprint,
        backbone=spec.architecture,
        weights=spec.weights,
        weights_sha256=file.sha256,
        modality=dataset.modality,
        input=asdict(dataset.input),
        pooling=plan.head.pooling,
        images=count,
    )


def size_of(plan: Plan, spec: BackboneSpec) -> int:
    """How large the inputs of a backbone are in a plan."""
    return input_of(vars(plan), spec.info.modality).size


def _shown(accuracy: float | None) -> str:
    return "no probe" if accuracy is None else f"{accuracy:.1%} predicted for a linear probe"


def _kept(job: Rank, plan: Plan, runs: Executor, classified: bool) -> Path:
    """Where the scores of a job are kept: named by everything that they depend on."""
    versions = [importlib.metadata.version(name) for name in ("keras", runs.backend)]
    identity = asdict(job)
    del identity["dataset"]
    identity |= identity.pop("input") | {
        # One file is one source, wherever it lies.
        "weights": job.weights if job.weights in ("imagenet", "none") else "",
        "classified": classified,
        **({"plugin": code} if (code := backbone_origin(job.backbone.partition(":")[0])) else {}),
        "threads": plan.threads,
        "backend": runs.backend,
        "versions": [VERSION, PROTOCOL_VERSION, *versions, *decoding_versions()],
    }
    return cache_dir() / "ranking" / f"{digest(identity)}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """Kept scores; None if there are none or they are damaged."""
    try:
        answer = json.loads(path.read_text())
        keys = {"scores", "missing", "params", "width", "ms_per_image"}
        return answer if set(answer) == keys and set(answer["scores"]) == set(SCORES) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None
