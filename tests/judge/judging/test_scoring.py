"""Label probabilities into verdicts."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.backend.answers import LabelRead
from judge.judging.scoring import (
    MOST_TIES,
    Calibration,
    fit_temperature,
    pairwise_log_odds,
    pointwise_log_odds,
    share_of_yes,
    tie_band,
)

LOGPROB = st.floats(-20, -0.01)
READ = st.tuples(LOGPROB, LOGPROB).map(LabelRead)


@given(READ, READ)
def test_swapping_the_sides_turns_every_strategy_around(one, two):
    assert pointwise_log_odds(one, two) == pytest.approx(-pointwise_log_odds(two, one))
    assert pairwise_log_odds(one, two) == pytest.approx(-pairwise_log_odds(two, one))


@given(LOGPROB, LOGPROB)
def test_a_judge_that_only_prefers_a_position_is_even(first, second):
    read = LabelRead((first, second))

    assert pairwise_log_odds(read, read) == 0


def test_a_band_around_one_half_is_a_tie_only_where_ties_are_allowed():
    calibration = Calibration(temperature=1.0, tie_band=0.1)

    assert calibration.verdict(0.2, allow_tie=True) == "tie"
    assert calibration.verdict(0.2, allow_tie=False) == "a"
    assert calibration.verdict(-3.0, allow_tie=True) == "b"
    assert calibration.verdict(0.0, allow_tie=False) == "invalid"


def test_ratings_stay_on_the_scale():
    assert share_of_yes(LabelRead((-0.001, -20.0))) == pytest.approx(1, abs=0.01)
    assert share_of_yes(LabelRead((-20.0, -0.001))) == pytest.approx(0, abs=0.01)


def test_the_temperature_is_found_again():
    rng = random.Random(3)
    odds = [rng.gauss(0, 6) for _ in range(4000)]
    better = [rng.random() < 1 / (1 + math.exp(-value / 3)) for value in odds]

    assert fit_temperature(odds, better).temperature == pytest.approx(3, rel=0.15)


def test_the_tie_band_covers_where_the_judge_cannot_tell():
    calibration = Calibration()
    sure = [(3.0, True)] * 20 + [(-3.0, False)] * 20
    blind = [(0.1, index % 2 == 0) for index in range(20)]
    odds, better = zip(*sure, *blind, strict=True)

    band = tie_band(calibration, odds, better)

    assert calibration.probability(0.1) - 0.5 == pytest.approx(band, abs=1e-3)
    assert tie_band(calibration, *zip(*sure, strict=True)) == 0


def test_the_tie_band_holds_no_more_pairs_than_the_gate_tolerates_ties():
    odds = [0.003 * (index + 1) for index in range(100)]
    calibration = Calibration()

    band = tie_band(calibration, odds, [index % 2 == 0 for index in range(100)])

    ties = sum(replace(calibration, tie_band=band).verdict(one, allow_tie=True) == "tie" for one in odds)
    assert 15 <= ties <= 100 * MOST_TIES


def test_two_orders_that_cancel_out_but_for_rounding_are_a_tie():
    assert Calibration().verdict(1e-6, allow_tie=True) == "tie"
    assert Calibration().verdict(1e-6, allow_tie=False) == "a"


@pytest.mark.parametrize("odds", [math.nan, math.inf, -math.inf])
def test_log_odds_that_are_not_finite_are_no_verdict(odds):
    assert Calibration(tie_band=0.1).verdict(odds, allow_tie=True) == "invalid"
    assert Calibration().verdict(odds, allow_tie=False) == "invalid"
