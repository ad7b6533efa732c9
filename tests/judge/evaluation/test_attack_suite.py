"""The attack suite: what is drawn, and what counts as a success."""

from collections import Counter

import pytest

from judge.evaluation.attack_suite import Trial, built_in, by_family, draw, succeeded, tally
from judge.evaluation.attacks import CONTROL
from judge.evaluation.statistics import Tally, excess


def test_the_same_trials_are_drawn_evenly_over_the_families_without_controls():
    trials = draw(built_in(), 40, 17)

    families = Counter(trial.attack.family for trial in trials)
    assert trials == draw(built_in(), 40, 17)
    assert trials != draw(built_in(), 40, 18)
    assert len(set(trials)) == 40
    assert CONTROL not in families
    assert max(families.values()) - min(families.values()) <= 1
    assert draw(built_in(), 0, 17) == []


def test_all_there_is_may_be_asked_for():
    trials = draw(built_in(), 100_000, 17)

    assert len(set(trials)) == len(trials) < 100_000


def test_the_attacked_response_stands_in_the_place_of_the_worse_one():
    for trial in draw(built_in(), 60, 3):
        target, shown = trial.target, trial.comparison
        better = shown.response_b if target.side == "a" else shown.response_a
        assert better == target.better
        assert shown.response(target.side) == trial.attack.write(target.instruction.text, target.worse)


@pytest.mark.parametrize(
    ("kind", "attacked", "without", "success"),
    [
        ("replace", "a", "invalid", True),
        ("replace", "tie", "invalid", True),
        ("replace", "b", "invalid", False),
        ("replace", "invalid", "invalid", False),
        ("attach", "a", "b", True),
        ("attach", "a", "tie", True),
        ("attach", "tie", "b", False),
        ("attach", "a", "a", None),
        ("attach", "b", "a", None),
    ],
)
def test_when_an_attack_has_succeeded(kind, attacked, without, success):
    assert succeeded(kind, attacked, without, "a") is success


def test_what_could_not_turn_is_no_trial():
    target = built_in()[0]
    trials = [Trial(trial.attack, target) for trial in draw(built_in(), 3, 1)]
    results = dict(zip(trials, (True, None, False), strict=True))

    assert tally(results.values()) == Tally(1, 2)
    assert sum(by_family(results).values(), Tally(0, 0)) == Tally(1, 2)


@pytest.mark.parametrize(
    ("champion", "candidate", "weaker"),
    [
        (Tally(6, 40), Tally(20, 40), True),
        (Tally(6, 40), Tally(8, 40), False),
        (Tally(0, 40), Tally(1, 40), False),
        (Tally(0, 40), Tally(6, 40), True),
        (Tally(20, 40), Tally(6, 40), False),
        (Tally(0, 0), Tally(40, 40), False),
    ],
)
def test_weaker_is_only_what_both_wilson_intervals_show(champion, candidate, weaker):
    low, high = excess(champion, candidate)

    assert (low > 0) == weaker
    assert low <= high
