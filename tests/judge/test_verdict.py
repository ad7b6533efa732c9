"""Reading verdicts and ratings: a table of good and bad completions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.verdict import parse_rating, parse_verdict

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


@given(st.text(max_size=200))
def test_any_text_gives_a_verdict_or_a_reason(completion):
    parsed = parse_verdict(completion)

    assert (parsed.verdict == "invalid") == (parsed.reason is not None)
