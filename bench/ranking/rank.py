"""Which backbones are worth a run: ordered from their features, before anything is trained.

Features come from worker processes and lie in the cache of stored prefixes, where the cells of a later run find
them; scores are kept too, so that ranking again starts no process. Only labelled examples of the pool are looked
at, never a test example.
"""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.backbones.plugin import backbone_origin
from bench.backbones.spec import BackboneSpec, check_size, parse_backbone
from bench.backbones.weight_files import check_fit
from bench.backbones.weights import Weights, present, resolve_weights
from bench.datasets import Dataset, decoding_versions, open_dataset
from bench.errors import BenchError, RequestError
from bench.execution.executor import Executor, executor
from bench.execution.jobs import Rank
from bench.modalities.registry import size_of
from bench.plans.loading import load_plan
from bench.plans.plan import AUTO, Plan
from bench.plans.resolved import Resolved
from bench.ranking.candidates import Say, find_others
from bench.ranking.ranking import DECIDES, SCORES, Ranked, Ranking, choose, order
from bench.ranking.scores import VERSION
from bench.records import PROTOCOL_VERSION, SINGLE_LABEL
from bench.store import Store
from bench.system import sealed
from bench.system.files import cache_dir, digest
from bench.system.names import divided, of_others, short_backbone


def rank(
    dataset: str | Path,
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
        workers: backbones at a time. Default: one a core.
        say: called with what is being done.
        settings: keys of a plan: ``head``, ``ranking``, ...

    Raises:
        RequestError: the dataset, a backbone or a setting cannot be used, or there is nothing to rank.
    """
    plan = load_plan({**settings, "datasets": [dataset], "backbones": list(backbones) or [f"{AUTO}:1"]})
    if plan.auto is not None and backbones:
        raise RequestError(
            "backbone", f"{AUTO}:{plan.auto}", "the name of a backbone", "All are ranked here anyway."
        )
    if only and not backbones:
        raise RequestError("only", None, "given together with --backbone B")
    with ranking_executor(plan, workers) as runs:
        return rank_plan(plan, runs, say, only)[0]


def ranking_executor(plan: Plan, workers: int | None = None) -> Executor:
    """Worker processes that rank for a plan; they store nothing but what goes into the cache."""
    if workers is not None and workers < 1:
        raise RequestError("workers", workers, "1 or more")
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
    if plan.task != SINGLE_LABEL:
        remedy = "It scores features by one class of each example. Compare backbones in a run."
        raise RequestError("task", plan.task, f"{SINGLE_LABEL} for ranking", remedy)
    for spec in named:
        check_size(spec, size_of(vars(plan), spec.modality))
    datasets = [open_dataset(spec, vars(plan), say, groups=plan.groups) for spec in plan.datasets]
    weights = {spec: resolve_weights(spec, size_of(vars(plan), spec.modality), runs.fetch) for spec in named}
    for spec, found in weights.items():
        check_fit(spec, size_of(vars(plan), spec.modality), found, runs.fetch)
    left_out: dict[str, str] = {}
    if not only:
        left_out = find_others(plan, {dataset.modality for dataset in datasets}, weights, runs, say)
    if not weights:
        raise RequestError(
            "backbones",
            ", ".join(plan.backbones),
            "backbones whose weights are on this machine",
            "Name one with --backbone NAME:weights=FILE.weights.h5, or connect to the network.",
        )
    return [_rank_dataset(plan, dataset, weights, left_out, runs, say) for dataset in datasets]


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
    said = f"{AUTO}:{plan.auto} takes {', '.join(map(short_backbone, content['chosen']))}."
    ranked = _everywhere(content.get("rankings", []))
    if 0 < len(ranked) < plan.auto:
        names = ", ".join(map(short_backbone, ranked))
        said += f" Only {len(ranked)} of {plan.auto} could be ranked: {names}."
    say(said)
    return resolved.with_backbones(content["chosen"]), content


def _everywhere(rankings: Sequence[dict[str, Any]]) -> list[str]:
    """The backbones that are in all of these rankings, as ``Ranking.to_json`` gives them."""
    each = [[entry["backbone"] for entry in ranking["backbones"]] for ranking in rankings]
    first = each[0] if each else []
    return [backbone for backbone in first if all(backbone in others for others in each)]


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
        sealed.write(kept[spec], json.dumps(answer, indent=1, allow_nan=False))
        say(f"  {short_backbone(spec.text)}: {_shown(answer['scores'][DECIDES])}")
    if not found:
        (backbone, reason), *_ = failed.items()
        raise BenchError(f"rank: none of {len(failed)} backbones could be ranked. {backbone}: {reason}")
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
        warnings=tuple(_warnings(dataset, found)),
    )


def _warnings(dataset: Dataset, found: dict[BackboneSpec, dict[str, Any]]) -> list[str]:
    """Warns of pretrained networks whose last feature map is too small."""
    small = [
        short_backbone(spec.text)
        for spec, answer in found.items()
        if of_others(spec.weights) and min(answer["feature_map"], default=2) < 2
    ]
    return dataset.kind.small_maps(small, dataset.input.size)


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
        groups=plan.groups,
    )


def _shown(accuracy: float | None) -> str:
    return "no probe" if accuracy is None else f"{accuracy:.1%} predicted for a linear probe"


def _kept(job: Rank, plan: Plan, runs: Executor, classified: bool) -> Path:
    """Where the scores of a job are kept: named by everything that they depend on."""
    versions = [importlib.metadata.version(name) for name in ("keras", runs.backend)]
    identity = asdict(job)
    del identity["dataset"], identity["modality"], identity["groups"]  # they are in the fingerprint
    identity |= identity.pop("input") | {
        # One file is one source, wherever it lies.
        "weights": job.weights if job.weights in ("imagenet", "none") else "",
        "classified": classified,
        **({"plugin": code} if (code := backbone_origin(divided(job.backbone)[0])) else {}),
        "threads": plan.threads,
        "backend": runs.backend,
        "versions": [VERSION, PROTOCOL_VERSION, *versions, *decoding_versions(job.modality)],
    }
    return cache_dir() / "ranking" / f"{digest(identity)}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """Kept scores; None if there are none, or not all."""
    kept = sealed.read(path)
    answer: dict[str, Any] = json.loads(kept or "{}")
    keys = {"scores", "missing", "params", "width", "feature_map", "ms_per_image"}
    return answer if set(answer) == keys and set(answer["scores"]) == set(SCORES) else None
