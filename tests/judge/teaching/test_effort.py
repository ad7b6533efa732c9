"""What an iteration has to do, before it begins."""

from dataclasses import replace

import pytest

from judge.teaching import effort
from judge.teaching.effort import Effort, Pace
from judge.teaching.profiles import iteration_settings

PACE = Pace(read=1000.0, written=100.0, trained=200.0, loading_s=30.0)
SMALL = iteration_settings("small", {})


def minutes(settings=SMALL, instructions: int = 328, pace: Pace = PACE) -> float:
    return effort.seconds(effort.stages(settings, instructions, 40.0), pace) / 60


def test_a_pace_makes_seconds_of_each_kind_of_token():
    assert PACE.seconds(Effort(read=2000.0, written=300.0, trained=800.0)) == 2.0 + 3.0 + 4.0


def test_a_machine_of_half_the_pace_takes_twice_as_long_without_the_loading():
    half = replace(PACE, read=500.0, written=50.0, trained=100.0)

    assert minutes(pace=half) - 1 == pytest.approx(2 * (minutes() - 1))


@pytest.mark.parametrize(
    "more",
    [
        {"evaluated_pairs": 560},
        {"max_pointwise": 640},
        {"judged_pairs": 48},
        {"samples": 4},
        {"response_tokens": 80},
        {"evaluated_attacks": 64},
        {"pointwise_epochs": 2.0},
    ],
    ids=str,
)
def test_more_to_do_takes_longer(more):
    assert minutes(SMALL.model_copy(update=more)) > 1.01 * minutes()


def test_no_more_is_counted_than_the_pool_holds():
    large = SMALL.model_copy(update={"instructions": 5000})

    assert minutes(large, 320) == minutes(instructions=320)
    assert minutes(instructions=100) < minutes()
    assert minutes(instructions=10_000) == minutes(instructions=SMALL.instructions)
