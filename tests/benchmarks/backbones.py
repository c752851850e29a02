"""The contract suite over all backbones, each in a process of its own: what passed, in what time and memory.

One process for all of them would need more than 24 GB by the time that it comes to the largest. Results are kept in
OUT, one file a backbone: what is there is not run again. Prints JSON, and with --table a table; the exit status is
1 if a test failed.

    python tests/benchmarks/backbones.py OUT [--only NAME...] [--at-once 2] [--memory 20] [--table]
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SUITE = "tests/contract/test_backbones.py"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "slow or not slow")
GIGABYTES_A_MILLION = 0.05
"""Of parameters, at the most: ConvNeXtXLarge's 348 million take 16 GB."""


def tests_by_backbone() -> dict[str, list[str]]:
    """The suite's tests by the backbone that stands in their names; ``""``: those of none."""
    from bench.backbones.registry import BACKBONES

    listed = subprocess.run([*PYTEST, "--collect-only", SUITE], cwd=ROOT, capture_output=True, text=True)
    found: dict[str, list[str]] = collections.defaultdict(list)
    for line in listed.stdout.splitlines():
        if line.startswith(SUITE):
            given = re.findall(r"\[(.*)\]$", line)
            parts = given[0].split("-") if given else []
            found[next((p for p in parts if p.partition(":")[0] in BACKBONES), "")].append(line)
    return found


class Room:
    """So many gigabytes, of which each of several threads takes some for a while."""

    def __init__(self, gigabytes: float) -> None:
        self.free = self.whole = gigabytes
        self.changed = threading.Condition()

    def take(self, gigabytes: float) -> float:
        with self.changed:
            wanted = min(gigabytes, self.whole)
            self.changed.wait_for(lambda: self.free >= wanted)
            self.free -= wanted
        return wanted

    def give(self, gigabytes: float) -> None:
        with self.changed:
            self.free += gigabytes
            self.changed.notify_all()


def run(name: str, tests: list[str], out: Path, room: Room) -> dict[str, Any]:
    """Runs the tests of one backbone, or reads what came of them before."""
    from bench.backbones.registry import BACKBONES

    path = out / f"{name.replace(':', '-').replace('=', '') or 'others'}.json"
    if path.exists():
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    info = BACKBONES.get(name.partition(":")[0])
    taken = room.take(2 + GIGABYTES_A_MILLION * ((info.params_millions or 5) if info else 20))
    try:
        started = time.perf_counter()
        with path.with_suffix(".log").open("w") as log:
            process = subprocess.Popen([*PYTEST, *tests], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        room.give(taken)
    last = path.with_suffix(".log").read_text().splitlines()[-1:]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", " ".join(last))}
    result = {
        "backbone": name or "others",
        "exit": process.returncode,
        **{word: counts.get(word, 0) for word in ("passed", "failed", "skipped")},
        "seconds": round(time.perf_counter() - started, 1),
        "peak_gb": round(usage.ru_maxrss / 2**20, 1),
    }
    if process.returncode == 0:
        path.write_text(json.dumps(result))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--memory", type=float, default=20, help="gigabytes for all of them together")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    options.out.mkdir(parents=True, exist_ok=True)
    tests, room = tests_by_backbone(), Room(options.memory)
    chosen = options.only or list(tests)
    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        futures = [pool.submit(run, name, tests[name], options.out, room) for name in chosen]
        rows = []
        for future in concurrent.futures.as_completed(futures):
            rows.append(future.result())
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    rows.sort(key=lambda row: -row["seconds"])
    print(json.dumps(rows, indent=1))
    if options.table:
        print(f"\n{'backbone':24} {'passed':>6} {'failed':>6} {'skipped':>7} {'seconds':>8} {'GB':>5}")
        for row in rows:
            print(f"{row['backbone']:24} {row['passed']:>6} {row['failed']:>6} {row['skipped']:>7} "
                  f"{row['seconds']:>8} {row['peak_gb']:>5}")  # fmt: skip
    sys.exit(any(row["exit"] for row in rows))


if __name__ == "__main__":
    main()
