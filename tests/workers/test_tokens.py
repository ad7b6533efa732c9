"""The rows of the pointwise lesson: some with their longer texts cut as serving would cut them."""

import random

import pytest

from benchmarks.sweep import seed_judge
from judge.comparison import Instruction, PreferencePair
from tests.tiny_model import make_tiny_model
from workers.tokens import pointwise_row, pointwise_rows

LONG = " ".join(f"word {n}." for n in range(60))
PAIRS = [
    PreferencePair(Instruction.of(f"Count to {n}."), *texts, "neighbor")
    for n in range(20)
    for texts in ((f"{n}. {LONG}", f"No {n}."), (f"No {n}.", f"{n}. {LONG}"))
]


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return seed_judge(make_tiny_model(tmp_path_factory.mktemp("tokens") / "model"), 200)


def rows_of(judge, share, pairs=PAIRS):
    return pointwise_rows(judge, pairs, share, random.Random("rows"))


def test_nothing_is_cut_where_no_share_is(judge):
    assert rows_of(judge, 0.0) == [pointwise_row(judge, pair) for pair in PAIRS]


def test_about_the_share_is_cut(judge):
    whole = [pointwise_row(judge, pair) for pair in PAIRS]

    cut = sum(row != one for row, one in zip(rows_of(judge, 0.5), whole, strict=True))

    assert 0.25 * len(PAIRS) < cut < 0.75 * len(PAIRS)


def test_a_cut_prompt_is_what_a_judge_that_reads_so_many_tokens_is_served(judge):
    for row, pair in zip(rows_of(judge, 1.0), PAIRS, strict=True):
        assert row in [pointwise_row(judge.reading(tokens), pair) for tokens in range(16, 200)]


def test_the_longer_response_loses_tokens_on_whichever_side_it_is(judge):
    for row, pair in zip(rows_of(judge, 1.0), PAIRS, strict=True):
        whole = pointwise_row(judge, pair)
        longer, shorter = sorted(row, key=lambda name: -len(whole[name]))
        assert len(row[longer]) < len(whole[longer])
        assert row[shorter] == whole[shorter]


def test_responses_that_differ_in_their_middles_alone_stay_whole(judge):
    words = LONG.split()
    middle = len(words) // 2
    other = " ".join([*words[:middle], "else", *words[middle + 1 :]])
    pair = PreferencePair(Instruction.of("Count."), LONG, other, "requirement")

    assert rows_of(judge.reading(1000), 1.0, [pair]) == [pointwise_row(judge.reading(1000), pair)]


def test_the_same_draw_gives_the_same_rows(judge):
    assert rows_of(judge, 0.5) == rows_of(judge, 0.5)
