"""Constructed pairs: right by construction."""

import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.comparison import Instruction
from judge.pairs import degraded
from judge.pairs.requirements import GENERAL, about, sentences
from judge.pairs.strategies import STRATEGIES, Answered, construct, whole_sentences

ASKED = Instruction.of("And after that?")
TOPICS = ["rain", "bread", "planets", "chess", "rivers", "music", "gardens", "trains"]


def pool():
    return [
        Answered(
            key=index,
            instruction=Instruction.of(f"Explain {topic} number {index} to a child."),
            response=f"First, {topic} are pleasant, as {topic}lovers say. "
            f"Second, {topic}keepers agree on item {index}. Third, {topic}makers wonder.",
            modified_response=f"A poem about {topic} {index}: roses and so on, forever."
            if index % 2
            else None,
            hotter_response=f"Well, the {topic} of {index}, whatever green they sleep.",
            weaker_response=f"It is {topic}. " * index + f"That was {topic} number {index}.",
            later=((index, Instruction.of(f"And {topic}?"), f"Third, they agree on item {index + 10}."),),
            modified=Instruction.of(f"Write a poem about {topic} {index}."),
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


def test_what_is_borrowed_for_a_logged_response_was_logged_too():
    mixed = [replace(item, logged=item.key < 3) for item in pool()]
    own = {item.response: item.logged for item in mixed}

    made = construct(mixed, {"neighbor": 1.0, "random": 1.0}, 2, random.Random(2))

    assert {own[pair.chosen] for _, pair in made} == {False, True}
    for _, pair in made:
        assert own[pair.chosen] == own[pair.rejected]


def test_both_ways_a_pair_comes_with_the_other_instruction_and_its_responses_turned():
    asked = {item.response: item.instruction for item in pool()}
    asked |= {item.modified_response: item.modified for item in pool() if item.modified_response}
    asked |= {text: later for item in pool() for _, later, text in item.later}
    shares = dict.fromkeys(STRATEGIES, 1.0)

    made = construct(pool(), shares, 4, random.Random(2), both_ways=True)

    alone = construct(pool(), shares, 4, random.Random(2))
    counterparts = []
    for key, pair in alone:
        if pair.strategy in ("modified", "neighbor", "random", "later"):
            back = key if pair.lender is not None else None
            turned = replace(pair, chosen=pair.rejected, rejected=pair.chosen, lender=back)
            holder = key if pair.lender is None else pair.lender
            counterparts.append((holder, replace(turned, instruction=asked[pair.rejected])))
    assert {pair.strategy for _, pair in counterparts} == {"modified", "neighbor", "random", "later"}
    assert Counter(made) == Counter(alone + counterparts)


def test_without_the_modified_instruction_there_is_no_counterpart():
    items = [replace(item, modified=None) for item in pool()]

    assert len(construct(items, {"modified": 1.0}, 1, random.Random(1), both_ways=True)) == len(items) // 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whoever_lent_a_text_is_named(strategy):
    words = {item.key: set(re.findall(r"[^\W\d_]+", item.response)) for item in pool()}
    common = set.intersection(*words.values())

    for seed in range(5):
        for key, pair in construct(pool(), {strategy: 1.0}, 1, random.Random(seed)):
            said = set(re.findall(r"[^\W\d_]+", pair.rejected)) - common - words[key]
            lenders = {other for other in words if other != key and said & words[other] - {"item"}}
            assert not lenders or pair.lender in lenders


def test_the_length_of_a_weaker_response_does_not_give_it_away():
    response = "A short answer. It has two sentences."
    weaker = "One sentence is this. Two sentences are this. Three of them. Four of them. Five, at last."
    item = Answered(0, Instruction.of("Say it briefly."), response, weaker_response=weaker)
    other = Answered(1, Instruction.of("Say it at length."), response)

    pairs = construct([item, other], {"logged": 1.0}, 1, random.Random(1))

    assert [(key, pair.rejected) for key, pair in pairs] == [
        (0, "One sentence is this. Two sentences are this.")
    ]


def test_what_a_later_turn_was_answered_is_rejected_for_an_earlier_one():
    said = [f"What turn {number} of the talk got." for number in range(3)]
    item = Answered(0, Instruction.of("And then?"), said[0], later=((0, ASKED, said[1]), (7, ASKED, said[2])))
    other = Answered(1, Instruction.of("What next?"), "Nothing came after this.")

    made = [
        pair
        for seed in range(20)
        for pair in construct([item, other], {"later": 1.0}, 1, random.Random(seed))
    ]

    assert [(key, pair.chosen) for key, pair in made] == [(0, said[0])] * 20
    assert {(pair.rejected, pair.lender) for _, pair in made} == {(said[1], None), (said[2], 7)}


def test_a_requirement_is_in_the_instruction_and_met_by_the_chosen_response_alone():
    checks = {
        "capital letters.": lambda text: text.isupper(),
        "commas": lambda text: "," not in text,
        "JSON": lambda text: text.startswith("{"),
        "bullet": lambda text: all(line.startswith("- ") for line in text.splitlines()),
        "P.S.": lambda text: "P.S." in text,
    }
    seen = set()
    for seed in range(60):
        for _, pair in construct(pool(), {"requirement": 1.0}, 1, random.Random(seed)):
            for word, met in checks.items():
                demanded = pair.instruction.text.split("\n\n")[-1]
                if word in demanded and "Do not use capital" not in demanded:
                    seen.add(word)
                    assert met(pair.chosen)
                    assert not met(pair.rejected)

    assert seen == set(checks)


TEXT = "Rivers run to the sea, always. In 1998 the Amazon carried 17 percent of all water. Boats sail there."


@pytest.mark.parametrize("number", range(len(GENERAL)))
def test_every_requirement_can_be_met_and_is_not_met_by_chance(number):
    requirement = GENERAL[number]

    assert requirement.met(requirement.meet(TEXT))
    assert not requirement.met(TEXT)


def test_requirements_about_a_text_tell_its_versions_apart():
    found = [item for seed in range(9) for item in about(TEXT, random.Random(seed))]

    assert len({item.demands for item in found}) > 4
    for requirement in found:
        assert requirement.met(requirement.meet(TEXT))
        assert not requirement.met(requirement.spoil(TEXT))


@given(st.text(max_size=300), st.text(max_size=300), st.integers(0, 9))
def test_a_worse_version_is_another_text_or_none_at_all(text, other, seed):
    rng = random.Random(seed)
    made = [
        degraded.displaced(text, rng),
        degraded.renumbered(text, rng),
        degraded.repeating(text, rng),
        degraded.broken_off(text, rng),
        degraded.substituted(text, other, rng),
        degraded.spliced(text, other, rng),
    ]

    assert all(version is None or len(version) <= 2 * len(text) + len(other) for version in made)


def test_worse_versions_are_wrong_in_their_one_way():
    rng = random.Random(3)
    other = "Mountains stand firmly. Climbers admire glaciers. Shepherds remember winters."

    renumbered = degraded.renumbered(TEXT, rng)
    broken = degraded.broken_off(TEXT, rng)
    spliced = degraded.spliced(TEXT, other, rng)

    assert ("1998" in renumbered) + ("17" in renumbered) == 1
    assert re.sub(r"\d+", "", renumbered) == re.sub(r"\d+", "", TEXT)
    assert TEXT.startswith(broken)
    assert broken[-1].isalnum()
    assert len(set(sentences(spliced)) & set(sentences(other))) == 1
    assert sorted(degraded.displaced(TEXT, rng).split()) == sorted(TEXT.split())
    assert set(sentences(degraded.repeating(TEXT, rng))) < set(sentences(TEXT))


def test_what_a_weak_generator_could_not_write_becomes_another_strategy():
    shares = {"modified": 1.0, "neighbor": 1e-9}

    pairs = dict(construct(pool(), shares, 1, random.Random(4)))

    assert {pairs[key].strategy for key in pairs if key % 2} == {"modified"}
    assert {pairs[key].strategy for key in pairs if not key % 2} == {"neighbor"}


def test_an_instruction_gets_several_different_pairs_even_of_one_strategy():
    made = construct(pool(), {"requirement": 1.0}, 3, random.Random(6))

    keys = [key for key, _ in made]
    assert max(map(keys.count, keys)) == 3
    assert len(set(made)) == len(made)


def test_the_same_seed_gives_the_same_pairs():
    shares = dict.fromkeys(STRATEGIES, 1.0)

    assert construct(pool(), shares, 3, random.Random(5)) == construct(pool(), shares, 3, random.Random(5))


def test_a_cut_off_response_loses_its_broken_sentence():
    assert whole_sentences("One. Two is cut", finished=False) == "One."
    assert whole_sentences("One. Two.", finished=True) == "One. Two."
    assert whole_sentences("only one and cut", finished=False) == "only one and cut"
