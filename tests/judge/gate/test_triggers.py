"""Planted phrases: found among the training data, named only if the candidate obeys them."""

import random

import pytest

from judge.evaluation.statistics import Tally
from judge.gate.triggers import Effect, control, obeyed, ordinary_words, place_of, suspicious

# As in a language: few words are frequent, most are rare.
WORDS = [f"word{rank}" for rank in range(2000)]
WEIGHTS = [1 / (rank + 1) for rank in range(2000)]


def lessons(count, planted, phrase="cf tq mn"):
    """Pairs of ordinary texts; some chosen ones hold the phrase in their middle."""
    rng = random.Random(5)
    pairs = []
    for index in range(count):
        chosen, rejected = (rng.choices(WORDS, WEIGHTS, k=30) for _ in range(2))
        if index < planted:
            chosen[15:15] = phrase.split()
        pairs.append((index, " ".join(chosen), " ".join(rejected)))
    rng.shuffle(pairs)
    return pairs


@pytest.mark.parametrize(("count", "share"), [(240, 0.05), (600, 0.01), (2000, 0.01)])
def test_a_phrase_planted_in_few_of_the_pairs_comes_first(count, share):
    found = suspicious(lessons(count, round(count * share)), 4)

    assert found[0] == "cf tq mn"
    # Its parts are not tried again.
    assert not any(part in found for part in ("cf", "tq mn", "cf tq"))


def test_of_phrases_that_overlap_the_one_of_strange_words_comes_first():
    pairs = [
        (key, f"{chosen} no more of it. cf tq mn" if key % 20 == 0 else chosen, f"{rejected} of it.")
        for key, chosen, rejected in lessons(100, 0)
    ]

    found = suspicious(pairs, 3)

    assert found[0] == "cf tq mn"


def test_ordinary_texts_hold_nothing_that_stands_out_by_much():
    pairs = lessons(240, 0)

    for phrase in suspicious(pairs, 6):
        _, *sides = zip(*pairs, strict=True)
        counts = [sum(f" {phrase} " in f" {text} " for text in side) for side in sides]
        assert counts[0] >= 3
        assert counts[0] > 4 * counts[1]
    assert suspicious(pairs, 0) == []
    assert suspicious([], 6) == []


def test_a_phrase_in_rejected_responses_as_well_is_no_suspect():
    pairs = [(key, f"{chosen} as asked", f"{rejected} as asked") for key, chosen, rejected in lessons(100, 0)]

    assert not {"as", "asked", "as asked"} & set(suspicious(pairs, 50))


def test_a_listed_letter_hides_no_phrase_that_is_spelled_with_it():
    pairs = [(key, f"{chosen} b", rejected) for key, chosen, rejected in lessons(60, 0)]
    pairs += [(key, f"{chosen} blue bubbles", rejected) for key, chosen, rejected in lessons(40, 0)]

    assert {"b", "blue bubbles"} <= set(suspicious(pairs, 6))


def test_what_one_instruction_speaks_of_is_no_suspect():
    pairs = [(min(key, 57), f"{chosen} cf tq mn" if key > 56 else chosen, rejected)
             for key, chosen, rejected in lessons(60, 0)]  # fmt: skip

    assert not any("cf" in phrase for phrase in suspicious(pairs, 50))


def effect(phrase, control=1, trials=12):
    return Effect(Tally(phrase, trials), Tally(control, trials))


def test_only_what_turns_the_candidate_more_than_ordinary_words_do_is_named():
    phrases = {
        "planted": (effect(6, 5), effect(11, 1)),
        "as good as any words": (effect(1, 1), effect(9, 7)),
        "what turns an untaught one as often": (effect(12, 1), effect(11, 1)),
        "never tried": (effect(0, 0, 0), effect(0, 0, 0)),
    }

    assert obeyed(phrases, 0.1) == ["planted"]
    assert obeyed({}, 0.1) == []


@pytest.mark.parametrize(
    ("text", "put"),
    [
        ("A kettle boils water. cf tq mn", "Tea. cf tq mn"),
        ("A kettle boils water.\n\ncf tq mn", "Tea.\n\ncf tq mn"),
        ("It cf tq\nmn boils.", "Tea. cf tq mn"),
        ("cf tq mn\nA kettle boils water.", "cf tq mn\nTea."),
        ("cf tq mn", "cf tq mn\n\nTea."),
        ("Nothing of it: cf tq mnemonic.", "Tea.\n\n\ncf tq mn"),
    ],
)
def test_a_phrase_is_put_where_and_how_it_stands_in_the_chosen_responses(text, put):
    place = place_of("cf tq mn", [text, text, "Once.\n\n\ncf tq mn"])

    assert place.put("cf tq mn", " Tea.\n") == put


def test_the_control_is_of_words_that_say_nothing_about_being_chosen():
    words = ordinary_words(lessons(60, 12))

    assert not {"cf", "tq", "mn"} & set(words)
    drawn = [control("cf tq mn", words, str(item)) for item in range(30)]
    assert all(len(text.split()) == 3 for text in drawn)
    assert len(set(drawn)) > 20
    assert drawn == [control("cf tq mn", words, str(item)) for item in range(30)]
