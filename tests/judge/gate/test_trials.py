"""The alarms of a trial, at their defaults."""

import random
from functools import cache

import pytest

from judge.evaluation.statistics import Tally
from judge.gate.trials import Report, alarm
from judge.teaching.profiles import IterationSettings

SETTINGS = IterationSettings()
RUNS = 60


def seen(flips, decisions):
    nothing = Tally(0, decisions)
    return Report(decisions, {}, Tally(flips, decisions), nothing, nothing, None, None, None, 0)


@cache
def tripped(flips, decisions):
    return alarm(seen(flips, decisions), SETTINGS) is not None


def stopped(rate):
    """In how many of the runs a candidate that turns this share of the verdicts is stopped in time."""
    count = 0
    for seed in range(RUNS):
        rng, flips = random.Random(seed), 0
        for decisions in range(1, SETTINGS.trial_decisions + 1):
            flips += rng.random() < rate
            if tripped(flips, decisions):
                count += 1
                break
    return count


def test_a_candidate_that_answers_at_random_is_stopped():
    assert stopped(0.5) >= 0.9 * RUNS


@pytest.mark.parametrize(("rate", "most"), [(0.2, 0), (0.3, 0.05), (0.404, 0.2)])
def test_a_better_candidate_is_seldom_stopped_for_what_it_turns(rate, most):
    """0.404: the candidate of docs/measurements.md, over an untaught champion on held-out pairs."""
    assert stopped(rate) <= most * RUNS


def test_few_turned_verdicts_are_chance():
    assert alarm(seen(19, 19), SETTINGS) is None
    assert alarm(seen(20, 20), SETTINGS).startswith("turned verdicts: 20 of 20")
