"""The items that versions are evaluated on, and what each version said about them.

A set of items is named by its digest and kept once; nobody trains on it from then on. What is asked of whom,
and how far it is, is `judge.evaluation.runs`.
"""

import hashlib
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.errors import Fault, InvalidInput
from judge.evaluation.benchmarks.catalog import benchmark
from judge.evaluation.benchmarks.items import Answered, Item, Judged, to_lines
from judge.gathering.protected import replace_protected
from judge.store.tables import BenchmarkItemRow, BenchmarkOutcomeRow, BenchmarkRunRow, BenchmarkSetRow

_GROUP = 500


def require_scorable(name: str, items: Sequence[Item]) -> None:
    """Raise `InvalidInput` unless the benchmark's score takes these items: their facts come from outside."""
    known = benchmark(name)
    asked = [Answered(item, Judged(item.id)) for item in items]
    try:
        scores = known.score(asked, 0)
        values = [mean.value for mean in scores.values()]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, AssertionError) as error:
        reason = f"these are no items of {name}: {type(error).__name__} {error}"
        raise InvalidInput(Fault("items", reason)) from error
    if not values:
        raise InvalidInput(Fault("items", f"nothing in them can be scored as {name}"))


def store(session: Session, name: str, set_name: str, items: Sequence[Item]) -> str:
    """Store items once, and protect them from being trained on; returns the digest of the set.

    Args:
        name: the benchmark's.
        set_name: what reports call these items.
    """
    digest = hashlib.sha256(f"{name}\n".encode() + to_lines(items)).hexdigest()[:16]
    made = session.execute(
        insert(BenchmarkSetRow)
        .values(digest=digest, benchmark=name, name=set_name, items=len(items))
        .on_conflict_do_nothing()
        .returning(BenchmarkSetRow.digest)
    ).scalar_one_or_none()
    if made is None:
        return digest
    for start in range(0, len(items), _GROUP):
        rows = [
            {"set_digest": digest, "ordinal": start + index, "item": item.to_json()}
            for index, item in enumerate(items[start : start + _GROUP])
        ]
        session.execute(insert(BenchmarkItemRow), rows)
    replace_protected(session, f"benchmark {set_name} {digest}", (item.instruction for item in items))
    return digest


def load(session: Session, set_digest: str) -> list[Item]:
    """The items of a set; their places are their ordinals."""
    row = BenchmarkItemRow
    found = session.scalars(select(row.item).where(row.set_digest == set_digest).order_by(row.ordinal))
    return [Item.from_json(item) for item in found]


def answers(session: Session, run: int) -> list[Answered]:
    """What an evaluation has so far, in the order of the items."""
    rows = session.execute(
        select(BenchmarkItemRow.item, BenchmarkOutcomeRow.judged)
        .join(BenchmarkRunRow, BenchmarkRunRow.set_digest == BenchmarkItemRow.set_digest)
        .join(
            BenchmarkOutcomeRow,
            (BenchmarkOutcomeRow.run_id == BenchmarkRunRow.id)
            & (BenchmarkOutcomeRow.ordinal == BenchmarkItemRow.ordinal),
        )
        .where(BenchmarkRunRow.id == run)
        .order_by(BenchmarkItemRow.ordinal)
    )
    return [Answered(Item.from_json(item), Judged.from_json(judged)) for item, judged in rows]


def answered(session: Session, run: int) -> set[int]:
    """The ordinals of the items that have an answer."""
    row = BenchmarkOutcomeRow
    return set(session.scalars(select(row.ordinal).where(row.run_id == run)))


def write(session: Session, run: int, judged: Sequence[tuple[int, Judged]]) -> int:
    """Store answers by their ordinals, where there are none; returns how many there are now in all."""
    if judged:
        rows = [{"run_id": run, "ordinal": at, "judged": one.to_json()} for at, one in judged]
        session.execute(insert(BenchmarkOutcomeRow).values(rows).on_conflict_do_nothing())
    count = select(func.count()).where(BenchmarkOutcomeRow.run_id == run)
    return session.scalar(count) or 0
