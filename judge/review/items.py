"""Comparisons that people judge, with their answers and what model versions say about them.

An item comes from a live decision or from a given pair. It is either part of the random sample, with the
probability of that written down, or was chosen for what the judge made of it. The two are kept apart, since
figures about all decisions can only come from the sample. What is reviewed is never trained on: an
instruction that an iteration has worked with does not come in, and those of the items are protected
(`judge.gathering.protected`). How items are offered and answered is in `judge.review.queue`.
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, case, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.comparison import Comparison, Instruction
from judge.evaluation import anchors
from judge.gathering import protected, quarantine
from judge.gathering.forgetting import remove_review_items
from judge.judging.voting import Decision
from judge.store.tables import (
    InstructionRow,
    ReviewItemRow,
    ReviewRow,
    ReviewVerdictRow,
    SelectionRow,
    TrialDecisionRow,
    TrialRow,
)
from judge.verdict import Verdict

Answer = Literal["a", "b", "tie", "both_bad", "skip"]
LIVE = "live"
# Anchor sets have no space in their names and benchmarks neither, so this is nobody else's.


@dataclass(frozen=True, slots=True)
class Signals:
    """How a judge disagreed with itself about a comparison; `uncertainty` is 1 where it was at one half."""

    orders_differ: bool = False
    votes_differ: bool = False
    uncertainty: float = 0.0

    @classmethod
    def of(cls, decision: Decision) -> "Signals":
        """Those of a decision. Without a verdict nothing is certain."""
        votes = [verdict for verdict in ("a", "b", "tie") if decision.votes.get(verdict)]
        chance = decision.probability_a
        unsure = 0.0 if chance is None else 1 - abs(2 * chance - 1)
        return cls(
            orders_differ=bool(flipped(decision)),
            votes_differ=len(votes) > 1,
            uncertainty=1.0 if decision.verdict == "invalid" else unsure,
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model version says about an item."""

    model_version: str
    verdict: Verdict
    probability_a: float | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A comparison for the queue.

    `probability`: with which it came into the random sample; None: it is no part of it. `answers`: what
    reviewers have said already, by name.
    """

    comparison: Comparison
    source: str
    probability: float | None
    place: float
    name: str | None = None
    decision_id: str | None = None
    signals: Signals = Signals()
    judged: tuple[Judged, ...] = ()
    answers: tuple[tuple[str, Answer], ...] = ()


def flipped(decision: Decision) -> bool | None:
    """Whether the orders named different responses; None unless both named one."""
    named = [order.verdict for order in decision.orders if order.verdict in ("a", "b")]
    return len(set(named)) > 1 if len(named) > 1 else None


def chance(salt: str, text: str) -> float:
    """A number from [0, 1) that is the same for the same text everywhere, and independent between salts."""
    return int(hashlib.sha256(f"{salt} {text}".encode()).hexdigest()[:13], 16) / 16**13


def drawn(
    decision_id: str, decision: Decision, rate: float, disagreeing: float
) -> tuple[float | None, Signals] | None:
    """Whether a live decision is offered to people: by chance, or for the disagreement in it.

    Returns:
        The probability of the random sample (None for the others) and the signals; or None.
    """
    signals = Signals.of(decision)
    if chance("review sample", decision_id) < rate:
        return rate, signals
    differs = signals.orders_differ or signals.votes_differ
    if differs and chance("review disagreement", decision_id) < disagreeing:
        return None, signals
    return None


def add(session: Session, tenant: str, offers: Sequence[Offer], wanted: int) -> int:
    """Put comparisons into the queue, each pair of texts once, for `wanted` reviewers; returns how many.

    Left out are those whose instruction an iteration has worked with. The others' leave the pool.
    """
    added = 0
    for offer in offers:
        instruction = offer.comparison.instruction
        if _worked_with(session, instruction.digest):
            continue
        item = session.scalar(
            insert(ReviewItemRow)
            .values(**_columns(tenant, offer), wanted=wanted)
            .on_conflict_do_nothing()
            .returning(ReviewItemRow.id)
        )
        if item is None:
            continue
        added += 1
        protected.protect(session, protected.REVIEW_QUEUE, item, instruction)
        pool = session.scalars(select(InstructionRow).where(InstructionRow.digest == instruction.digest))
        quarantine.move(session, pool.all(), "contaminated", f"people judge it: item {item}")
        for judged in offer.judged:
            note(session, item, judged, offer.signals)
        for reviewer, answer in offer.answers:
            session.add(ReviewRow(item_id=item, reviewer=reviewer, answer=answer, answered_at=func.now()))
    return added


def note(session: Session, item: str, judged: Judged, signals: Signals) -> None:
    """Keep what a version says about an item, in place of what it has said."""
    values = {"verdict": judged.verdict, "probability_a": judged.probability_a}
    session.execute(
        insert(ReviewVerdictRow)
        .values(item_id=item, model_version=judged.model_version, **values)
        .on_conflict_do_update(index_elements=["item_id", "model_version"], set_=values)
    )
    row = session.get_one(ReviewItemRow, item)
    row.orders_differ = row.orders_differ or signals.orders_differ
    row.votes_differ = row.votes_differ or signals.votes_differ
    row.uncertainty = max(row.uncertainty, signals.uncertainty)
    session.flush()
    _compare_versions(session, ReviewItemRow.id == item)


def unjudged(session: Session, tenant: str, version: str, limit: int) -> list[tuple[str, Comparison]]:
    """Items about which a version has not said anything, oldest first."""
    judged = exists().where(
        ReviewVerdictRow.item_id == ReviewItemRow.id, ReviewVerdictRow.model_version == version
    )
    rows = session.scalars(
        select(ReviewItemRow)
        .where(ReviewItemRow.tenant == tenant, ~judged)
        .order_by(ReviewItemRow.created_at, ReviewItemRow.id)
        .limit(limit)
    )
    return [(row.id, comparison(row)) for row in rows]


def comparison(row: ReviewItemRow) -> Comparison:
    """An item's texts."""
    return Comparison(Instruction.from_json(row.messages), row.response_a, row.response_b)


