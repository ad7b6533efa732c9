"""The review queue: who is offered what, once, blind, in which order; what never becomes training data."""

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from judge import anchors, forgetting, gathering, protected, review_figures, review_queue, reviews
from judge.comparison import Comparison, Instruction
from judge.errors import Conflict, InvalidInput, NotFound
from judge.gathering import Rules
from judge.instructions import Gathered, store
from judge.review_files import lines, parse
from judge.reviews import Judged, Offer, Signals
from judge.tables import (
    AnchorRow,
    AuditEntry,
    InstructionRow,
    IterationRow,
    ModelVersion,
    ProtectedRow,
    QuarantineRow,
    ReviewItemRow,
    ReviewRow,
    SelectionRow,
    TrialDecisionRow,
    TrialRow,
)
from judge.voting import Decision, OrderResult, Usage

TEXT = "Explain in a few short sentences why the sky over the mountains looks blue around noon on clear days."


def offer(number=0, probability=1.0, place=0.5, text=None, **options):
    one = Comparison(Instruction.of(text or f"Question number {number}?"), f"yes {number}", f"no {number}")
    return Offer(one, "given", probability, place, **options)


def add(sessions, *offers, tenant="one", wanted=1):
    with sessions.begin() as session:
        return reviews.add(session, tenant, offers, wanted)


def claim(sessions, reviewer="ann", order="random", tenant="one", **options):
    with sessions.begin() as session:
        return review_queue.claim(session, tenant, reviewer, order, **options)


def answer(sessions, item, said, reviewer="ann", tenant="one"):
    with sessions.begin() as session:
        review_queue.answer(session, tenant, reviewer, item, said)


def rows(sessions, table, *conditions):
    with sessions() as session:
        return list(session.scalars(select(table).where(*conditions)))


def seen(sessions, **options):
    with sessions() as session:
        return review_figures.seen(session, "one", **options)


def iteration(number, status):
    versions = {"seed_version": "v1", "judged_by": "v1"}
    return IterationRow(id=number, status=status, profile="smoke", settings={}, actor="test", **versions)


def decision(verdict="a", orders=("a", "a"), chance=0.9, votes=None):
    results = tuple(OrderResult(first, said, None) for first, said in zip("ab", orders, strict=True))
    return Decision(verdict, chance, results, "direct", None, "v1", "p", Usage(), votes=votes or {})


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
            reviews.note(session, second.id, Judged(version, verdict, None), Signals())
        before = session.get_one(ReviewItemRow, second.id).versions_differ
        reviews.note(session, second.id, Judged("v3", "b", None), Signals())

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
        assert review_queue.swapped(review.seed) == review_queue.swapped(review.seed)


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


def test_the_same_texts_are_there_once_for_a_tenant(sessions):
    assert add(sessions, offer(), offer(), offer(1)) == 2
    assert add(sessions, offer()) == 0
    assert add(sessions, offer(), tenant="two") == 1


def test_the_random_sample_has_its_rate_and_says_so():
    found = [reviews.drawn(f"decision {n}", decision(), 0.1, 0.0) for n in range(5000)]
    chosen = [one for one in found if one]

    assert 400 < len(chosen) < 600
    assert {probability for probability, _ in chosen} == {0.1}
    assert found == [reviews.drawn(f"decision {n}", decision(), 0.1, 0.0) for n in range(5000)]


def test_disagreeing_decisions_are_chosen_beside_the_sample():
    split = decision("tie", ("a", "b"), 0.5)
    found = [reviews.drawn(str(n), split, 0.1, 1.0) for n in range(1000)]

    assert all(found)
    assert 850 < sum(probability is None for probability, _ in found) < 950
    agreed = [reviews.drawn(str(n), decision(), 0.1, 1.0) for n in range(99)]
    assert {one and one[0] for one in agreed} == {None, 0.1}
    assert (None, Signals.of(decision())) not in agreed


@pytest.mark.parametrize(
    ("made", "orders_differ", "votes_differ", "uncertainty"),
    [
        (decision(), False, False, 0.2),
        (decision("tie", ("a", "b"), 0.5), True, False, 1.0),
        (decision("a", ("a", "tie"), 0.75), False, False, 0.5),
        (decision("a", votes={"a": 5, "b": 3, "tie": 0}), False, True, 0.2),
        (decision("invalid", ("invalid", "invalid"), None), False, False, 1.0),
    ],
)
def test_signals_say_how_a_judge_disagreed_with_itself(made, orders_differ, votes_differ, uncertainty):
    found = Signals.of(made)

    assert (found.orders_differ, found.votes_differ) == (orders_differ, votes_differ)
    assert found.uncertainty == pytest.approx(uncertainty)


