"""The queue of the local executor: every cell once, and workers stay with what they have built."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bench.execution.queue import Queue
from bench.records import Cell

CELL = Cell(
    strategy="scratch", strategy_version=1, dataset="d", dataset_name="d", fingerprint="0", modality="image",
    backbone="MobileNet", weights="none", weights_sha256="", fraction=1.0, seed=0,
    examples={"image_size": 32, "resizing": "stretch", "augmentation": "none", "flip": False},
    epochs=1, batch_size=1, threads=1, head={}, tuning={},
)  # fmt: skip

KINDS = st.tuples(st.sampled_from("ABC"), st.sampled_from(["scratch", "majority"]), st.sampled_from([32, 64]))


def cells(kinds: list[tuple[str, str, int]]) -> list[Cell]:
    return [
        replace(
            CELL,
            backbone=backbone,
            strategy=strategy,
            examples={**CELL.examples, "image_size": size},
            seed=seed,
        )
        for seed, (backbone, strategy, size) in enumerate(kinds)
    ]


@given(st.lists(KINDS, max_size=30), st.lists(st.integers(0, 3), max_size=60))
def test_every_cell_is_taken_exactly_once_whoever_asks(
    kinds: list[tuple[str, str, int]], asks: list[int]
) -> None:
    todo = cells(kinds)
    queue = Queue(todo)
    taken = [cell for worker in asks if (cell := queue.take(worker)) is not None]
    assert len(taken) == min(len(todo), len(asks))
    assert bool(queue) == (len(asks) < len(todo))
    while (cell := queue.take(0)) is not None:
        taken.append(cell)
    assert Counter(cell.id for cell in taken) == Counter(cell.id for cell in todo)
    assert not queue
    assert queue.take(0) is None


def test_the_queue_does_not_empty_the_list_it_was_given() -> None:
    todo = cells([("A", "scratch", 32)])
    Queue(todo).take(0)
    assert len(todo) == 1


def test_one_worker_finishes_a_kind_before_the_next_in_the_given_order() -> None:
    todo = cells([(backbone, "scratch", 32) for backbone in "ABAB"])
    queue = Queue(todo)
    assert [queue.take(0) for _ in todo] == [todo[0], todo[2], todo[1], todo[3]]


def test_two_workers_take_different_kinds_and_stay_with_them() -> None:
    todo = cells([(backbone, "scratch", 32) for backbone in "AAABBB"])
    queue = Queue(todo)
    taken = [[queue.take(worker) for worker in (0, 1)] for _ in range(3)]
    assert [[cell.backbone for cell in pair if cell] for pair in taken] == [["A", "B"]] * 3


def test_a_worker_helps_with_anothers_kind_when_nothing_else_is_left() -> None:
    queue = Queue(cells([("A", "scratch", 32)] * 4))
    assert [queue.take(worker) is not None for worker in (0, 1, 0, 1)] == [True] * 4


def test_what_is_put_back_comes_next() -> None:
    todo = cells([("A", "scratch", 32)] * 3)
    queue = Queue(todo)
    first = queue.take(0)
    assert first is not None
    queue.put_back(first)
    assert queue.take(0) == first
