"""The command line. Nothing here, nor anything it imports to print help, loads Keras or pandas."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    Among,
    Auxiliaries,
    AuxiliaryDataset,
    Backbones,
    DatasetName,
    Datasets,
    Episodes,
    Epochs,
    Fractions,
    ImageSize,
    MaxLatency,
    MaxParams,
    MaxSeconds,
    Out,
    PlanFile,
    Protocol,
    RunDirectory,
    Seeds,
    Set,
    Shots,
    SourceDataset,
    Strategies,
    Trials,
    Ways,
    Weights,
    _few_shot,
    _numbers,
    _plan,
    number,
    whole,
)
from bench.errors import BenchError, RequestError, did_you_mean

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="bench",
    help="Measures on your own labelled images which transfer strategy to use, and on which backbone.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    plan: PlanFile = None,
    dataset: Datasets = None,
    backbone: Backbones = None,
    weights: Weights = None,
    strategy: Strategies = None,
    fractions: Fractions = None,
    source_dataset: SourceDataset = None,
    protocol: Protocol = None,
    ways: Ways = None,
    shots: Shots = None,
    episodes: Episodes = None,
    auxiliary: Auxiliaries = None,
    auxiliary_dataset: AuxiliaryDataset = None,
    seeds: Seeds = None,
    trials: Trials = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    out: Out = None,
    workers: Annotated[int | None, whole("Cells at a time.  Default: one a core.")] = None,
    retry: Annotated[
        str | None, typer.Option(metavar="STATUS,..", help="Run these again: failed,oom,timeout.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/K", help="Only the I-th of K shares of the cells: one host of several."),
    ] = None,
    executor: Annotated[
        str, typer.Option(metavar="local|ray", help="Where cells run; ray needs transfer-bench[ray].")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Ray cluster.  Default: one on this machine.")
    ] = None,
    cell: Annotated[
        str | None, typer.Option(metavar="ID", help="With --from: repeats one cell and compares.")
    ] = None,
    from_: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="The run of --cell.")] = None,
    set_: Set = None,
) -> None:
    """Runs a plan, or what is missing of it.  Without arguments: the embedded quickstart."""
    if cell is not None or from_ is not None:
        raise typer.Exit(_repeat(cell, from_))
    from bench.cli.progress import TerminalReporter
    from bench.runs.run import run as run_plan

    resolved = _plan(
        plan, dataset, backbone, weights, strategy, fractions, source_dataset, auxiliary, auxiliary_dataset, seeds,
        trials, epochs, image_size, set_, _few_shot(protocol, ways, shots, episodes),
    )  # fmt: skip
    if out is None and plan is not None and (Path(plan).parent / "run.json").exists():
        out = Path(plan).parent
    reporter = TerminalReporter()
    statuses = [status.strip() for status in retry.split(",")] if retry else []
    try:
        result = run_plan(resolved, out, workers, statuses, reporter, shard, executor, ray_address)
    except KeyboardInterrupt:
        directory = reporter.directory
        if directory is None:
            print("\nInterrupted before anything was run.", file=sys.stderr)
        else:
            print(
                f"\nInterrupted. All finished cells are kept; to resume:\n"
                f"  python -m bench run {_quoted(directory / 'plan.toml')}",
                file=sys.stderr,
            )
        raise typer.Exit(130) from None
    reporter.summary(result)
    raise typer.Exit(result.exit_code)


@app.command()
def plan(
    plan: PlanFile = None,
    dataset: Datasets = None,
    backbone: Backbones = None,
    weights: Weights = None,
    strategy: Strategies = None,
    fractions: Fractions = None,
    source_dataset: SourceDataset = None,
    protocol: Protocol = None,
    ways: Ways = None,
    shots: Shots = None,
    episodes: Episodes = None,
    auxiliary: Auxiliaries = None,
    auxiliary_dataset: AuxiliaryDataset = None,
    seeds: Seeds = None,
    trials: Trials = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    out: Out = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure first what its cells take, on a small part of it.")
    ] = False,
    set_: Set = None,
) -> None:
    """Lists the cells of a plan and what they will cost.  Runs nothing, but for --calibrate."""
    from bench.cli.show import print_plan
    from bench.runs.prepare import canonical, prepare
    from bench.runs.run import default_out

    resolved = _plan(
        plan, dataset, backbone, weights, strategy, fractions, source_dataset, auxiliary, auxiliary_dataset, seeds,
        trials, epochs, image_size, set_, _few_shot(protocol, ways, shots, episodes),
    )  # fmt: skip
    if out is None and plan is not None and (Path(plan).parent / "run.json").exists():
        out = Path(plan).parent
    if resolved.auto is not None:
        from bench.ranking.rank import executor, resolve
        from bench.store import Store

        resolved = canonical(resolved)
        out = out or default_out(resolved)
        with executor(resolved) as runs:
            resolved, _ = resolve(resolved, Store(out), runs, _tell)
    prepared = prepare(resolved, _tell)
    if calibrate:
        import tempfile

        from bench.runs.forecast import calibration
        from bench.runs.run import run as run_plan

        with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
            print("Calibrating.", file=sys.stderr)
            run_plan(calibration(prepared.plan), folder)
    print_plan(prepared, out or default_out(prepared.plan))


@app.command()
def rank(
    dataset: Annotated[str, typer.Argument(help="A folder, manifest, .npz or name (see ls datasets).")],
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone", "--backbones", metavar="B", help="To rank beside all whose weights are here."
        ),
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Ranks no others than those of --backbone.")] = False,
    image_size: ImageSize = None,
    images: Annotated[int | None, whole("Labelled images to look at, at most.  Default: 5000.")] = None,
    download: Annotated[
        float | None,
        number("Downloads missing weights of up to X million parameters.  Default: 30; 0: none."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A run to compare with.  Default: one in runs/ on the same images."),
    ] = None,
    workers: Annotated[int | None, whole("Backbones at a time.  Default: one a core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
    set_: Set = None,
) -> None:
    """Orders backbones for a dataset, and predicts the accuracy of a linear probe.  Trains nothing."""
    import json

    from bench.cli.show import print_ranking
    from bench.plans.plan import parse_assignment, set_key
    from bench.ranking.rank import rank as rank_backbones
    from bench.runs.agreement import agreement, find_run

    settings: dict[str, Any] = {}
    flags = {"image_size": image_size, "ranking.images": images, "ranking.download": download}
    for key, value in [*flags.items(), *map(parse_assignment, set_ or [])]:
        if value is not None:
            settings = set_key(settings, key, value)
    if against is not None and not against.is_dir():
        raise RequestError("against", str(against), "a run directory")
    ranking = rank_backbones(dataset, backbone or (), only=only, workers=workers, say=_tell, **settings)
    run = find_run(ranking, against)
    agrees = None if run is None else agreement(ranking, run)
    if as_json:
        content = {**ranking.to_json(), "agreement": None if agrees is None else agrees.to_json()}
        print(json.dumps(content, indent=1, allow_nan=False))
    else:
        print_ranking(ranking, agrees)


@app.command()
def check(
    dataset: Annotated[str, typer.Argument(help="A folder, manifest, .npz or name (see ls datasets).")],
    image_size: ImageSize = None,
    resizing: Annotated[
        str | None, typer.Option(metavar="R", help="crop, stretch or pad.  Default: crop.")
    ] = None,
    fractions: Fractions = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="All findings with all cases, as JSON on standard output.")
    ] = False,
) -> None:
    """Audits a dataset: bad files, duplicates, labels that contradict each other, classes.  Runs nothing."""
    import json

    from bench.commands.check import check as audit
    from bench.commands.check import print_check
    from bench.plans.plan import load_plan
    from bench.system.names import shown

    settings = {
        "datasets": [dataset],
        "image_size": image_size,
        "resizing": resizing,
        "fractions": None if fractions is None else _numbers("fractions", fractions),
    }
    plan = load_plan({key: value for key, value in settings.items() if value is not None})
    result = audit(plan, lambda text: print(shown(text), file=sys.stderr))
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_check(result)


@app.command()
def check_strategy(
    name: Annotated[str, typer.Argument(metavar="S", help="See ls strategies; or package.module:Class.")],
) -> None:
    """Tells the author of a strategy what is wrong with it: loads it and runs it on a few images."""
    from bench.cli.show import print_check
    from bench.commands.strategy_check.check import check_strategy as check_it

    found = check_it(name)
    print_check(found)
    raise typer.Exit(0 if found.ok else 1)


@app.command()
def report(
    directory: RunDirectory,
    region: Annotated[
        float | None, number("A difference in accuracy that counts as none.  Default: 0.01.")
    ] = None,
    price_per_hour: Annotated[float | None, number("Of the machine, to show costs in money too.")] = None,
    thumbnails: Annotated[
        bool | None, typer.Option("--thumbnails/--no-thumbnails", help="Whether to show test images.")
    ] = None,
) -> None:
    """Renders report.html, figures and results.csv again from the records."""
    from bench.plans.plan import change_report
    from bench.runs.results import load

    run = load(directory)
    settings = {"region": region, "price_per_hour": price_per_hour, "thumbnails": thumbnails}
    print(run.report(change_report(run.settings, settings)))


@app.command()
def recommend(
    directory: RunDirectory,
    labels: Annotated[
        float | None, number("Labelled images that there will be.  Default: the most measured.")
    ] = None,
    max_seconds: MaxSeconds = None,
    max_latency_ms: MaxLatency = None,
    max_params: MaxParams = None,
    strategy: Among = None,
    dataset: DatasetName = None,
    target: Annotated[float | None, number("An accuracy: says how many labels it needs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Says what to take under constraints, also between measured label counts."""
    import json

    from bench.runs.results import load
    from reports import recommend as r
    from reports.target import labels_needed, needed_text

    run = load(directory)
    run.check_fractions("recommend")
    constraints = r.Constraints(labels, max_seconds, max_latency_ms, max_params, tuple(strategy or ()))
    if target is not None:
        needed = labels_needed(run.results, run.directory, target, constraints, dataset)
        print(json.dumps(needed.to_json(), indent=1, allow_nan=False) if as_json else needed_text(needed))
        return
    answer = r.recommend(run.results, run.directory, constraints, dataset, run.settings.region)
    print(json.dumps(answer.to_json(), indent=1, allow_nan=False) if as_json else r.text(answer))


