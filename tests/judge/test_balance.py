"""Even sets: whatever comes in, neither place nor length tells the winner."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from judge.balance import capped, even, even_lengths, even_places
from judge.comparison import Instruction, PreferencePair

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=120)
ROOM = st.integers(0, 130)


def pairs(lengths):
    return [PreferencePair(Instruction.of("x"), "c" * a, "r" * b, "random") for a, b in lengths]


def longer_and_shorter(chosen):
    longer = sum(len(pair.chosen) > len(pair.rejected) for pair in chosen)
    return longer, sum(len(pair.chosen) < len(pair.rejected) for pair in chosen)


def is_even(longer, shorter):
    total = longer + shorter
    return 0.45 * total - 1e-9 <= longer <= 0.55 * total + 1e-9


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 90))
def test_even_numbers_are_the_most_that_can_be_taken(longer, shorter, room):
    taken = even(longer, shorter, room)
    possible = [
        a + b for a in range(longer + 1) for b in range(shorter + 1) if a + b <= room and is_even(a, b)
    ]

    assert taken[0] <= longer
    assert taken[1] <= shorter
    assert is_even(*taken)
    assert sum(taken) == max(possible)


@given(LENGTHS, ROOM, st.sets(st.sampled_from(range(120))))
def test_the_longer_response_wins_as_often_as_it_loses(lengths, room, others):
    given_pairs = [
        replace(pair, strategy="neighbor") if index in others else pair
        for index, pair in enumerate(pairs(lengths))
    ]

    indexes = even_lengths(given_pairs, room, random.Random(6))

    longer, shorter = longer_and_shorter([given_pairs[index] for index in indexes])
    assert len(indexes) == len(set(indexes)) <= room
    assert longer == shorter


def test_no_strategy_teaches_length_while_another_teaches_its_opposite():
    mixed = pairs([(9, 3)] * 30 + [(3, 9)] * 60)
    mixed += [replace(pair, strategy="requirement") for pair in pairs([(9, 3)] * 60 + [(3, 9)] * 30)]

    kept = [mixed[index] for index in even_lengths(mixed, 100, random.Random(8))]

    for strategy in ("random", "requirement"):
        longer, shorter = longer_and_shorter([pair for pair in kept if pair.strategy == strategy])
        assert longer == shorter > 10


def test_strategies_that_go_one_way_only_make_up_for_each_other():
    mixed = pairs([(9, 3)] * 30)
    mixed += [replace(pair, strategy="shortened") for pair in pairs([(3, 9)] * 20)]

    assert len(even_lengths(mixed, 100, random.Random(9))) == 40


@given(LENGTHS, st.lists(st.booleans(), min_size=120, max_size=120), ROOM)
def test_the_winner_stands_first_in_half_of_the_examples_of_either_length(lengths, first, room):
    given_pairs = pairs(lengths)
    first = first[: len(given_pairs)]

    indexes = even_places(given_pairs, first, room, random.Random(7))

    assert len(indexes) == len(set(indexes)) <= room
    assert is_even(*longer_and_shorter([given_pairs[index] for index in indexes]))
    front = longer_and_shorter([given_pairs[index] for index in indexes if first[index]])
    back = longer_and_shorter([given_pairs[index] for index in indexes if not first[index]])
    assert front == back
    assert sum(first[index] for index in indexes) * 2 == len(indexes)


def test_a_judge_that_is_right_only_where_the_longer_one_stands_first_teaches_nothing():
    lengths = [(9, 3)] * 20 + [(3, 9)] * 20
    first = [True] * 20 + [False] * 20

    assert even_places(pairs(lengths), first, 100, random.Random(1)) == []


@given(st.lists(st.sampled_from(["coding", "rewriting", None]), max_size=60), st.integers(1, 20))
def test_no_category_takes_more_than_its_cap(groups, cap):
    kept = capped(groups, cap, random.Random(8))

    for group in ("coding", "rewriting"):
        assert sum(groups[index] == group for index in kept) == min(groups.count(group), cap)
    assert sum(groups[index] is None for index in kept) == groups.count(None)
