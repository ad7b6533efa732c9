"""Sums of rewards: they add up, and what they say is what numpy and the definitions say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.evaluation.reward_health import BINS, Health, Totals, sums_of
from judge.judging.rewards import Reward

EMPTY = Reward(-10.0, 0.0, empty=True)
INVALID = Reward(None, reason="x")


def rewards(shares, lengths=None):
    return [(Reward(share, share), n) for share, n in zip(shares, lengths or [10] * len(shares), strict=True)]


def health(shares, lengths=None, recent=()):
    return Health(sums_of(rewards(shares, lengths)), sums_of(rewards(recent)))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5000)), min_size=1, max_size=60), st.integers(0, 60)
)
def test_sums_of_parts_add_up_to_those_of_the_whole(items, cut):
    pairs = [(Reward(share, share), length) for share, length in items]
    totals = Totals()
    totals.add("v", sums_of(pairs[:cut]))

    whole = totals.add("v", sums_of(pairs[cut:]))

    assert whole.all == pytest.approx(sums_of(pairs))


def test_mean_deviation_and_correlation_are_numpys():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 2000, 500)
    shares = np.clip(0.2 + lengths / 4000 + rng.normal(0, 0.1, 500), 0, 1)

    found = health(shares.tolist(), lengths.tolist())

    assert found.mean == pytest.approx(shares.mean())
    assert found.deviation == pytest.approx(shares.std())
    value, low, high = found.length_correlation
    assert value == pytest.approx(np.corrcoef(shares, lengths)[0, 1])
    assert low < value < high


def test_the_interval_of_the_correlation_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(500):
        lengths = rng.normal(500, 100, 200)
        shares = 0.5 + 0.0003 * (lengths - 500) + rng.normal(0, 0.03, 200)  # r = 1 / sqrt(2)
        _, low, high = health(shares.tolist(), lengths.tolist()).length_correlation
        held += low <= math.sqrt(0.5) <= high

    assert 0.92 <= held / 500 <= 0.98


def test_saturation_counts_both_ends_and_leaves_out_what_is_no_reward():
    sums = sums_of([*rewards([0.001, 0.5, 0.995, 1.0]), (EMPTY, 0), (INVALID, 7)])

    found = Health(sums, {})

    assert (found.saturated("low"), found.saturated("high")) == (0.25, 0.5)
    assert (found.count("n"), found.count("empty"), found.count("invalid")) == (4, 1, 1)
    assert sum(found.histogram) == 4
    assert found.histogram[BINS - 1] == 2


def test_equal_rewards_have_no_correlation_and_are_warned_of():
    found = health([0.5] * 200, list(range(200)))

    assert found.length_correlation is None
    assert any("hardly differ" in warning for warning in found.warnings())


def test_a_shift_of_the_last_rewards_is_seen_and_a_stable_stream_is_not():
    rng = np.random.default_rng(2)
    early = rng.beta(2, 4, 900).tolist()
    same, other = rng.beta(2, 4, 300).tolist(), rng.beta(6, 2, 300).tolist()

    stable, moved = health(early + same, recent=same), health(early + other, recent=other)

    assert stable.shift < 0.1
    assert moved.shift > 0.25
    assert not any("otherwise" in warning for warning in stable.warnings())
    assert any("otherwise" in warning for warning in moved.warnings())


def test_a_few_rewards_warn_of_nothing():
    found = health([1.0] * 50)

    assert found.warnings() == []
    assert found.shift is None
    assert Health({}, {}).mean is None
