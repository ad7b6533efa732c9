"""Reading verdicts and ratings: a table of good and bad completions."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.prompts.guide import Form
from judge.prompts.rubrics import Language
from judge.prompts.templates import pairwise_reasoning
from judge.verdict import concluded, parse_rating, parse_verdict

VERDICTS = [
    ("A is on topic.\n\nVerdict: [[A]]", "a", None),
    ("Verdict: [[B]].", "b", None),
    ("**Verdict: [[ b ]]**", "b", None),
    ("[[A]] because of this. So again: [[A]]\n", "a", None),
    ("Neither.\n\nVerdict: [[C]]", "tie", None),
    ("Verdict: [[tie]]", "tie", None),
    ("Verdict: A", "invalid", "no verdict"),
    ("", "invalid", "no verdict"),
    ("[[A]] at first, but then [[B]]", "invalid", "more than one verdict"),
    ("Verdict: [[A]] and here is a poem about it", "invalid", "text after the verdict"),
    ("Verdict: [[D]]", "invalid", "unknown verdict [[D]]"),
    ("Verdict: [[A]", "invalid", "no verdict"),
    ("Verdict: [[A", "invalid", "no verdict"),
    ("A tests `[[ -f x ]]` first.\n\nVerdict: [[A]]", "a", None),
    ("B's matrix is [[1, 2]], A's [[1,2],[3,4]].\n\nVerdict: [[B]]", "b", None),
    ("A takes `items[[1]]` and `m[['x']]`.\n\nVerdict: [[A]]", "a", None),
    ("A says [[D]] and [[7]], which are none.\n\nVerdict: [[B]]", "b", None),
    ("The list is [[[A]]]. Verdict: [[B]]", "b", None),
    ("A ends in [[B]], to fool me.\n\nVerdict: [[A]]", "invalid", "more than one verdict"),
    ("B tests `[[ -f x ]]` and A [[1, 2]]", "invalid", "unknown verdict [[1, 2]]"),
    ("It tests `[[ -f x ]]`, so it is good", "invalid", "no verdict"),
    ("[[" + " " * 50_000, "invalid", "no verdict"),
    ("结论：“[[A]]”。", "a", None),
]

RATINGS = [
    ("Fine.\n\nRating: [[7]]", 7, None),
    ("Rating: [[ 10 ]].", 10, None),
    ("Rating: [[0]]", None, "0 is outside 1 to 10"),
    ("Rating: [[11]]", None, "11 is outside 1 to 10"),
    ("Rating: [[7.5]]", None, "not a whole number: [[7.5]]"),
    ("Rating: [[٧]]", None, "not a whole number: [[٧]]"),
    ("Rating: 7", None, "no rating"),
    ("[[6]] or rather [[7]]", None, "more than one rating"),
    ("[[7]] out of 10", None, "text after the rating"),
    ("It reads `list[[3]]` and [[x]].\n\nRating: [[7]]", 7, None),
    ("The matrix [[1,2],[3,4]] is [[1, 2]] off.\n\nRating: [[4]]", 4, None),
    ("It cites [[12]], which is no rating.\n\nRating: [[4]]", 4, None),
    ("It cites [[3]].\n\nRating: [[4]]", None, "more than one rating"),
]
# Completions, and whether the judge has come to its final field.
CONCLUDED = [
    ("A is on topic.\n\nVerdict: [[A]]", True),
    ("No. [[b]]", True),
    ("[[A]] no, [[B]]", True),
    ("Verdict: [[A]] for now", True),
    ("**Verdict:** [[D]]", True),
    ("verdict: [[]]", True),
    ("", False),
    ("I like the first one.", False),
    ("B writes `[[ -f x ]]`", False),
    ("A's is [[1,2],[3,4]], and B's", False),
    ("A's is [[1, 2]]", False),
    ("A wrote `Verdict: [[B]]` into its answer, and", False),
    ("[[A]] is what it says, and", False),
    ("Verdict: [[A", False),
    ("Verdict: A", False),
    ("\n" * 50_000, False),
    ("Verdict:" + " " * 50_000, False),
]


@pytest.mark.parametrize(("completion", "verdict", "reason"), VERDICTS)
def test_a_verdict_is_read_only_from_the_end(completion, verdict, reason):
    parsed = parse_verdict(completion)

    assert (parsed.verdict, parsed.reason) == (verdict, reason)


@pytest.mark.parametrize(("completion", "rating", "reason"), RATINGS)
def test_a_rating_is_a_whole_number_on_the_scale(completion, rating, reason):
    rated = parse_rating(completion)

    assert (rated.rating, rated.reason) == (rating, reason)


def test_a_tie_is_invalid_where_it_was_not_offered():
    parsed = parse_verdict("Verdict: [[C]]", allow_tie=False)

    assert (parsed.verdict, parsed.reason) == ("invalid", "a tie was not allowed")


def test_a_tie_that_was_not_offered_is_no_label_of_the_judges_own():
    assert parse_verdict("A cites [[C]].\n\nVerdict: [[A]]", allow_tie=False).verdict == "a"
    assert parse_verdict("A cites [[C]].\n\nVerdict: [[A]]").reason == "more than one verdict"


@pytest.mark.parametrize(("completion", "expected"), CONCLUDED)
def test_a_judge_has_concluded_with_a_label_at_the_end_or_a_line_of_its_own(completion, expected):
    assert concluded(completion, "\n\nVerdict: [[", ("A", "B")) is expected


def test_every_languages_final_line_is_known():
    for language in get_args(Language):
        template = pairwise_reasoning(Form(language))

        assert concluded(f"…{template.ending}D]]", template.ending, template.labels)
        assert not concluded("… [[ -f x ]]", template.ending, template.labels)


@given(st.text(max_size=200))
def test_any_text_gives_a_verdict_or_a_reason(completion):
    parsed = parse_verdict(completion)

    assert (parsed.verdict == "invalid") == (parsed.reason is not None)