@app.command()
def export(
    directory: RunDirectory,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Must not exist yet.  Default: DIR/export.")
    ] = None,
    max_seconds: MaxSeconds = None,
    max_latency_ms: MaxLatency = None,
    max_params: MaxParams = None,
    strategy: Among = None,
    dataset: DatasetName = None,
) -> None:
    """Trains the recommended recipe on all labels: writes model.keras, train.py and card.md."""
    from bench.cli.show import print_export
    from bench.commands.export.export import export as export_recipe
    from reports.recommend import Constraints

    constraints = Constraints(None, max_seconds, max_latency_ms, max_params, tuple(strategy or ()))
    done = export_recipe(
        directory, out, constraints, dataset, lambda text: print(text, file=sys.stderr, flush=True)
    )
    print_export(done)


@app.command()
def pretrain(
    dataset: Annotated[str, typer.Argument(help="A folder, manifest, .npz or name (see ls datasets).")],
    backbone: Annotated[str, typer.Option(metavar="B", help="Without weights: MobileNet:alpha=0.25.")],
    out: Annotated[Path, typer.Option(metavar="SOURCE", help="A folder that does not exist yet.")],
    weights: Annotated[
        str, typer.Option(metavar="W", help="To begin with: none (random), imagenet, source:DIR or a file.")
    ] = "none",
    trials: Annotated[int | None, whole("Trials of the hyperparameter search.  Default: 1.")] = None,
    epochs: Annotated[int | None, whole("At most; training stops early.  Default: 60.")] = None,
    image_size: ImageSize = None,
    set_: Set = None,
) -> None:
    """Trains a source of your own: a backbone to transfer from, with --weights source:SOURCE."""
    from bench.cli.progress import PretrainingReporter
    from bench.commands.pretraining.pretrain import pretrain as train
    from bench.plans.plan import parse_assignment, set_key

    settings: dict[str, Any] = {}
    flags = {"tuning.trials": trials, "epochs": epochs, "image_size": image_size}
    for key, value in [*flags.items(), *map(parse_assignment, set_ or [])]:
        if value is not None:
            settings = set_key(settings, key, value)
    reporter = PretrainingReporter()
    try:
        source = train(dataset, backbone, out, weights, settings, reporter.say, reporter.event)
    except KeyboardInterrupt:
        print(f"\nInterrupted. Nothing was written to {_quoted(out)}.", file=sys.stderr)
        raise typer.Exit(130) from None
    reporter.summary(source)
    raise typer.Exit(0 if source.learned else 1)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run directory.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Says what changed from run A to run B, and whether beyond noise."""
    import json

    from bench.plans.plan import read_stored_plan
    from bench.runs.results import load
    from bench.store import Store
    from reports import compare as c

    runs = load(first), load(second)
    for run in runs:
        run.check_fractions("compare")
    stores = [Store(run.directory) for run in runs]
    plans = [read_stored_plan(store.plan_path) if store.plan_path.exists() else {} for store in stores]
    changes = c.compare(
        (runs[0].results, runs[1].results),
        (runs[0].directory, runs[1].directory),
        (plans[0], plans[1]),
        runs[0].settings.region,
        (stores[0].read_run(), stores[1].read_run()),
    )
    print(json.dumps(changes.to_json(), indent=1, allow_nan=False) if as_json else c.text(changes))


@app.command()
def ls(
    what: Annotated[str, typer.Argument(metavar="strategies|backbones|datasets")],
) -> None:
    """Lists what there is."""
    from bench.cli.listing import LISTINGS

    if what not in LISTINGS:
        raise RequestError("ls", what, f"one of {', '.join(LISTINGS)}", did_you_mean(what, LISTINGS))
    LISTINGS[what]()


@app.command()
def cache(
    action: Annotated[str, typer.Argument(metavar="[show|clear]")] = "show",
    kind: Annotated[
        str, typer.Argument(metavar="[KIND]", help="datasets, prefixes, latency, weights, ranking or all.")
    ] = "all",
) -> None:
    """Shows what is in the cache, or deletes it.  Nothing is lost but the time to compute it again."""
    from bench.cli.listing import print_cache
    from bench.system.cache import KINDS, clear

    if action not in ("show", "clear"):
        raise RequestError("cache", action, "show or clear", did_you_mean(action, ["show", "clear"]))
    if kind not in (*KINDS, "all"):
        raise RequestError("cache", kind, f"one of {', '.join(KINDS)}, all", did_you_mean(kind, KINDS))
    kinds = list(KINDS) if kind == "all" else [kind]
    if action == "clear":
        print(f"{clear(kinds) / 2**20:,.0f} MiB freed")
    else:
        print_cache(kinds)


def _repeat(cell: str | None, directory: Path | None) -> int:
    """Repeats a cell and prints what came out: 0 if the same."""
    if cell is None or directory is None:
        raise RequestError("cell", cell, "--cell ID and --from DIR together")
    from bench.cli.show import print_repetition
    from bench.runs.repeat import repeat

    repetition = repeat(cell, directory)
    print_repetition(repetition)
    return 1 if repetition.differences else 0


def _tell(text: str) -> None:
    """What is being done, beside the results on standard output."""
    from bench.system.names import shown

    print(shown(text), file=sys.stderr, flush=True)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def main() -> None:
    """Runs the command line; every expected error is one message on standard error, and its exit code."""
    # Names of files may hold bytes that the terminal's encoding lacks; they are shown escaped.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app(prog_name="python -m bench")
    except BenchError as error:
        from bench.system.names import shown

        print("\n".join(map(shown, f"bench: {error}".split("\n"))), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has left (``| head``); nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
