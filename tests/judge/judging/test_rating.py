"""Ratings of one response, from probabilities of the scale's points and from critiques."""

import math

import pytest

from judge.comparison import Instruction
from judge.errors import VersionChanged
from judge.judging.rating import check, rate, rate_directly, rate_on_scale, with_suggestions
from judge.prompts.guide import FIVE, TEN, Scale

ASKED = Instruction.of("Name a color.")


def test_an_expected_rating_is_the_mean_of_the_points_under_their_probabilities(asked, backend):
    shares = {1: 0.1, 2: 0.0001, 3: 0.2, 4: 0.3, 5: 0.3999}
    backend.script.scale = lambda prompt, points: [math.log(shares[point]) for point in points]

    rating = asked(lambda judge: rate_on_scale(judge, ASKED, "Blue.", FIVE))

    assert rating.rating == pytest.approx(sum(point * share for point, share in shares.items()), abs=0.001)
    assert (rating.mode, rating.path) == ("direct", "direct")
    assert rating.usage.completion_tokens == 1


def test_a_point_of_two_tokens_has_the_product_of_their_probabilities(asked, backend, assembler):
    """In this model 10 is 1 and then 0: what begins with 1 is either, and the rest of it is 1 alone."""
    assert [len(assembler.encoder.trusted(str(point))) for point in (1, 9, 10)] == [1, 1, 2]

    def scale(prompt, points):
        if prompt.endswith("1"):
            assert points == [0]
            return [math.log(0.75)]
        return [math.log(0.4 if point == 1 else 0.6 if point == 8 else 1e-9) for point in points]

    backend.script.scale = scale

    rating = asked(lambda judge: rate_on_scale(judge, ASKED, "Blue.", TEN))

    assert rating.rating == pytest.approx(0.1 * 1 + 0.3 * 10 + 0.6 * 8, abs=0.001)
    assert rating.usage.completion_tokens == 2


def test_a_scale_to_100_reads_every_digit_that_can_follow(asked, backend):
    def scale(prompt, points):
        typed = prompt.rpartition("assistant\n")[2]
        follows = {"": 1, "1": 0, "10": 0}.get(typed)
        return [math.log(0.9 if point == follows else 0.01) for point in points]

    backend.script.scale = scale

    found = asked(lambda judge: judge.read_scale(ASKED, "Blue.", Scale(0, 100)))

    shares = [math.exp(value) for value in found.reads[0].logprobs]
    assert shares[100] == pytest.approx(0.9**3)
    assert shares[10] == pytest.approx(0.9**2 * 0.1)
    assert shares[1] == pytest.approx(0.9 * (1 - 0.9 - 9 * 0.01), abs=1e-6)
    assert shares[25] == pytest.approx(0.01 * 0.01)
    assert len(shares) == 101


@pytest.mark.parametrize("how", [rate_directly, rate_on_scale])
def test_probabilities_that_are_not_finite_are_no_rating(asked, backend, how):
    backend.script.margin = lambda prompt, weights: math.nan
    backend.script.scale = lambda prompt, points: [math.nan for _ in points]

    rating = asked(lambda judge: how(judge, ASKED, "Blue."))

    assert (rating.rating, rating.reason) == (None, "the judge's probabilities are not finite")


def test_what_says_nothing_has_the_lowest_rating_and_no_judge_is_asked(asked, backend):
    async def checked(judge):
        return check(judge, ":", "direct", Scale(3, 7)), check(judge, "Blue.", "direct")

    nothing, something = asked(checked)

    assert (nothing.rating, nothing.path, nothing.reason) == (3.0, "check", "the response holds no answer")
    assert something is None
    assert backend.script.requests == 0


def test_a_critique_that_quotes_brackets_is_rated_by_its_last_line(asked, backend):
    backend.script.text = lambda prompt: "It reads `x[[3]]` and `[[ -f y ]]`.\n\nRating: [[7]]"
    whole = asked(lambda judge: rate(judge, ASKED, "Blue."))

    backend.script.text = lambda prompt: "It gives [[1,2],[3,4]] and"
    closed = asked(lambda judge: rate(judge, ASKED, "Blue."))

    assert (whole.rating, whole.usage.retries) == (7, 0)
    assert (closed.rating, closed.usage.retries) == (1, 1)


def test_suggestions_for_a_text_that_lost_its_middle_say_so(asked, backend):
    backend.script.text = lambda prompt: "- Be brief."

    async def rated(judge):
        rating = await rate_directly(judge, ASKED, "Blue.")
        assert not rating.truncated
        judge.field_tokens = 16
        return await with_suggestions(judge, ASKED, "Blue. " * 30, rating)

    improved = asked(rated)

    assert improved.suggestions == ("Be brief.",)
    assert improved.truncated


def test_the_read_of_a_scale_is_one_models_or_none(asked, backend):
    """The weights are swapped between the first read and the second."""

    def scale(prompt, points):
        if prompt.endswith("1"):
            backend.script.label = "w"
        return [-1.0 for _ in points]

    backend.script.scale = scale

    with pytest.raises(VersionChanged):
        asked(lambda judge: judge.read_scale(ASKED, "Blue.", TEN))
