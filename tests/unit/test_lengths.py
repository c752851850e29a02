"""How long stages train: in steps where labels are few, in passes over them where they are many."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.base import Stage
from strategies.lengths import (
    HEAD_BATCH,
    MINIMUM_BATCH,
    MINIMUM_HEAD_BATCH,
    batch_size_of,
    decay_of,
    epochs_of,
    steps_an_epoch,
)

LABELS = st.integers(1, 20_000)
BATCH = st.integers(1, 256)
EPOCHS = st.integers(1, 100)
STAGES = st.builds(
    Stage,
    name=st.just("a stage"),
    cut=st.sampled_from(("top", "input", 0.5)),
    learning_rate=st.just(1e-2),
    steps=st.integers(0, 3000),
    epochs=st.none() | EPOCHS,
)


def length_of(stage: Stage, n: int, most: int, epochs: int, length: float = 1.0) -> tuple[int, int, int]:
    """Passes over ``n`` labels of the target, steps of one pass, and labels of a batch."""
    size = batch_size_of(stage, n, most)
    return epochs_of(stage, n, size, epochs, length), steps_an_epoch(n, size), size


def allowed(stage: Stage, epochs: int) -> int:
    return epochs if stage.epochs is None else min(epochs, stage.epochs)


@given(STAGES, LABELS, BATCH, EPOCHS)
def test_a_stage_takes_its_steps_at_least_and_no_epoch_more_than_it_has_to(
    stage: Stage, n: int, most: int, epochs: int
) -> None:
    passes, each, _ = length_of(stage, n, most, epochs)
    assert passes * each >= stage.steps
    assert passes >= allowed(stage, epochs)
    assert passes == allowed(stage, epochs) or (passes - 1) * each < stage.steps


@given(STAGES, LABELS, BATCH, EPOCHS)
def test_few_labels_take_as_many_steps_however_few(stage: Stage, n: int, most: int, epochs: int) -> None:
    passes, each, size = length_of(stage, n, most, epochs)
    if 0 < allowed(stage, epochs) * each <= stage.steps:
        assert stage.steps <= passes * each < stage.steps + each
        assert epochs_of(stage, n, size, passes) == passes  # more epochs change nothing until they are more


@given(STAGES, LABELS, st.integers(1, 128), EPOCHS)
def test_many_labels_take_epochs_up_to_the_stage_s_own(stage: Stage, n: int, size: int, epochs: int) -> None:
    many = stage.steps * size + n  # labels, of which one pass is more than the steps
    passes = epochs_of(stage, many, size, epochs)
    assert passes == allowed(stage, epochs)
    assert passes <= epochs
    assert passes <= (stage.epochs or epochs)


@given(STAGES, LABELS, LABELS, st.integers(1, 128), EPOCHS)
def test_more_labels_in_batches_of_one_size_take_no_fewer_steps(
    stage: Stage, first: int, second: int, size: int, epochs: int
) -> None:
    """But for what is left of the last epoch."""
    fewer, more = sorted((first, second))
    steps = [epochs_of(stage, n, size, epochs) * steps_an_epoch(n, size) for n in (fewer, more)]
    assert steps[1] > steps[0] - steps_an_epoch(fewer, size)


@given(STAGES, LABELS, LABELS, BATCH, EPOCHS)
def test_more_labels_are_never_trained_on_for_less(
    stage: Stage, first: int, second: int, most: int, epochs: int
) -> None:
    """Counted in examples, since batches grow with the labels; but for an epoch, or a batch of each."""
    fewer, more = sorted((first, second))
    shown = []
    for n in (fewer, more):
        passes, each, size = length_of(stage, n, most, epochs)
        shown.append(passes * each * size)
    _, each, size = length_of(stage, fewer, most, epochs)
    assert shown[1] >= shown[0] - size * max(each, allowed(stage, epochs))


@given(STAGES, LABELS, BATCH, EPOCHS, st.floats(1e-3, 100), st.floats(1e-3, 100))
def test_a_length_is_a_share_of_all_that(
    stage: Stage, n: int, most: int, epochs: int, length: float, other: float
) -> None:
    whole, _, _ = length_of(stage, n, most, epochs)
    share, _, _ = length_of(stage, n, most, epochs, length)
    assert share >= 1
    assert abs(share - length * whole) <= max(0.5, 1 - length * whole)
    longer, _, _ = length_of(stage, n, most, epochs, max(length, other))
    assert longer >= share


@given(STAGES, LABELS, LABELS, BATCH, st.sampled_from(("target", "source", "both")))
def test_batches_grow_with_the_labels_up_to_the_plan_s(
    stage: Stage, first: int, second: int, most: int, data: str
) -> None:
    stage = replace(stage, data=data)  # type: ignore[arg-type]
    small, large = (batch_size_of(stage, n, most, n) for n in sorted((first, second)))
    assert small <= large
    if stage.cut == "top":
        assert MINIMUM_HEAD_BATCH <= small <= large <= HEAD_BATCH
    else:
        assert min(MINIMUM_BATCH, most) <= small <= large <= max(most, 4)


def test_by_hand() -> None:
    stage = Stage("finetune", cut="input", learning_rate=1e-2, steps=300, epochs=30)
    assert length_of(stage, 100, 32, 20) == (43, 7, 16)  # 20 epochs would be 140 steps
    assert length_of(stage, 50, 32, 20) == (75, 4, 16)
    assert length_of(stage, 1000, 32, 20) == (20, 63, 16)
    assert length_of(stage, 1000, 32, 50) == (30, 63, 16)  # its own cap
    assert length_of(stage, 1000, 32, 20, 0.1) == (2, 63, 16)
    assert length_of(stage, 100, 32, 20, 1e-3) == (1, 7, 16)
    assert length_of(stage, 100, 8, 20) == (24, 13, 8)  # the plan's batches are smaller
    assert length_of(replace(stage, steps=0), 100, 32, 20) == (20, 7, 16)


@given(STAGES, st.integers(1, 10_000))
def test_all_steps_together_decay_by_no_more_than_the_stage_s_own(stage: Stage, steps: int) -> None:
    decayed = decay_of(replace(stage, weight_decay=0.1), steps)
    if stage.cut == "top" or steps <= stage.steps or not stage.steps:
        assert decayed == 0.1
    else:
        assert decayed * steps == pytest.approx(0.1 * stage.steps)
