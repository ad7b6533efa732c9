"""Constructed pairs: right by construction."""

import random

import pytest

from judge.comparison import Instruction
from judge.pairs import STRATEGIES, Answered, construct, whole_sentences

TOPICS = ["rain", "bread", "planets", "chess", "rivers", "music", "gardens", "trains"]


def pool():
    return [
        Answered(
            key=index,
            instruction=Instruction.of(f"Explain {topic} number {index} to a child."),
            response=f"First, {topic} are fine, they say. Second, item {index} shows it. Third, more.",
            modified_response=f"A poem about {topic} {index}: roses and so on, forever."
            if index % 2
            else None,
        )
        for index, topic in enumerate(TOPICS)
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_makes_pairs_of_its_name(strategy):
    pairs = construct(pool(), {strategy: 1.0}, 1, random.Random(1))

    assert pairs
    assert {pair.strategy for _, pair in pairs} == {strategy}
    assert all(pair.chosen != pair.rejected for _, pair in pairs)


def test_a_rejected_response_of_another_instruction_is_never_the_own_one():
    own = {item.key: item.response for item in pool()}

    for key, pair in construct(pool(), {"neighbor": 1.0, "random": 1.0}, 2, random.Random(2)):
        assert pair.chosen == own[key]
        assert pair.rejected in own.values()
        assert pair.rejected != own[key]


def test_a_requirement_is_in_the_instruction_and_met_by_the_chosen_response_alone():
    for _, pair in construct(pool(), {"requirement": 1.0}, 1, random.Random(3)):
        if "capital letters" in pair.instruction.text:
            assert pair.chosen.isupper()
            assert not pair.rejected.isupper()
        if "commas" in pair.instruction.text:
            assert "," not in pair.chosen
            assert "," in pair.rejected


def test_what_a_weak_generator_could_not_write_becomes_another_strategy():
    shares = {"modified": 1.0, "neighbor": 1e-9}

    pairs = dict(construct(pool(), shares, 1, random.Random(4)))

    assert {pairs[key].strategy for key in pairs if key % 2} == {"modified"}
    assert {pairs[key].strategy for key in pairs if not key % 2} == {"neighbor"}


def test_the_same_seed_gives_the_same_pairs():
    shares = dict.fromkeys(STRATEGIES, 1.0)

    assert construct(pool(), shares, 3, random.Random(5)) == construct(pool(), shares, 3, random.Random(5))


def test_a_cut_off_response_loses_its_broken_sentence():
    assert whole_sentences("One. Two is cut", finished=False) == "One."
    assert whole_sentences("One. Two.", finished=True) == "One. Two."
    assert whole_sentences("only one and cut", finished=False) == "only one and cut"
