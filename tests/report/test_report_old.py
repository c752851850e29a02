"""A run of protocol version 2, which stopped stages early: it is shown, and not gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake
import pytest

import bench
from bench.commands.export.export import export
from bench.errors import RequestError
from bench.records import PROTOCOL_VERSION, Record
from bench.store import Store

PLAN: dict[str, Any] = {
    "datasets": ["digits"], "strategies": ["majority"], "fractions": [1.0], "seeds": 1, "image_size": 32
}  # fmt: skip


def as_it_was(record: Record) -> None:
    """Schema 6: no length, no steps, no trial that is said to be chosen."""
    record.schema_version = 6
    record.cell["protocol_version"] = 2
    del record.cell["length"]
    record.steps = None
    for number, trial in enumerate(record.trials):
        for key in ("length", "chosen", "steps"):
            del trial[key]
        trial |= {"epoch_limit": 12, "score": number / 10}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The directory of such a run."""
    out = tmp_path / "run"
    found = fake.records(strategies=("feature_extraction", "full_finetune"), spoil=as_it_was)
    (out / "cells").mkdir(parents=True)
    store = Store(out)
    fake.write_predictions(found, out)
    for record in found:
        store.write(record)
        path = out / "cells" / f"{record.cell_id}.json"
        path.write_text(path.read_text().replace('"steps": null,', ""))
    store.write_plan(fake.plan_toml(found))
    store.write_run({**fake.run_info(found), "schema_version": 6, "protocol_version": 2})
    return out


def test_it_opens_and_its_report_is_drawn(old: Path, cli: Callable[..., Any]) -> None:
    run = bench.load(old)
    assert not run.warnings
    assert len(run.records) == len(run.results) == 18
    assert not any("steps" in path.read_text() for path in (old / "cells").iterdir())
    assert run.results["steps"].isna().all()
    assert (run.results["epochs"] == 8).all()
    assert not run.curves.empty
    assert cli("report", old).rc == 0
    page = (old / "report.html").read_text(encoding="utf-8")
    assert "Full fine-tuning" in page
    assert cli("recommend", old).rc == 0


def test_its_export_is_refused_in_words(old: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    with pytest.raises(RequestError, match=f"protocol version {PROTOCOL_VERSION}, not 2"):
        export(old, tmp_path / "export")
    result = cli("export", old)
    assert result.rc == 2
    assert "Run it again in a new directory" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "export").exists()


def test_none_of_its_cells_is_repeated(old: Path, cli: Callable[..., Any]) -> None:
    (first, *_) = bench.load(old).records
    result = cli("run", "--cell", first.cell_id, "--from", old)
    assert result.rc == 2
    assert f"a cell of protocol version {PROTOCOL_VERSION}, not 2" in result.stderr


def test_no_run_goes_on_in_it(tmp_path: Path, cli: Callable[..., Any]) -> None:
    out = tmp_path / "run"
    bench.run(PLAN, out, workers=1)
    store = Store(out)
    store.write_run({**store.read_run(), "protocol_version": 2})
    result = cli("run", out / "plan.toml")
    assert result.rc == 2
    assert f"a run of protocol version {PROTOCOL_VERSION}, not 2" in result.stderr
    assert "Choose another --out" in result.stderr
    assert "Traceback" not in result.stderr
