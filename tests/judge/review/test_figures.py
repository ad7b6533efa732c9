"""What the answers of people say: labels, agreement, accuracy."""

import pytest

from judge.comparison import Comparison, Instruction
from judge.errors import InvalidInput, NotFound
from judge.review import figures
from judge.review.items import Judged, Offer
from tests.judge.review.review_items import add, offer, seen


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

    found = figures.agreement(seen(sessions))

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

    found = figures.accuracy(seen(sessions, sample=True), "v1")

    assert (found["items"], found["labeled"]) == (200, 80)
    assert found["accuracy"][0] == pytest.approx(0.7, abs=0.03)
    assert found["accuracy"][2] - found["accuracy"][1] < found["labels_alone"][2] - found["labels_alone"][1]
    with pytest.raises(NotFound):
        figures.accuracy(seen(sessions), "v9")
    with pytest.raises(InvalidInput, match="labels"):
        figures.accuracy(seen(sessions)[:20], "v1")


def test_what_everybody_skipped_is_left_out_of_the_accuracy_and_counted(sessions):
    offers = [
        offer(n, 1.0, answers=(("ann", "skip" if n < 40 else "a"),) if n < 90 else (),
              judged=(Judged("v1", "a", 0.1 if n < 40 else 0.9),))
        for n in range(150)
    ]  # fmt: skip
    add(sessions, *offers)

    found = figures.accuracy(seen(sessions, sample=True), "v1")

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
            figures.accuracy(figures.seen(session, tenant, sample=True), "v1")["accuracy"]
            for tenant in ("together", "apart")
        )

    assert together[0] == apart[0] == 0.75
    assert together[2] - together[1] > 1.8 * (apart[2] - apart[1])
