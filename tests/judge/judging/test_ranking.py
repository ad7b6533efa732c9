"""Comparisons and rewards into rankings."""

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from judge.errors import InvalidInput
from judge.judging.ranking import (
    Match,
    Reward,
    bradley_terry,
    mean_rewards,
    rank_order,
    require_connected,
    schedule,
)

TRUE = [1.5, 0.5, 0.0, -0.6, -1.4]
NAMES = ["a", "b", "c", "d", "e"]


def played(rng, prompts, strengths=TRUE):
    """All pairs on each prompt, with plain wins drawn from the true strengths."""
    matches = []
    for prompt in range(prompts):
        for one, two in combinations(range(len(strengths)), 2):
            won = rng.random() < expit(strengths[one] - strengths[two])
            winner, loser = (one, two) if won else (two, one)
            matches.append(Match(winner, loser, str(prompt)))
    return matches


def values(scores):
    return [score.value for score in scores]


def test_order_and_strengths_are_found_again():
    found = bradley_terry(played(np.random.default_rng(1), 400), NAMES, draws=20)

    assert [index for index, _ in rank_order(values(found))] == [0, 1, 2, 3, 4]
    assert values(found) == pytest.approx(TRUE, abs=0.2)
    assert sum(values(found)) == pytest.approx(0, abs=1e-5)


def test_probabilities_give_the_strengths_without_any_noise():
    matches = [
        Match(one, two, "p", float(expit(TRUE[one] - TRUE[two]))) for one, two in combinations(range(5), 2)
    ]

    assert values(bradley_terry(matches, NAMES)) == pytest.approx(TRUE, abs=0.02)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(20):
        found = bradley_terry(played(rng, 60), NAMES, draws=80, seed=seed)
        held += sum(
            score.low <= true - np.mean(TRUE) <= score.high for score, true in zip(found, TRUE, strict=True)
        )

    assert 86 <= held <= 100


def test_intervals_are_wider_where_prompts_decide_everything_at_once():
    alone = [Match(0, 1, str(i)) if i % 3 else Match(1, 0, str(i)) for i in range(60)]
    together = [Match(m.winner, m.loser, str(i % 6)) for i, m in enumerate(alone)]

    def width(matches):
        score = bradley_terry(matches, NAMES[:2])[0]
        return score.high - score.low

    assert width(together) > 2 * width(alone)


def test_who_wins_all_stays_finite_and_first():
    found = bradley_terry([Match(0, 1, "p"), Match(0, 2, "q"), Match(1, 2, "r")] * 5, NAMES[:3])

    assert 10 > found[0].value > found[1].value > found[2].value > -10
    assert all(score.low <= score.value <= score.high for score in found)


def test_ties_are_half_a_win_each_way():
    tied = bradley_terry([Match(0, 1, "p", 0.5), Match(1, 0, "q", 0.5)], NAMES[:2])
    halves = bradley_terry(
        [Match(0, 1, "p"), Match(1, 0, "p"), Match(0, 1, "p"), Match(1, 0, "p")], NAMES[:2]
    )

    assert values(tied) == values(halves) == [0, 0]
    assert rank_order(values(tied)) == [(0, 1), (1, 1)]


def test_one_cluster_gives_no_interval():
    (one, _) = bradley_terry([Match(0, 1, "p", 0.8)], NAMES[:2])

    assert one.value > 0
    assert (one.low, one.high) == (None, None)


def test_the_same_seed_gives_the_same_intervals():
    matches = played(np.random.default_rng(4), 8)

    assert bradley_terry(matches, NAMES, draws=30, seed=5) == bradley_terry(matches, NAMES, draws=30, seed=5)
    assert bradley_terry(matches, NAMES, draws=30, seed=5) != bradley_terry(matches, NAMES, draws=30, seed=6)


def test_groups_that_never_met_are_refused_by_name():
    with pytest.raises(InvalidInput, match=r"these 3 groups .*\(a, c\); \(b, d\); \(e\)"):
        bradley_terry([Match(0, 2, "p"), Match(3, 1, "p")], NAMES)


def test_a_chain_of_comparisons_is_enough():
    require_connected([(0, 1), (2, 1), (2, 3), (4, 3)], NAMES)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 5))
def test_names_do_not_change_the_ranking(order, seed):
    matches = played(np.random.default_rng(seed), 4)
    renamed = [Match(order[m.winner], order[m.loser], m.cluster, m.probability) for m in matches]
    random.Random(seed).shuffle(renamed)

    before = bradley_terry(matches, NAMES, draws=5)
    after = bradley_terry(renamed, NAMES, draws=5)

    for player, score in enumerate(before):
        moved = after[order[player]]
        assert (moved.value, moved.low, moved.high) == pytest.approx(
            (score.value, score.low, score.high), abs=1e-4
        )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), min_size=3, max_size=12))
def test_turning_every_comparison_around_changes_nothing(played):
    matches = [Match(n, (n + 1) % 3, str(i), p) for i, (n, p) in enumerate([(0, 0.5), (1, 0.5), *played])]
    turned = [Match(m.loser, m.winner, m.cluster, 1 - m.probability) for m in matches]

    assert values(bradley_terry(matches, NAMES[:3], draws=2)) == pytest.approx(
        values(bradley_terry(turned, NAMES[:3], draws=2)), abs=1e-5
    )


def test_mean_rewards_have_intervals_over_prompts():
    rng = np.random.default_rng(7)
    rewards = [Reward(p, str(i), rng.normal(mean, 1)) for i in range(80) for p, mean in enumerate((1, -1))]

    one, two = mean_rewards([*rewards, Reward(2, "0", 0.25)], NAMES[:3])[:2]
    single = mean_rewards([*rewards, Reward(2, "0", 0.25)], NAMES[:3])[2]

    assert one.low < 1 < one.high
    assert two.low < -1 < two.high
    assert one.high - one.low == pytest.approx(2 * 1.96 / 80**0.5, rel=0.25)
    assert (single.value, single.low, single.high) == (0.25, None, None)


def test_equal_scores_share_a_rank_and_use_up_the_next():
    assert rank_order([0.5, 2.0, 0.5, -1.0, 2.0]) == [(1, 1), (4, 1), (0, 3), (2, 3), (3, 5)]


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_a_rank_is_one_more_than_the_number_of_better_scores(scores):
    ranked = rank_order(scores)

    assert sorted(index for index, _ in ranked) == list(range(len(scores)))
    assert all(rank == 1 + sum(other > scores[index] for other in scores) for index, rank in ranked)


@given(st.integers(2, 64), st.integers(0, 2**31))
def test_a_schedule_connects_all_and_no_pair_meets_twice(count, seed):
    pairs = schedule(count, seed)

    require_connected(pairs, [str(player) for player in range(count)])
    assert len(set(pairs)) == len(pairs) == (count * (count - 1) // 2 if count <= 8 else 4 * count)
    assert all(0 <= one < two < count for one, two in pairs)
