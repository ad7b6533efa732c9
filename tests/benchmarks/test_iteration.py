"""The tables of an iteration's pairs."""

from benchmarks.iteration_pairs import turned
from judge.statistics import Outcome


def outcome(item, *verdicts):
    return Outcome(item, item, verdicts == ("a", "a"), verdicts, False)


def test_a_verdict_is_turned_if_both_versions_are_for_a_side_and_not_the_same():
    before = [outcome("one", "a", "b"), outcome("two", "a", "tie"), outcome("three", "b", "b")]
    after = [outcome("three", "tie", "b"), outcome("one", "b", "b"), outcome("two", "a", "b")]

    assert turned(before, after) == 1 / 6
