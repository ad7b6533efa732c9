"""Fingerprints: near-duplicates share a band and a signature, others do not."""

import random

from judge.comparison import Instruction
from judge.gathering.fingerprints import similarity, take, word_grams, words

LONG = (
    "Explain to a new colleague how the nightly import of orders works, what happens if a file is missing, "
    "and which three log lines to look at first when the report in the morning is empty."
)


def prints(text):
    return take(Instruction.of(text))


def test_a_few_changed_words_leave_the_signature_nearly_the_same():
    changed = LONG.replace("new colleague", "new developer")
    one, other = prints(LONG), prints(changed)

    assert similarity(one.signature, other.signature) >= 0.8
    assert set(one.bands) & set(other.bands)


def test_case_and_spacing_change_nothing():
    assert prints(LONG) == prints("  " + LONG.upper().replace(" ", "\n"))


def test_other_texts_share_neither():
    one, other = (
        prints(LONG),
        prints("Write a limerick about a cat that is afraid of the sea and of cucumbers."),
    )

    assert similarity(one.signature, other.signature) < 0.2
    assert not set(one.bands) & set(other.bands)


def test_a_system_prompt_makes_no_two_instructions_alike():
    system = {"role": "system", "content": LONG * 5}
    questions = ("Who wrote Faust?", "What is a mole in chemistry?")
    one, other = (
        take(Instruction.from_json([system, {"role": "user", "content": text}])) for text in questions
    )

    assert similarity(one.signature, other.signature) < 0.3


def test_signatures_are_those_that_databases_hold():
    assert prints("Name a color.").signature.hex()[:32] == "ff78e1c00fde0dc5273b5d3261b4a1cc"


def test_very_long_texts_take_no_longer_than_their_ends():
    rng = random.Random(1)
    text = "".join(rng.choice("abcdefghij") for _ in range(90_000))

    assert prints(text) == prints(text[:10_000] + text[-10_000:])
    assert len(words(" ".join(text))) == 10_000


def test_words_are_characters_where_there_are_no_spaces():
    assert words("写一首诗 for Anna, 2 lines") == ["写", "一", "首", "诗", "for", "anna", ",", "2", "lines"]
    assert len(word_grams("写一首关于海的诗")) == 4
    assert len(word_grams("Hi!")) == 1
