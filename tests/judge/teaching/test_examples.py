"""Which judgments are contrasted, and which instructions are set apart."""

import random

from judge.store.tables import JudgmentRow
from judge.teaching.examples import contrast, is_validation


def judgment(pair, chosen_first, correct, sample=0):
    text = f"{pair} {chosen_first} {correct} {sample}"
    return JudgmentRow(pair_id=pair, chosen_first=chosen_first, sample=sample, correct=correct, text=text)


def test_a_right_judgment_meets_a_wrong_one_of_the_same_prompt():
    rows = [judgment(n, first, right) for n in range(6) for first in (True, False) for right in (True, False)]

    drawn = contrast(rows, random.Random(1))

    assert len(drawn) == 12
    for right, wrong in drawn:
        assert (right.correct, wrong.correct) == (True, False)
        assert (right.pair_id, right.chosen_first) == (wrong.pair_id, wrong.chosen_first)


def test_a_prompt_without_both_gives_nothing():
    rows = [judgment(n, True, right) for n in range(5) for right in (True, False)]
    rows += [judgment(0, False, True), judgment(0, False, False), judgment(1, False, True)]

    drawn = contrast(rows, random.Random(1))

    assert sorted(right.chosen_first for right, _ in drawn) == [False, *[True] * 5]


def test_the_same_judgments_are_contrasted_for_the_same_seed():
    rows = [judgment(n, n % 2 > 0, sample % 2 > 0, sample) for n in range(9) for sample in range(6)]

    drawn = contrast(rows, random.Random("3"))

    assert len(drawn) == 9
    assert drawn == contrast(rows, random.Random("3"))
    assert drawn != contrast(rows, random.Random("4"))


def test_the_share_of_validation_is_what_was_asked_for():
    apart = {n for n in range(4000) if is_validation(n, 0.1)}

    assert 320 < len(apart) < 480
    assert apart <= {n for n in range(4000) if is_validation(n, 0.2)}
    assert not any(is_validation(n, 0.0) for n in range(4000))
