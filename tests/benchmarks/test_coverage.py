"""Two judges with known accuracies: what the comparison says about them is true as often as it claims."""

import numpy as np

from benchmarks.coverage import ITEMS, planted, simulate


def test_the_planted_judges_have_their_accuracies_and_err_together():
    rounds = list(planted(200, seed=1))
    old, new = (np.array([one[side] for one in rounds]) for side in (1, 2))

    assert abs(old.mean() - 0.70) < 0.006
    assert abs(new.mean() - 0.73) < 0.006
    assert np.corrcoef(old.ravel(), new.ravel())[0, 1] > 0.2
    assert all(len(clusters) == ITEMS for clusters, *_ in rounds)


def test_the_interval_of_the_difference_holds_the_truth_as_often_as_it_says():
    shares = simulate()

    assert 0.93 <= shares["right in both orders"] <= 0.97
    assert 0.93 <= shares["gain of the score"] <= 0.97
    # Three points on 400 items are seldom enough to be sure of, and sometimes they are.
    assert 0.05 < shares["found by McNemar"] < 0.6
