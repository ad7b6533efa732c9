"""Offers of review items and what people do with them, for the tests of the review queue."""

from sqlalchemy import select

from judge.backend.answers import Usage
from judge.comparison import Comparison, Instruction
from judge.judging.voting import Decision, OrderResult
from judge.review import figures, items, queue
from judge.review.items import Offer
from judge.store.tables import IterationRow

TEXT = "Explain in a few short sentences why the sky over the mountains looks blue around noon on clear days."


def offer(number=0, probability=1.0, place=0.5, text=None, **options):
    one = Comparison(Instruction.of(text or f"Question number {number}?"), f"yes {number}", f"no {number}")
    return Offer(one, "given", probability, place, **options)


def add(sessions, *offers, tenant="one", wanted=1):
    with sessions.begin() as session:
        return items.add(session, tenant, offers, wanted)


def claim(sessions, reviewer="ann", order="random", tenant="one", **options):
    with sessions.begin() as session:
        return queue.claim(session, tenant, reviewer, order, **options)


def answer(sessions, item, said, reviewer="ann", tenant="one"):
    with sessions.begin() as session:
        queue.answer(session, tenant, reviewer, item, said)


def rows(sessions, table, *conditions):
    with sessions() as session:
        return list(session.scalars(select(table).where(*conditions)))


def seen(sessions, **options):
    with sessions() as session:
        return figures.seen(session, "one", **options)


def iteration(number, status):
    versions = {"seed_version": "v1", "judged_by": "v1"}
    return IterationRow(id=number, status=status, profile="smoke", settings={}, actor="test", **versions)


def decision(verdict="a", orders=("a", "a"), chance=0.9, votes=None):
    results = tuple(OrderResult(first, said, None) for first, said in zip("ab", orders, strict=True))
    return Decision(verdict, chance, results, "direct", None, "v1", "p", Usage(), votes=votes or {})
