"""Responses that say nothing."""

import pytest

from judge.prompts.openers import says_nothing


@pytest.mark.parametrize(
    "text",
    [":", " . ", "...", "\u200b", "Thought process:", "**Solution**:", "Let's solve this step by step.",
     "LET’S THINK STEP BY STEP", "解：", "让我们一步一步思考。", "Ход мыслей:", "Resposta:", "「答え」"],
)  # fmt: skip
def test_an_opening_without_an_answer_says_nothing(text):
    assert says_nothing(text)


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "A",
        "好",
        "😀",
        "Yes.",
        "Solution: 4",
        "Answer the phone",
        "Sure.",
        "First",
        "好的",
        "+",
        "解题思路是先求导",
    ],
)
def test_the_shortest_answer_is_one(text):
    assert not says_nothing(text)
