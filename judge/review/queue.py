"""The queue of reviews: who is offered which comparison, in which order, and what they answer.

A reviewer claims an item for a while, and sees two responses in an order that a stored seed decides, and
neither verdict nor version. The random sample is offered in random order; the other items by disagreement
(between orders, votes, versions), then by uncertainty.
"""

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, cast, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.comparison import Comparison
from judge.errors import Conflict, NotFound
from judge.review.items import Answer, comparison
from judge.store.tables import ReviewItemRow, ReviewRow

Order = Literal["priority", "random"]
LEASE_S = 1800
_MIRRORED: dict[str, Answer] = {"a": "b", "b": "a"}


@dataclass(frozen=True, slots=True)
class Claimed:
    """An item as its reviewer sees it."""

    id: str
    comparison: Comparison
    seconds: int


def swapped(seed: int) -> bool:
    """Whether the item's B is shown as A."""
    return random.Random(seed).random() < 0.5


def claim(
    session: Session, tenant: str, reviewer: str, order: Order, lease_s: int = LEASE_S
) -> Claimed | None:
    """The next item for a reviewer: the one that they hold, else a free one; None where there is none."""
    held = session.execute(
        select(ReviewItemRow, ReviewRow)
        .join(ReviewRow)
        .where(
            ReviewItemRow.tenant == tenant,
            ReviewRow.reviewer == reviewer,
            ReviewRow.answer.is_(None),
            ReviewRow.lease_until > func.now(),
        )
        .order_by(ReviewRow.claimed_at)
        .limit(1)
        .with_for_update()
    ).first()
    if held:
        item, review = held
    else:
        free = _free(session, tenant, reviewer, order)
        if free is None:
            return None
        item, review = free, _review(session, free.id, reviewer)
    review.lease_until = func.now() + timedelta(seconds=lease_s)
    session.flush()
    return Claimed(item.id, _shown(item, review), lease_s)


def answer(session: Session, tenant: str, reviewer: str, item_id: str, said: Answer) -> None:
    """Keep a reviewer's answer about the responses as they were shown. The same one again changes nothing.

    Raises:
        NotFound: there is no such item, or this reviewer was never offered it.
        Conflict: they have answered otherwise, or their time is over and others have taken the places.
    """
    item = session.get(ReviewItemRow, item_id, with_for_update=True)
    if item is None or item.tenant != tenant:
        raise NotFound(f"item {item_id!r} does not exist")
    review = session.get(ReviewRow, (item_id, reviewer), populate_existing=True)
    if review is None:
        raise NotFound(f"item {item_id!r} was not offered to {reviewer}")
    own = _MIRRORED.get(said, said) if review.seed is not None and swapped(review.seed) else said
    if review.answer is not None:
        if review.answer != own:
            raise Conflict(f"{reviewer} has answered item {item_id!r} already, and otherwise")
        return
    if _taken(session, item_id, but=reviewer) >= item.wanted:
        raise Conflict(f"the time for item {item_id!r} was over, and others have answered it")
    review.answer, review.answered_at, review.lease_until = own, func.now(), None


def progress(session: Session, tenant: str, reviewer: str) -> dict[str, int]:
    """How many items are left for a reviewer in either order, how many they have answered and skipped."""
    places = _open_for(tenant, reviewer)
    in_sample = ReviewItemRow.probability.is_not(None)
    left = session.execute(
        select(in_sample, func.count())
        .where(*places, _taken_of(ReviewItemRow.id) < ReviewItemRow.wanted)
        .group_by(in_sample)
    ).all()
    counts = dict(left)
    mine = select(func.count()).select_from(ReviewRow).join(ReviewItemRow)
    mine = mine.where(ReviewItemRow.tenant == tenant, ReviewRow.reviewer == reviewer)
    return {
        "priority": counts.get(False, 0),
        "random": counts.get(True, 0),
        "answered": session.scalar(mine.where(ReviewRow.answer != "skip")) or 0,
        "skipped": session.scalar(mine.where(ReviewRow.answer == "skip")) or 0,
    }


def _free(session: Session, tenant: str, reviewer: str, order: Order) -> ReviewItemRow | None:
    """Lock the first item that has a place left."""
    mine = _open_for(tenant, reviewer)
    in_sample = ReviewItemRow.probability.is_not(None)
    differing = sum(
        (cast(flag, Integer) for flag in (ReviewItemRow.votes_differ, ReviewItemRow.versions_differ)),
        cast(ReviewItemRow.orders_differ, Integer),
    )
    by: Sequence[Any] = (differing.desc(), ReviewItemRow.uncertainty.desc())
    query = (
        select(ReviewItemRow)
        .where(*mine, in_sample if order == "random" else ~in_sample)
        .where(_taken_of(ReviewItemRow.id) < ReviewItemRow.wanted)
        .order_by(*(() if order == "random" else by), ReviewItemRow.place, ReviewItemRow.id)
        .limit(1)
        .with_for_update()
    )
    full: list[str] = []
    while True:
        found = session.scalar(query.where(ReviewItemRow.id.not_in(full)))
        # Counted again: another claim may have been committed between the search and the lock.
        if found is None or _taken(session, found.id, but=reviewer) < found.wanted:
            return found
        full.append(found.id)


def _open_for(tenant: str, reviewer: str) -> tuple[ColumnElement[bool], ...]:
    answered = exists().where(
        ReviewRow.item_id == ReviewItemRow.id, ReviewRow.reviewer == reviewer, ReviewRow.answer.is_not(None)
    )
    return ReviewItemRow.tenant == tenant, ~answered


def _taken_of(item_id: Any, but: str | None = None) -> Any:
    """How many places of an item are taken: by answers that say something, or by leases."""
    said = func.coalesce(ReviewRow.answer != "skip", ReviewRow.lease_until > func.now())
    query = select(func.count()).select_from(ReviewRow).where(ReviewRow.item_id == item_id, said)
    return (query if but is None else query.where(ReviewRow.reviewer != but)).scalar_subquery()


def _taken(session: Session, item_id: str, but: str) -> int:
    return session.scalar(select(_taken_of(item_id, but))) or 0


def _review(session: Session, item: str, reviewer: str) -> ReviewRow:
    """The reviewer's row about an item; one whose lease has run out keeps its seed."""
    seed = secrets.randbits(31)
    session.execute(
        insert(ReviewRow).values(item_id=item, reviewer=reviewer, seed=seed).on_conflict_do_nothing()
    )
    return session.get_one(ReviewRow, (item, reviewer))


def _shown(item: ReviewItemRow, review: ReviewRow) -> Comparison:
    one = comparison(item)
    if review.seed is None or not swapped(review.seed):
        return one
    return Comparison(one.instruction, one.response_b, one.response_a)