# What people judge is never training data.


def test_what_people_judge_leaves_the_pool_and_cannot_come_in_again(sessions):
    words = Instruction.of(TEXT)
    with sessions.begin() as session:
        store(session, [Gathered(words, "live", "one")])

    add(sessions, offer(text=TEXT))
    again = gathering.admit(
        sessions,
        [Gathered(words, "live", "one"), Gathered(Instruction.of(f"Please: {TEXT} Thanks!"), "live", "two")],
        Rules(),
    )

    assert rows(sessions, InstructionRow) == []
    (kept_apart,) = rows(sessions, QuarantineRow, QuarantineRow.digest == words.digest)
    assert kept_apart.kind == "contaminated"
    assert again.stored == 0
    assert "review queue" in again.quarantined[1]


def test_an_instruction_that_an_iteration_has_worked_with_is_not_asked_about(sessions):
    with sessions.begin() as session:
        session.add(ModelVersion(id="v1", origin="test", manifest={}))
        session.flush()
        store(session, [Gathered(Instruction.of(TEXT), "live", "one")])
        session.add(iteration(7, "promoted"))
        session.flush()
        number = session.scalar(select(InstructionRow.id))
        session.add(SelectionRow(iteration_id=7, instruction_id=number, held_out=False))

    assert add(sessions, offer(text=TEXT), offer(1)) == 1
    assert len(rows(sessions, InstructionRow)) == 1


def test_forgetting_takes_items_reviews_protection_and_anchors_with_it(sessions):
    add(sessions, offer(text=TEXT, answers=(("ann", "a"), ("bob", "a"))), offer(1, answers=(("ann", "b"),)))
    with sessions.begin() as session:
        anchors.replace_anchors(session, "people", review_figures.as_anchors(seen(sessions), 1))

    with sessions.begin() as session:
        forgetting.forget(session, "test", digests=[Instruction.of(TEXT).digest])

    assert [row.response_a for row in rows(sessions, ReviewItemRow)] == ["yes 1"]
    assert [review.reviewer for review in rows(sessions, ReviewRow)] == ["ann"]
    assert len(rows(sessions, ProtectedRow, ProtectedRow.name == reviews.PROTECTED)) == 1
    assert [anchor.label for anchor in rows(sessions, AnchorRow)] == ["b"]
    assert [entry.details for entry in rows(sessions, AuditEntry)] == [{"items": 1}]
    with sessions() as session:
        assert protected.closest(session, [Instruction.of(TEXT)]) == [None]


# Upkeep.


def test_live_items_that_nobody_has_judged_leave_after_their_days(sessions):
    live = [replace(offer(n), source=reviews.LIVE) for n in range(3)]
    add(sessions, *live, offer(3))
    judged = claim(sessions)
    answer(sessions, judged.id, "a")
    with sessions.begin() as session:
        session.execute(update(ReviewItemRow).values(created_at=datetime.now(UTC) - timedelta(days=31)))

    with sessions.begin() as session:
        reviews.keep_up(session, days=30)

    left = rows(sessions, ReviewItemRow)
    assert judged.id in {row.id for row in left}
    assert all(row.source == "given" or row.id == judged.id for row in left)


def test_what_a_candidate_on_trial_says_is_kept_beside_the_champions_verdict(sessions):
    judged = (Judged("v1", "a", 0.8),)
    add(sessions, replace(offer(0, None), decision_id="d1", judged=judged))
    with sessions.begin() as session:
        session.add_all(ModelVersion(id=name, origin="test", manifest={}) for name in ("v1", "v2"))
        session.flush()
        session.add(iteration(1, "shadow"))
        session.flush()
        session.add(TrialRow(iteration_id=1, mode="shadow", version="v2", champion="v1"))
        session.flush()
        session.add(
            TrialDecisionRow(
                iteration_id=1,
                decision_id="d1",
                answered_by="champion",
                champion_verdict="a",
                candidate_verdict="b",
                candidate_probability_a=0.2,
            )
        )

    for _ in range(2):
        with sessions.begin() as session:
            reviews.keep_up(session, days=30)

    (item,) = seen(sessions)
    assert item.judged == {"v1": Judged("v1", "a", 0.8), "v2": Judged("v2", "b", 0.2)}
    assert item.row.versions_differ


