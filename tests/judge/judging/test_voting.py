"""Votes into decisions."""

import random
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.judging.voting import (
    CONFIDENCE,
    EVEN,
    Vote,
    enough,
    majority,
    p_even,
    pairs_needed,
    share_for_a,
    stopped,
    tally,
)


def votes(text):
    names = {"a": "a", "b": "b", "t": "tie", "x": "invalid"}
    return [
        Vote("ab"[index % 2], names[letter], reason="no verdict" if letter == "x" else None)
        for index, letter in enumerate(text)
    ]


def test_most_valid_votes_decide():
    assert majority(votes("aabxx"), allow_tie=True) == ("a", None)


def test_an_even_split_is_a_tie_or_says_why_not():
    assert majority(votes("ab"), allow_tie=True) == ("tie", None)
    verdict, reason = majority(votes("ab"), allow_tie=False)

    assert verdict == "invalid"
    assert "evenly split" in reason


def test_no_valid_vote_is_invalid_with_the_usual_reason():
    assert majority(votes("xx"), allow_tie=True) == ("invalid", "no valid judgment: no verdict")


def test_the_share_counts_a_tie_as_half_and_invalid_votes_as_nothing():
    assert share_for_a(votes("atbx")) == 0.5
    assert share_for_a(votes("xx")) is None


def test_the_tally_names_every_verdict():
    assert tally(votes("aax")) == {"a": 2, "b": 0, "tie": 0, "invalid": 1}


PAIRS = ["aa", "ab", "ba", "bb", "at", "xa", "bx", "tt", "xx"]


@given(st.lists(st.sampled_from(PAIRS), min_size=1, max_size=32))
def test_the_curtailed_rule_equals_the_full_majority(pairs):
    cast = votes("".join(pairs))

    few = stopped(cast, "curtailed")

    assert majority(few, allow_tie=True)[0] == majority(cast, allow_tie=True)[0]
    assert len(few) <= len(cast)


@given(st.lists(st.sampled_from(PAIRS), min_size=1, max_size=32))
def test_a_fixed_number_of_votes_is_cast_in_full(pairs):
    cast = votes("".join(pairs))

    assert stopped(cast, "fixed") == cast


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(PAIRS), max_size=12),
    st.integers(1, 32),
    st.sampled_from(["curtailed", "confident"]),
)
def test_no_vote_is_cast_that_the_rule_would_have_done_without(pairs, more, stopping):
    planned = 2 * (len(pairs) + more)
    cast = votes("".join(pairs))

    needed = pairs_needed(cast, planned, stopping)

    assert (needed == 0) == enough(cast, planned, stopping)
    assert needed <= more
    # Whatever comes before the last of them: the extremes, and all that there is in small numbers.
    for few in range(1, needed):
        ways = product(PAIRS, repeat=few) if few < 3 else ([pair] * few for pair in PAIRS)
        for way in ways:
            assert not enough(cast + votes("".join(way)), planned, stopping)


def test_all_votes_of_a_fixed_number_are_cast_at_once():
    assert pairs_needed([], 32, "fixed") == 16


def test_votes_cannot_be_even_before_the_seventh_pair():
    shares = [("a" * a + "b" * b + "t" * (6 - a - b)) for a in range(7) for b in range(7 - a)]
    found = [
        p_even([vote for pair in zip(votes_of("a", x), votes_of("b", y), strict=True) for vote in pair])
        for x in shares
        for y in shares
    ]

    assert max(found) < CONFIDENCE


def votes_of(first, text):
    names = {"a": "a", "b": "b", "t": "tie"}
    return [Vote(first, names[letter]) for letter in text]


def test_confidence_stops_a_unanimous_vote_after_four_and_not_before():
    cast = votes("a" * 32)

    assert len(stopped(cast, "confident")) == 4  # 1 - I_0.5(5, 1) = 0.969; after two 0.875
    assert len(stopped(cast, "curtailed")) == 18


def test_votes_that_follow_the_position_stop_as_even():
    few = stopped(votes("ab" * 16), "confident")

    assert len(few) == 14
    assert majority(few, allow_tie=True)[0] == "tie"
    assert len(stopped(votes("ab" * 16), "curtailed")) == 32


def test_the_probability_of_even_votes_is_that_of_random_rates():
    rng = np.random.default_rng(4)
    cast = votes("ab" * 5 + "aa" + "tb")
    rates = (rng.beta(1 + 6.5, 1 + 0.5, 200_000) + rng.beta(1 + 1, 1 + 6, 200_000)) / 2

    assert abs(p_even(cast) - (abs(rates - 0.5) < EVEN).mean()) < 0.005


def test_one_sided_votes_are_not_called_even():
    rng = random.Random(5)
    ends = []
    for _ in range(200):
        cast = votes("".join("a" if rng.random() < 0.7 else "b" for _ in range(32)))
        ends.append(majority(stopped(cast, "confident"), allow_tie=True)[0])

    assert ends.count("a") > 180