def keep_up(session: Session, days: int) -> None:
    """Upkeep: what trials have shown about items, and the end of live ones that nobody has answered."""
    taken = session.scalars(
        insert(ReviewVerdictRow)
        .from_select(["item_id", "model_version", "verdict", "probability_a"], _on_trial())
        .on_conflict_do_nothing()
        .returning(ReviewVerdictRow.item_id)
    ).all()
    if taken:
        _compare_versions(session, ReviewItemRow.id.in_(taken))
    old = func.now() - timedelta(days=days)
    used = exists().where(ReviewRow.item_id == ReviewItemRow.id)
    remove_review_items(session, (ReviewItemRow.source == LIVE) & (ReviewItemRow.created_at < old) & ~used)


def _columns(tenant: str, offer: Offer) -> dict[str, Any]:
    one = offer.comparison
    return {
        "id": uuid.uuid4().hex,
        "tenant": tenant,
        "source": offer.source,
        "name": offer.name,
        "decision_id": offer.decision_id,
        "content_digest": anchors.content_digest(one),
        "instruction_digest": one.instruction.digest,
        "messages": one.instruction.to_json(),
        "response_a": one.response_a,
        "response_b": one.response_b,
        "probability": offer.probability,
        "place": offer.place,
        "orders_differ": offer.signals.orders_differ,
        "votes_differ": offer.signals.votes_differ,
        "uncertainty": offer.signals.uncertainty,
    }


def _worked_with(session: Session, digest: str) -> bool:
    query = select(SelectionRow.instruction_id).join(
        InstructionRow, InstructionRow.id == SelectionRow.instruction_id
    )
    return session.scalar(query.where(InstructionRow.digest == digest).limit(1)) is not None


def _compare_versions(session: Session, chosen: ColumnElement[bool]) -> None:
    """Note where versions contradict each other."""
    verdicts = (
        select(func.count(ReviewVerdictRow.verdict.distinct()))
        .where(ReviewVerdictRow.item_id == ReviewItemRow.id, ReviewVerdictRow.verdict != "invalid")
        .scalar_subquery()
    )
    session.execute(
        update(ReviewItemRow)
        .where(chosen)
        .values(versions_differ=verdicts > 1)
        .execution_options(synchronize_session=False)
    )


def _on_trial() -> Any:
    """What the judge that did not answer said about an item's decision, in a shadow or a canary."""
    seen = TrialDecisionRow
    by_champion = seen.answered_by == "candidate"
    verdict = case((by_champion, seen.champion_verdict), else_=seen.candidate_verdict)
    return (
        select(
            ReviewItemRow.id,
            case((by_champion, TrialRow.champion), else_=TrialRow.version),
            verdict,
            case((by_champion, seen.champion_probability_a), else_=seen.candidate_probability_a),
        )
        .join(seen, seen.decision_id == ReviewItemRow.decision_id)
        .join(TrialRow, TrialRow.iteration_id == seen.iteration_id)
        .where(verdict.is_not(None), or_(by_champion, seen.candidate_verdict.is_not(None)))
    )
