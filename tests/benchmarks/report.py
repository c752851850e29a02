"""The report of a thousand records: four datasets, five backbones, five strategies, five label counts, two seeds.

python tests/benchmarks/report.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

import fake

from bench.store import Store


def finished_run(directory: Path) -> int:
    """Writes a run whose records are made up; returns their number."""
    fake.CURVES["l2_sp"] = fake.CURVES["full_finetune"]
    records = fake.records(
        datasets=[f"dataset {i}" for i in range(4)],
        backbones=["A", "B", "C", "D", "E"],
        strategies=(*fake.STRATEGIES, "l2_sp"),
        fractions=(0.05, 0.1, 0.2, 0.5, 1.0),
        seeds=2,
    )
    store = Store(directory)
    for record in records:
        store.write(record)
    fake.write_predictions(records, directory)
    (directory / "run.json").write_text(json.dumps(fake.run_info(records)))
    (directory / "plan.toml").write_text(fake.plan_toml(records))
    return len(records)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        records = finished_run(directory)
        seconds = []
        for _ in range(options.repeats):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "bench", "report", str(directory)], check=True, stdout=2)
            seconds.append(round(time.perf_counter() - started, 2))
        page = directory / "report.html"
        found = {
            "records": records,
            "seconds": seconds,
            "median_seconds": statistics.median(seconds),
            "megabytes": round(page.stat().st_size / 1e6, 2),
            "panels": page.read_text(encoding="utf-8").count("<svg viewBox"),
        }
    print(json.dumps(found))
    print(f"{records} records: {found['median_seconds']} s, {found['megabytes']} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
