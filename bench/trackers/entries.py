"""From records to what trackers are told. Paths of data and weights stay on this machine."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from bench.records import FINAL, Cell, Record
from bench.store import Store
from bench.system.files import digest
from bench.system.names import titled
from bench.trackers.base import Entry, Place, Point, Value

OF_TRIALS = ("val_accuracy", "val_log_loss", "val_threshold")
"""Numbers of the chosen trial, on the validation set."""
OF_POINTS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


def place_of(directory: Path) -> Place:
    """The run of a directory. It is known by its name and its data, so it may be moved and may grow."""
    directory = directory.resolve()
    data = sorted(Store(directory).read_run().get("datasets", {}))
    return Place(f"{directory.name}-{digest(data)[:6]}", directory.name, directory)


def entry_of(record: Record, place: Place) -> Entry:
    """A cell as trackers see it."""
    cell = Cell.of(record.cell)
    took = float(record.costs.get("wall_seconds") or record.costs.get("total_seconds") or 0.0)
    ended = Store(place.directory).written(record.cell_id)
    said = (record.error or {}).get("message", record.status)
    version = str(record.provenance.get("versions", {}).get("transfer-bench", ""))
    return Entry(
        record.cell_id,
        cell.label,
        _parameters(cell, record),
        _metrics(record),
        _curves(record, ended - took),
        {"cell": record.cell_id, "run": place.id, "status": record.status, "version": version}
        | ({"skipped": said} if record.status == "skipped" else {}),
        "" if record.status in FINAL else said,
        ended,
        took,
    )


def _parameters(cell: Cell, record: Record) -> dict[str, Value]:
    found: dict[str, Value] = {
        "strategy": cell.strategy,
        "backbone": titled(cell.backbone, cell.weights) if cell.backbone else "none",
        "dataset": cell.dataset_name,
        "fingerprint": cell.fingerprint,
        "protocol": cell.protocol,
        "fraction": cell.fraction,
        "seed": cell.seed,
    }
    found |= {name: getattr(record, name) for name in ("n", "n_train", "n_val", "n_test")}
    found |= {
        name: getattr(cell, name) for name in ("epochs", "batch_size", "length", "metric", "class_weight")
    }
    found |= {name: getattr(cell, name) for name in ("threads", "backend", "precision")}
    found |= {"steps": record.steps, **cell.examples, **cell.head, **cell.protocol_settings}  # type: ignore[dict-item]
    found |= {f"tuning.{name}": value for name, value in cell.tuning.items()}
    found |= {f"hyperparameters.{name}": value for name, value in record.hyperparameters.items()}
    return {
        name: value if isinstance(value, (str, int, float)) else ",".join(map(str, value))
        for name, value in found.items()
        if value is not None
    }


def _metrics(record: Record) -> dict[str, float]:
    found = {f"test/{name}": value for name, value in record.metrics.items()}
    chosen = next((trial for trial in record.trials if trial.get("chosen")), {})
    found |= {
        f"validation/{name.removeprefix('val_')}": chosen[name]
        for name in OF_TRIALS
        if chosen.get(name) is not None
    }
    found |= {f"cost/{name}": value for name, value in record.costs.items() if value is not None}
    for setting in record.episodes:
        name = f"test/{setting['ways']}-way {setting['shots']}-shot accuracy"
        found[name if setting["scope"] == "all" else f"{name} within superclasses"] = setting["accuracy"]
    return {name: float(value) for name, value in found.items()}


def _curves(record: Record, began: float) -> dict[str, list[Point]]:
    found = defaultdict(list)
    for point in record.curves:
        for name in OF_POINTS:
            if point.get(name) is not None:
                where = Point(int(point["images"]), float(point[name]), began + float(point["seconds"]))
                found[f"{point['run']}/{name}"].append(where)
    return dict(found)
