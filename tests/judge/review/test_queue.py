"""The review queue: who is offered what, once, blind, and in which order."""

import threading
from collections import Counter

import pytest

from judge.errors import Conflict, NotFound
from judge.review import items, queue
from judge.review.items import Judged, Signals
from judge.store.tables import ReviewItemRow, ReviewRow
from tests.judge.review.review_items import add, answer, claim, offer, rows


def test_the_random_sample_comes_in_the_order_of_its_places(sessions):
    add(sessions, *(offer(n, place=place) for n, place in enumerate((0.7, 0.2, 0.9))), offer(3, None, 0.1))

    texts = []
    while found := claim(sessions):
        texts.append(found.comparison.instruction.text)
        answer(sessions, found.id, "tie")

    assert texts == ["Question number 1?", "Question number 0?", "Question number 2?"]


def test_what_was_chosen_comes_by_disagreement_and_then_uncertainty(sessions):
    add(
        sessions,
        offer(0, None, signals=Signals(uncertainty=0.9)),
        offer(1, None, signals=Signals(orders_differ=True, uncertainty=0.1)),
        offer(2, None, signals=Signals(orders_differ=True, votes_differ=True)),
        offer(3, None, signals=Signals(orders_differ=True, uncertainty=0.2)),
        offer(4, 0.1, signals=Signals(True, True, 1.0)),  # of the sample: never offered by priority
    )

    texts = []
    while found := claim(sessions, order="priority"):
        texts.append(found.comparison.instruction.text)
        answer(sessions, found.id, "a")

    assert [text.split()[-1] for text in texts] == ["2?", "3?", "1?", "0?"]


def test_versions_that_contradict_each_other_are_disagreement_too(sessions):
    add(sessions, offer(0, None, signals=Signals(uncertainty=0.9)), offer(1, None))
    (second,) = rows(sessions, ReviewItemRow, ReviewItemRow.response_a == "yes 1")
    with sessions.begin() as session:
        for version, verdict in (("v1", "a"), ("v2", "invalid")):
            items.note(session, second.id, Judged(version, verdict, None), Signals())
        before = session.get_one(ReviewItemRow, second.id).versions_differ
        items.note(session, second.id, Judged("v3", "b", None), Signals())

    assert not before
    assert claim(sessions, order="priority").id == second.id


def test_an_answer_is_about_the_responses_as_they_were_shown(sessions):
    add(sessions, *(offer(n, place=n / 100) for n in range(40)))

    sides = Counter()
    while found := claim(sessions):
        sides[found.comparison.response_a.split()[0]] += 1
        # The reviewer always takes "yes", wherever it is shown.
        answer(sessions, found.id, "a" if found.comparison.response_a.startswith("yes") else "b")

    assert {review.answer for review in rows(sessions, ReviewRow)} == {"a"}
    assert min(sides.values()) >= 8  # a fair coin forty times: fewer in 2 of 100,000 runs
    for review in rows(sessions, ReviewRow):
        assert isinstance(review.seed, int)
        assert queue.swapped(review.seed) == queue.swapped(review.seed)


def test_a_reviewer_keeps_the_item_and_its_sides_until_it_is_answered(sessions):
    add(sessions, offer(0), offer(1))

    first, again = claim(sessions), claim(sessions)
    answer(sessions, first.id, "skip")

    assert first == again
    assert claim(sessions).id != first.id


def test_several_reviewers_get_the_item_and_nobody_gets_it_twice(sessions):
    add(sessions, offer(), wanted=2)

    ann, bob, eve = (claim(sessions, name) for name in ("ann", "bob", "eve"))
    answer(sessions, ann.id, "a")
    answer(sessions, bob.id, "b", "bob")

    assert ann.id == bob.id
    assert eve is None
    assert claim(sessions, "ann") is None


def test_a_skipped_place_goes_to_another(sessions):
    add(sessions, offer())

    answer(sessions, claim(sessions).id, "skip")

    assert claim(sessions, "ann") is None
    assert claim(sessions, "bob") is not None


def test_a_lease_that_has_run_out_gives_the_place_to_another(sessions):
    add(sessions, offer())
    late = claim(sessions, "ann", lease_s=-1)

    taken = claim(sessions, "bob")
    answer(sessions, taken.id, "tie", "bob")

    assert taken.id == late.id
    with pytest.raises(Conflict, match="was over"):
        answer(sessions, late.id, "a", "ann")


def test_a_late_answer_counts_while_the_place_is_free(sessions):
    add(sessions, offer())
    late = claim(sessions, "ann", lease_s=-1)

    answer(sessions, late.id, "tie")

    assert [review.answer for review in rows(sessions, ReviewRow)] == ["tie"]


def test_an_answer_may_be_repeated_and_not_changed(sessions):
    add(sessions, offer())
    item = claim(sessions).id
    answer(sessions, item, "a")

    answer(sessions, item, "a")
    with pytest.raises(Conflict, match="already"):
        answer(sessions, item, "b")


def test_tenants_do_not_see_each_others_items(sessions):
    add(sessions, offer(), tenant="one")

    assert claim(sessions, tenant="two") is None
    with pytest.raises(NotFound):
        answer(sessions, rows(sessions, ReviewItemRow)[0].id, "a", tenant="two")


def test_an_item_that_was_not_offered_cannot_be_answered(sessions):
    add(sessions, offer())

    with pytest.raises(NotFound, match="not offered"):
        answer(sessions, rows(sessions, ReviewItemRow)[0].id, "a", "eve")


def test_twenty_reviewers_at_once_take_each_place_once(sessions):
    add(sessions, *(offer(n) for n in range(5)), wanted=2)
    taken, threads = [], []

    def work(name):
        found = claim(sessions, name)
        if found:
            taken.append(found.id)

    for number in range(20):
        threads.append(threading.Thread(target=work, args=(f"reviewer {number}",)))
        threads[-1].start()
    for thread in threads:
        thread.join()

    assert sorted(Counter(taken).values()) == [2] * 5
