"""Learning-rate schedules against figures from Keras."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from fastrnn import schedules
from fastrnn.schedules import (
    SCHEDULES,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

STEPS = (0, 1, 2, 3, 4, 5, 6, 9)

# by Keras 3.15, in its float32
CASES: list[tuple[LearningRateSchedule, list[float]]] = [
    (ExponentialDecay(0.5, 4, 0.25), [0.5, 0.3535534, 0.25, 0.1767767, 0.125, 0.08838835, 0.0625, 0.02209709]),
    (ExponentialDecay(0.5, 4, 0.25, staircase=True), [0.5, 0.5, 0.5, 0.5, 0.125, 0.125, 0.125, 0.03125]),
    (InverseTimeDecay(0.5, 4, 0.25), [0.5, 0.4705882, 0.4444444, 0.4210526, 0.4, 0.3809524, 0.3636364, 0.32]),
    (InverseTimeDecay(0.5, 4, 0.25, staircase=True), [0.5, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.3333333]),
    (PolynomialDecay(0.5, 4, 0.125, 2.0), [0.5, 0.3359375, 0.21875, 0.1484375, 0.125, 0.125, 0.125, 0.125]),
    (
        PolynomialDecay(0.5, 4, 0.125, 0.5, cycle=True),
        [0.5, 0.4497595, 0.390165, 0.3125, 0.125, 0.3546397, 0.3125, 0.3125],
    ),
    (CosineDecay(0.5, 4, 0.125), [0.5, 0.4359296, 0.28125, 0.1265704, 0.0625, 0.0625, 0.0625, 0.0625]),
    (
        CosineDecay(0.125, 4, 0.25, warmup_target=0.5, warmup_steps=2),
        [0.125, 0.3125, 0.5, 0.4450825, 0.3125, 0.1799175, 0.125, 0.125],
    ),
    (PiecewiseConstantDecay([2, 5], [0.5, 0.25, 0.125]), [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]),
]
each_schedule = pytest.mark.parametrize(("schedule", "rates"), CASES, ids=lambda case: getattr(case, "name", ""))


@each_schedule
def test_against_keras(schedule: LearningRateSchedule, rates: list[float]) -> None:
    ours = [schedule(step) for step in STEPS]
    assert ours == pytest.approx(rates, rel=3e-7)
    assert all(isinstance(rate, float) for rate in ours)


@each_schedule
def test_configurations_come_back(schedule: LearningRateSchedule, rates: list[float]) -> None:
    description = json.loads(json.dumps(schedules.check(schedule)))
    again = schedules.get(description)
    assert type(again) is type(schedule)
    assert [again(step) for step in STEPS] == [schedule(step) for step in STEPS]  # type: ignore[operator]
    assert schedules.check(again) == description
    assert repr(schedule).startswith(type(schedule).__name__ + "(")


def test_every_schedule_is_tested() -> None:
    assert {type(schedule) for schedule, _ in CASES} == set(SCHEDULES.values())


def test_without_boundaries_there_is_one_value() -> None:
    assert PiecewiseConstantDecay([], [0.5])(7) == 0.5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps must be above 0, got 0"),
        (lambda: ExponentialDecay(-0.1, 1, 0.5), ValueError, "initial_learning_rate must be a finite number of at lea"),
        (lambda: ExponentialDecay(0.1, 1, -0.5), ValueError, "decay_rate must be a finite number of at least 0"),
        (lambda: PolynomialDecay(0.1, 1, math.nan), ValueError, "end_learning_rate must be a finite number"),
        (lambda: CosineDecay(0.1, 1, warmup_steps=-1), ValueError, "warmup_steps must be at least 0"),
        (lambda: PiecewiseConstantDecay([2, 2], [1, 2, 3]), ValueError, "boundaries must rise, got"),
        (lambda: PiecewiseConstantDecay([2, 5], [1, 2]), ValueError, "values must be one more than the 2 boundaries"),
        (lambda: schedules.get("fast"), TypeError, "learning_rate must be a number, got 'fast'"),
        (lambda: schedules.get(-1), ValueError, "learning_rate must be a finite number of at least 0"),
        (lambda: schedules.get({"class": "cosine", "config": {}}), ValueError, "did you mean 'cosine_decay'"),
        (lambda: LearningRateSchedule()(0), NotImplementedError, "LearningRateSchedule has no formula"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
