"""Review items as JSONL, in and out."""

import pytest

from judge.errors import InvalidInput
from judge.evaluation import anchors
from judge.review.files import lines, parse
from judge.review.items import Judged
from tests.judge.review.review_items import add, offer, seen


def test_what_is_written_can_be_read_again(sessions):
    answers = (("ann", "a"), ("bob", "both_bad"), ("eve", "a"))
    add(sessions, offer(0, 0.25, name="mine", answers=answers, judged=(Judged("v1", "tie", 0.5),)))
    add(sessions, offer(1), offer(2, answers=(("ann", "a"), ("bob", "b"))))

    written = list(lines(seen(sessions)))
    undecided = list(lines(seen(sessions), undecided=True))
    (read,) = parse(written, "elsewhere", 1.0)

    assert len(undecided) == 2
    assert (read.name, read.probability, read.answers) == ("mine", 0.25, answers)
    assert read.judged == (Judged("v1", "tie", 0.5),)
    (pair,) = anchors.parse_anchors(written)
    assert (pair.label, pair.comparison) == ("a", read.comparison)


def test_pairs_without_reviews_wait_and_their_labels_are_somebodys_only_if_named():
    line = '{"instruction": "Say hi.", "response_a": "hi", "response_b": "no", "label": "a"}'

    assert parse([line], "file", 1.0)[0].answers == ()
    assert parse([line], "file", 1.0, "experts")[0].answers == (("experts", "a"),)


def test_a_share_of_the_pairs_is_drawn_for_the_sample_the_same_ones_each_time():
    pair = '{{"instruction": "Say {0}.", "response_a": "{0}", "response_b": "no"}}'
    texts = [pair.format(n) for n in range(400)]

    drawn = [one.probability for one in parse(texts, "file", 0.25)]

    assert set(drawn) == {0.25, None}
    assert 70 < drawn.count(0.25) < 130
    assert drawn == [one.probability for one in parse(texts, "file", 0.25)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ('"label": "c"', "line 1: label"),
        ('"response_a": ""', "line 1: response_a"),
        ('"meta": {"answers": [{"reviewer": "x", "answer": "maybe"}]}', "line 1: meta.answers.0.answer"),
        ('"meta": {"answers": [{"answer": "a"}]}', "line 1: meta.answers.0.reviewer"),
        ('"meta": {"probability": 0}', "line 1: meta.probability"),
        ('"meta": {"verdicts": {"v": {"verdict": "x"}}}', "line 1: meta.verdicts.v.verdict"),
        ('"meta": []', "line 1: meta"),
    ],
)
def test_a_bad_line_is_named_with_its_field(change, field):
    line = '{"instruction": "Say hi.", "response_a": "hi", "response_b": "no", ' + change + "}"

    with pytest.raises(InvalidInput) as caught:
        parse([line], "file", 1.0, "experts")

    assert caught.value.faults[0].field == field


def test_live_is_nobodys_name_for_a_file():
    with pytest.raises(InvalidInput, match="source"):
        parse(["{}"], "live", 1.0)
