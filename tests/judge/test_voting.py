"""Votes into decisions."""

from judge.voting import Vote, majority, share_for_a, tally


def votes(text):
    names = {"a": "a", "b": "b", "t": "tie", "x": "invalid"}
    return [Vote("a", names[letter], reason="no verdict" if letter == "x" else None) for letter in text]


def test_most_valid_votes_decide():
    assert majority(votes("aabxx"), allow_tie=True) == ("a", None)


def test_an_even_split_is_a_tie_or_says_why_not():
    assert majority(votes("ab"), allow_tie=True) == ("tie", None)
    verdict, reason = majority(votes("ab"), allow_tie=False)

    assert verdict == "invalid"
    assert "evenly split" in reason


def test_no_valid_vote_is_invalid_with_the_usual_reason():
    assert majority(votes("xx"), allow_tie=True) == ("invalid", "no valid judgment: no verdict")


def test_the_share_counts_a_tie_as_half_and_invalid_votes_as_nothing():
    assert share_for_a(votes("atbx")) == 0.5
    assert share_for_a(votes("xx")) is None


def test_the_tally_names_every_verdict():
    assert tally(votes("aax")) == {"a": 2, "b": 0, "tie": 0, "invalid": 1}