# Figures and files.


def test_a_label_is_what_more_than_half_say(sessions):
    said = [
        (("x", "a"), ("y", "a"), ("z", "b")),
        (("x", "a"), ("y", "b")),
        (("x", "both_bad"), ("y", "tie")),
        (("x", "skip"), ("y", "b")),
        (),
    ]
    add(sessions, *(offer(n, answers=answers) for n, answers in enumerate(said)))

    labels = {item.row.response_a: item.label for item in seen(sessions)}

    assert labels == {"yes 0": "a", "yes 1": None, "yes 2": "tie", "yes 3": "b", "yes 4": None}


def test_agreement_is_told_among_people_and_with_each_version(sessions):
    offers = []
    for n in range(30):
        truth = "ab"[n % 2]
        wrong = "ba"[n % 2]
        answers = (("ann", truth), ("bob", truth if n < 24 else wrong), ("eve", truth))
        judged = (Judged("good", truth, None), Judged("first", "a", None))
        offers.append(offer(n, answers=answers, judged=judged))
    add(sessions, *offers)

    found = review_figures.agreement(seen(sessions))

    assert found["reviewed"] == found["people"]["items"] == 30
    both = {tuple(one["reviewers"]): one for one in found["reviewers"]}
    assert both["ann", "eve"]["kappa"][0] == 1.0
    assert both["ann", "bob"]["agreement"][0] == 0.8
    assert found["versions"]["good"]["kappa"][0] == 1.0
    assert found["versions"]["first"]["kappa"][0] == 0.0
    assert found["versions"]["first"]["agreement"][0] == 0.5


def test_accuracy_comes_from_the_random_sample_alone_and_all_its_verdicts(sessions):
    offers = []
    for n in range(200):
        sure = 0.95 if n % 2 else 0.55
        right = n % 20 != 1 if n % 2 else n % 4 == 0
        answers = (("ann", "a" if right else "b"),) if n < 80 else ()
        offers.append(offer(n, 0.5, answers=answers, judged=(Judged("v1", "a", sure),)))
    against = {"answers": (("ann", "b"),), "judged": (Judged("v1", "a", 0.5),)}
    chosen = [offer(n, None, **against) for n in range(300, 350)]
    add(sessions, *offers, *chosen)

    found = review_figures.accuracy(seen(sessions, sample=True), "v1")

    assert (found["items"], found["labeled"]) == (200, 80)
    assert found["accuracy"][0] == pytest.approx(0.7, abs=0.03)
    assert found["accuracy"][2] - found["accuracy"][1] < found["labels_alone"][2] - found["labels_alone"][1]
    with pytest.raises(NotFound):
        review_figures.accuracy(seen(sessions), "v9")
    with pytest.raises(InvalidInput, match="labels"):
        review_figures.accuracy(seen(sessions)[:20], "v1")


def test_what_everybody_skipped_is_left_out_of_the_accuracy_and_counted(sessions):
    offers = [
        offer(n, 1.0, answers=(("ann", "skip" if n < 40 else "a"),) if n < 90 else (),
              judged=(Judged("v1", "a", 0.1 if n < 40 else 0.9),))
        for n in range(150)
    ]  # fmt: skip
    add(sessions, *offers)

    found = review_figures.accuracy(seen(sessions, sample=True), "v1")

    assert (found["items"], found["labeled"], found["undecidable"]) == (110, 50, 40)
    assert found["accuracy"][0] == 1.0


def test_pairs_of_one_instruction_widen_the_interval_of_the_accuracy(sessions):
    def pair(n, instruction):
        right = instruction % 4 > 0
        one = Comparison(Instruction.of(f"Question {instruction}?"), f"yes {n}", f"no {n}")
        judged = (Judged("v1", "a", 0.5),)
        return Offer(one, "given", 1.0, 0.5, answers=(("ann", "a" if right else "b"),), judged=judged)

    add(sessions, *(pair(n, n // 4) for n in range(160)), tenant="together")
    add(sessions, *(pair(n + 1000, n) for n in range(160)), tenant="apart")

    with sessions() as session:
        together, apart = (
            review_figures.accuracy(review_figures.seen(session, tenant, sample=True), "v1")["accuracy"]
            for tenant in ("together", "apart")
        )

    assert together[0] == apart[0] == 0.75
    assert together[2] - together[1] > 1.8 * (apart[2] - apart[1])


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
