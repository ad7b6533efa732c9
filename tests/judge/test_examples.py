"""Which judgments are contrasted, and which instructions are set apart."""

import random

from judge.examples import contrast, is_validation
from judge.tables import JudgmentRow


def judgment(pair, chosen_first, correct, sample=0):
    text = f"{pair} {chosen_first} {correct} {sample}"
    return JudgmentRow(pair_id=pair, chosen_first=chosen_first, sample=sample, correct=correct, text=text)


def test_a_right_judgment_meets_a_wrong_one_of_the_same_prompt():
    rows = [judgment(n, first, right) for n in range(6) for first in (True, False) for right in (True, False)]

    drawn = contrast(rows, 100, random.Random(1))

    assert len(drawn) == 12
    for right, wrong in drawn:
        assert (right.correct, wrong.correct) == (True, False)
        assert (right.pair_id, right.chosen_first) == (wrong.pair_id, wrong.chosen_first)


def test_a_prompt_without_both_gives_nothing_and_both_orders_are_equally_many():
    rows = [judgment(n, True, right) for n in range(5) for right in (True, False)]
    rows += [judgment(0, False, True), judgment(0, False, False), judgment(1, False, True)]

    drawn = contrast(rows, 100, random.Random(1))

    assert sorted(right.chosen_first for right, _ in drawn) == [False, True]


def test_no_more_than_the_limit_and_the_same_ones_for_the_same_seed():
    rows = [judgment(n, first, right) for n in range(9) for first in (True, False) for right in (True, False)]

    drawn = contrast(rows, 6, random.Random("3"))

    assert len(drawn) == 6
    assert drawn == contrast(rows, 6, random.Random("3"))
    assert drawn != contrast(rows, 6, random.Random("4"))


def test_the_share_of_validation_is_what_was_asked_for():
    apart = {n for n in range(4000) if is_validation(n, 0.1)}

    assert 320 < len(apart) < 480
    assert apart <= {n for n in range(4000) if is_validation(n, 0.2)}
    assert not any(is_validation(n, 0.0) for n in range(4000))
