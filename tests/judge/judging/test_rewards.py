"""Rewards: the arithmetic on label reads, with a judge whose reads are given."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.backend.answers import LabelRead
from judge.comparison import Instruction
from judge.errors import InvalidInput
from judge.judging.judge import Judge
from judge.judging.rewards import (
    FARTHEST,
    CriterionReward,
    Reward,
    RewardItem,
    Wish,
    relative_to_group,
    require_calibration,
)
from judge.judging.scoring import expected_rating
from judge.prompts.guide import FIVE, PLAIN, Scale
from judge.prompts.rubrics import Criterion
from judge.versions.version import Manifest, StrategyCalibration

NUMBERS = st.floats(-50, 0, allow_nan=False)


def judge(**fields):
    """A version that reads nothing: what is tested here comes after the reads."""
    return Judge("v1", Manifest(origin="test", files={}, tensors="", **fields), None, None)


def calibrated(temperature):
    return judge(calibration={"pointwise": StrategyCalibration(temperature=temperature, pairs=50)})


def items(count, instruction="x", group=None):
    return [RewardItem(Instruction.of(instruction), f"r{n}", group=group) for n in range(count)]


def read(odds):
    return Reward(odds, 0.5, odds)


def relative(maker, given_items, odds, wish):
    return [one.reward for one in relative_to_group(maker, given_items, [read(o) for o in odds], wish)]


@given(st.lists(NUMBERS, min_size=5, max_size=5))
def test_an_expected_rating_is_on_the_scale_and_the_weighted_mean_of_its_points(logprobs):
    found = expected_rating(LabelRead(tuple(logprobs)), FIVE)

    weights = [math.exp(value) for value in logprobs]
    assert 1 <= found <= 5
    assert found == pytest.approx(
        sum(w * p for w, p in zip(weights, range(1, 6), strict=True)) / sum(weights)
    )


def test_an_expected_rating_of_tiny_probabilities_is_still_one():
    assert expected_rating(LabelRead((-9999.0, -9999.0)), Scale(0, 1)) == pytest.approx(0.5)


@given(st.lists(st.floats(-4, 4, allow_nan=False), min_size=2, max_size=8))
def test_rewards_within_a_group_sum_to_nothing(odds):
    found = relative(judge(), items(len(odds)), odds, Wish(against="group"))

    assert sum(found) == pytest.approx(0, abs=1e-9)


def test_a_calibrated_reward_is_in_units_of_the_temperature():
    found = relative(calibrated(2.0), items(2), [3.0, 1.0], Wish(against="group", calibrated=True))
    probability = relative(
        calibrated(2.0), items(2), [3.0, 1.0], Wish("probability", against="group", calibrated=True)
    )

    assert found == [1.0, -1.0]
    assert probability == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))])


def test_members_without_a_reward_count_for_nothing():
    empty, missing = Reward(-10.0, 0.0, empty=True), Reward(None, reason="too long")
    rewards = [read(2.0), empty, missing, read(0.0)]

    found = relative_to_group(judge(), items(4), rewards, Wish(against="group"))

    assert [one.reward for one in found] == [2.0, -10.0, None, -2.0]


def test_groups_that_are_named_cross_instructions_and_others_do_not():
    mixed = [*items(1, "x", "g"), *items(1, "y", "g"), *items(2, "z")]

    assert relative(judge(), mixed, [1.0, 3.0, 5.0, 9.0], Wish(against="group")) == [-2.0, 2.0, -4.0, 4.0]


def test_differences_are_bounded_like_rewards():
    assert relative(judge(), items(2), [10.0, -10.0], Wish(against="group")) == [FARTHEST, -FARTHEST]


def by_criteria(*odds):
    """A reward by two criteria, of which the first counts twice."""
    parts = tuple(
        CriterionReward(name, weight, one, one) for (name, weight), one in zip(WEIGHTS, odds, strict=True)
    )
    mean = (2 * odds[0] + odds[1]) / 3
    return Reward(mean, 0.5, mean, criteria=parts, truncated=True)


WEIGHTS = (("Rhyme", 2.0), ("Length", 1.0))


@pytest.mark.parametrize("form", ["log_odds", "probability"])
def test_against_the_group_each_criterion_is_against_the_others_by_it(form):
    criteria = tuple((Criterion(name, "…", weight), PLAIN) for name, weight in WEIGHTS)
    wish = Wish(form, against="group", criteria=criteria)
    rewards = [by_criteria(3.0, -1.0), by_criteria(1.0, 1.0), by_criteria(2.0, 0.0), Reward(None)]

    found = relative_to_group(judge(), items(4), rewards, wish)

    expected = [(1.5, -1.5), (-1.5, 1.5), (0.0, 0.0)]
    shown = (lambda odds: odds) if form == "log_odds" else (lambda odds: 1 / (1 + math.exp(-odds)))
    for one, odds in zip(found, expected, strict=False):
        assert [part.reward for part in one.criteria] == pytest.approx([shown(value) for value in odds])
        assert one.reward == pytest.approx((2 * shown(odds[0]) + shown(odds[1])) / 3)
        assert one.truncated
    assert found[3].reward is None


def test_calibration_that_was_never_fitted_is_refused():
    with pytest.raises(InvalidInput, match="no calibration of pointwise"):
        require_calibration(judge(), Wish(calibrated=True))
    with pytest.raises(InvalidInput, match="no calibration of pairwise"):
        require_calibration(calibrated(2.0), Wish(calibrated=True, against="reference"))
    require_calibration(calibrated(2.0), Wish(calibrated=True))


@pytest.mark.parametrize(("form", "worst"), [("log_odds", -10), ("probability", 0), ("rating", 1)])
def test_the_worst_of_each_form(form, worst):
    assert Wish(form).floor == worst
    assert Wish(form, empty=-7.5).floor == -7.5
