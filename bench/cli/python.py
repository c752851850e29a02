"""The commands in Python: the command line's names, and its options as keywords.

Every function takes data as a path, a name, or an object, see ``bench.datasets.objects.kept``. Further keywords are
options of the command (``seeds=3``, ``backbone="MobileNet"``) or keys of a plan (``tuning={"trials": 0}``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.answers import Answer, printed
from bench.cli.keywords import keys_of, plan_of
from bench.cli.options import AuditOptions, ChoiceOptions, RankingOptions, overridden
from bench.cli.terminal import Steps
from bench.runs.run import Reporter
from bench.runs.run import run as run_plan
from bench.trackers.log import logged

if TYPE_CHECKING:
    from bench.runs.results import Run


def run(
    plan: Any = None,
    out: str | Path | None = None,
    workers: int | None = None,
    retry: Iterable[str] | str = (),
    reporter: Reporter | None = None,
    shard: str | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    fresh: bool = False,
    log: str | Sequence[str] | None = None,
    verbose: int = 1,
    trust: bool = False,
    demo: str | None = None,
    **options: Any,
) -> Run:
    """Runs a benchmark, or what is missing of it, shows the answer, and writes the report.

    Args:
        plan: data, a plan, a dictionary of its keys, or the path of a ``.toml`` file. Data are a folder, a file, a
            name, ``(x, y)`` with arrays or texts, a ``tf.data.Dataset``, a pandas frame or a Hugging Face dataset.
            Default: the quickstart.
        out: the run directory, resumed if it exists. Default: ``runs/<dataset>-<short plan hash>``.
        workers: cells at a time. Default: one per core. Results do not depend on it.
        retry: statuses to run again of ``failed``, ``oom``, ``timeout``.
        reporter: is told what happens, in place of all that ``verbose`` would print.
        shard: ``i/k``: only the i-th of k shares of the cells.
        executor: ``local`` child processes, or ``ray`` for a cluster.
        ray_address: of a running cluster. Default: one on this machine alone.
        fresh: take no cells from other runs, now and whenever this one is resumed.
        log: ``"mlflow"``, ``"tensorboard"``, ``"wandb"``, or several: every cell is logged there as it ends.
        verbose: 0 for silence, 1 for progress and the answer, 2 for every step of the preparation as well.
        trust: run the code of strategies ``module:Class`` that a plan file names.
        demo: the quickstart to run: ``image`` or ``text``.
        options: options of ``bench run`` and keys of a plan, which override ``plan``.

    Returns:
        The run, with all its records. In a notebook it shows its answer.

    Raises:
        RequestError: the plan cannot be run, or the directory holds another one.
        RunLocked: another run is working in the directory, or on this shard.
        StoreError: the directory cannot be written any more. Run the plan again.
    """
    planned = plan_of(plan, options, demo, trust)
    again = [status.strip() for status in retry.split(",")] if isinstance(retry, str) else retry
    settings = {"shard": shard, "executor": executor, "ray_address": ray_address, "fresh": fresh}
    if reporter is not None or not verbose:
        return logged(log, reporter, run_plan, planned, out, workers, again, **settings)
    from bench.cli.progress import NotebookReporter, TerminalReporter

    spoken = NotebookReporter(verbose) if in_notebook() else TerminalReporter(verbose)
    result = logged(log, spoken, run_plan, planned, out, workers, again, **settings)
    spoken.summary(result)
    return result


def plan(
    plan: Any = None,
    out: str | Path | None = None,
    verbose: int = 1,
    trust: bool = False,
    demo: str | None = None,
    **options: Any,
) -> Answer:
    """Shows the cells of a plan and how long they will take. Trains nothing but a few timed batches.

    Args:
        plan, out, verbose, trust, demo, options: see ``bench.run``.

    Returns:
        An answer to print. Its ``cells`` are those of the plan.

    Raises:
        RequestError: the plan cannot be run.
    """
    from bench.cli.commands.plan import prepared_plan
    from bench.cli.show.plan import print_plan

    given = plan_of(plan, options, demo, trust)
    prepared, place = prepared_plan(given, None if out is None else Path(out), Steps(verbose))
    return Answer(prepared, printed(print_plan, prepared, place))


def check(dataset: Any, verbose: int = 1, **options: Any) -> Answer:
    """Finds problems in a dataset before you run on it.

    Args:
        dataset: as in ``bench.run``.
        verbose: 0 for silence while it is read, 1 for steps that take long, 2 for every step.
        options: options of ``bench check`` and keys of a plan.

    Returns:
        An answer to print. Its ``value`` is a dictionary, as of ``bench check --json``. A run refuses the dataset
        if one of the ``findings`` has the ``level`` ``refused``.

    Raises:
        RequestError: the dataset cannot be read.
    """
    from bench.cli.commands.check import audited
    from bench.cli.show.checks import print_dataset_check
    from bench.plans.loading import load_plan

    given = load_plan(overridden({"datasets": [dataset]}, list(keys_of(AuditOptions, options))))
    result, kind = audited(given, Steps(verbose))
    return Answer(result, printed(print_dataset_check, result, kind), result)


def rank(
    dataset: Any,
    backbone: Any = (),
    only: bool = False,
    workers: int | None = None,
    against: str | Path | None = None,
    verbose: int = 1,
    **options: Any,
) -> Answer:
    """Ranks backbones by predicted accuracy. Scores their features on your data and trains nothing.

    Args:
        dataset: as in ``bench.run``.
        backbone: a name or several, or Keras models, to rank beside all whose weights are there or can be had.
        only: rank these alone.
        workers: backbones at a time. Default: one per core.
        against: a run directory to compare with. Default: one in ``runs/`` on the same data.
        verbose: 0 for silence, 1 for steps that take long, 2 for every step.
        options: options of ``bench rank`` and keys of a plan.

    Returns:
        An answer to print. Its ``value`` is a ``bench.ranking.ranking.Ranking``, whose ``backbones`` are in order.

    Raises:
        RequestError: the dataset, a backbone or an option cannot be used, or there is nothing to rank.
    """
    from bench.cli.commands.rank import ranked
    from bench.cli.show.ranking import print_ranking

    names = list(backbone) if isinstance(backbone, (list, tuple)) else [backbone]
    settings = overridden({}, list(keys_of(RankingOptions, options)))
    place = None if against is None else Path(against)
    ranking, agrees, content = ranked(dataset, names, only, place, workers, settings, Steps(verbose))
    return Answer(ranking, printed(print_ranking, ranking, agrees), content)


def recommend(
    directory: str | Path | Run,
    labels: float | None = None,
    target: float | None = None,
    max_seconds: float | None = None,
    max_latency_ms: float | None = None,
    max_params: float | None = None,
    strategy: str | Sequence[str] = (),
    dataset: str | None = None,
) -> Answer:
    """Recommends a strategy within your limits. Answers between measured label counts, too.

    Args:
        directory: the run directory, or the run.
        labels: labelled examples that you will have. Default: the most measured.
        target: accuracy, or metric of the run, to reach. The answer is then the labels it needs.
        max_seconds: maximum time to tune and train one seed, in s.
        max_latency_ms: maximum inference time per example, in ms.
        max_params: maximum number of parameters of the network.
        strategy: strategies to choose among. Default: all of the run.
        dataset: name of one of several datasets.

    Returns:
        An answer to print. Its ``value`` is a ``reports.recommend.Recommendation``, or with a ``target`` a
        ``reports.target.LabelsNeeded``.

    Raises:
        RequestError: no configuration keeps to the limits, or they cannot be answered.
    """
    from bench.cli.commands.recommend import answered

    among = _among(max_seconds, max_latency_ms, max_params, strategy, dataset)
    value, content, text = answered(_directory(directory), labels, among, target)
    return Answer(value, text, content)


def export(
    directory: str | Path | Run,
    out: str | Path | None = None,
    max_seconds: float | None = None,
    max_latency_ms: float | None = None,
    max_params: float | None = None,
    strategy: str | Sequence[str] = (),
    dataset: str | None = None,
    trust: bool = False,
    formats: str | Sequence[str] = (),
    verbose: int = 1,
) -> Answer:
    """Trains the recommended model on all labels. Writes model.keras, train.py and card.md.

    Args:
        directory: the run directory, or the run.
        out: a folder that does not exist yet. Default: ``export`` in the run directory.
        max_seconds, max_latency_ms, max_params, strategy, dataset: see ``bench.recommend``.
        trust: run the code of strategies ``module:Class`` that the run names.
        formats: beside ``"keras"``: ``"onnx"``, ``"litert"``, ``"int8"``, ``"saved_model"``.
        verbose: 0 for silence, 1 for steps that take long, 2 for every step.

    Returns:
        An answer to print. Its ``folder`` holds the model. Its ``formats`` say how large and fast each one is, and
        how near to the Keras model. One that could not be made has a ``reason``.

    Raises:
        RequestError: nothing can be recommended or exported, ``out`` exists, or a format cannot be made here.
        BenchError: the exported ``train.py`` failed.
    """
    from bench.cli.show.results import print_export
    from bench.commands.export.export import export as export_recipe

    limits = _among(max_seconds, max_latency_ms, max_params, strategy, dataset).constraints(labels=None)
    done = export_recipe(_directory(directory), out, limits, dataset, Steps(verbose), trust, formats)
    return Answer(done, printed(print_export, done))


def log(directory: str | Path | Run, to: str | Sequence[str]) -> Answer:
    """Logs the cells of a run to trackers. No cell is logged twice.

    Args:
        directory: the run directory, or the run.
        to: ``"mlflow"``, ``"tensorboard"``, ``"wandb"``, or several.

    Returns:
        An answer to print. Its ``value`` has a ``bench.trackers.log.Logged`` for each tracker.

    Raises:
        RequestError: there is no such tracker, its package is missing, or it cannot be reached.
    """
    from bench.cli.show.results import print_logged
    from bench.runs.results import load
    from bench.trackers.base import names_of
    from bench.trackers.log import log as log_to

    names, run = names_of(to), load(_directory(directory))
    done = [log_to(run, name) for name in names]
    return Answer(done, "\n".join(printed(print_logged, logged) for logged in done))


def _directory(given: str | Path | Run) -> Path:
    return Path(given) if isinstance(given, (str, Path)) else given.directory


def _among(
    max_seconds: float | None,
    max_latency_ms: float | None,
    max_params: float | None,
    strategy: str | Sequence[str],
    dataset: str | None,
) -> ChoiceOptions:
    names = [strategy] if isinstance(strategy, str) else list(strategy)
    return ChoiceOptions(max_seconds, max_latency_ms, max_params, names, dataset)


def in_notebook() -> bool:
    """Whether this is IPython with a kernel. Nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
