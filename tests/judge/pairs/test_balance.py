"""Even sets: whatever comes in, neither place nor length tells the winner."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from judge.comparison import Instruction, PreferencePair
from judge.pairs.balance import capped, even_lengths, even_places

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=120)
ROOM = st.integers(0, 130)


def pairs(lengths):
    return [PreferencePair(Instruction.of("x"), "c" * a, "r" * b, "random") for a, b in lengths]


def longer_and_shorter(chosen):
    longer = sum(len(pair.chosen) > len(pair.rejected) for pair in chosen)
    return longer, sum(len(pair.chosen) < len(pair.rejected) for pair in chosen)


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


@given(LENGTHS, ROOM)
def test_a_pair_and_its_counterpart_stay_or_go_together(lengths, room):
    alone = pairs(lengths)
    # Told apart by more than their lengths.
    alone = [replace(pair, rejected=f"{pair.rejected}{n}") for n, pair in enumerate(alone)]
    turned = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in alone[::2]]

    kept = even_lengths(alone + turned, room, random.Random(6))

    for place in range(len(turned)):
        assert (2 * place in kept) == (len(alone) + place in kept)
    longer, shorter = longer_and_shorter([(alone + turned)[index] for index in kept])
    assert len(kept) <= room
    assert longer == shorter


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
    longer, shorter = longer_and_shorter([given_pairs[index] for index in indexes])
    assert longer == shorter
    front = longer_and_shorter([given_pairs[index] for index in indexes if first[index]])
    back = longer_and_shorter([given_pairs[index] for index in indexes if not first[index]])
    assert front == back
    assert sum(first[index] for index in indexes) * 2 == len(indexes)


def test_in_no_strategy_of_judged_pairs_does_place_or_length_tell_the_winner():
    mixed = pairs([(9, 3)] * 30 + [(3, 9)] * 60)
    mixed += [replace(pair, strategy="requirement") for pair in pairs([(9, 3)] * 60 + [(3, 9)] * 30)]
    first = [index % 3 > 0 for index in range(180)]

    kept = even_places(mixed, first, 150, random.Random(7))

    for strategy in ("random", "requirement"):
        own = [index for index in kept if mixed[index].strategy == strategy]
        longer, shorter = longer_and_shorter([mixed[index] for index in own])
        assert longer == shorter > 10
        assert sum(first[index] for index in own) * 2 == len(own)


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
