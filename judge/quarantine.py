"""Quarantine: instructions kept apart with the reason, until a person releases or deletes them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.instructions import Gathered
from judge.pointer import record
from judge.tables import InstructionRow, QuarantineRow

# contaminated: close to an anchor or a benchmark's item. flood: many near-duplicates of it came in.
# planted: holds words that came up suddenly in instructions about everything (`judge.planted`).
KINDS = ("contaminated", "flood", "planted")
_COPIED = (
    "digest",
    "messages",
    "source",
    "language",
    "tenant",
    "created_at",
    "signature",
    "bands",
)


def put(session: Session, items: Sequence[tuple[Gathered, str]], kind: str) -> None:
    """Keep instructions apart that were never stored, each with its reason."""
    if items:
        rows = [{"kind": kind, "reason": reason, **item.columns()} for item, reason in items]
        session.execute(insert(QuarantineRow).values(rows).on_conflict_do_nothing())


def move(
    session: Session, rows: Sequence[InstructionRow], kind: str, reason: str, words: Sequence[str] = ()
) -> None:
    """Take stored instructions out of the pool; what iterations derived from them is deleted with them."""
    if not rows:
        return
    values = [
        {name: getattr(row, name) for name in _COPIED}
        | {"kind": kind, "reason": reason, "words": list(words)}
        for row in rows
    ]
    session.execute(insert(QuarantineRow).values(values).on_conflict_do_nothing())
    session.execute(delete(InstructionRow).where(InstructionRow.id.in_([row.id for row in rows])))


def page(session: Session, *, kind: str | None, after: int, limit: int) -> list[QuarantineRow]:
    """The oldest ones with an id above `after`."""
    query = select(QuarantineRow).where(QuarantineRow.id > after).order_by(QuarantineRow.id).limit(limit)
    return list(session.scalars(query.where(QuarantineRow.kind == kind) if kind else query))


def release(session: Session, chosen: Any, actor: str) -> int:
    """Put those into the pool for which the condition holds, for good: no scan moves them again.

    Returns how many. What is close to an anchor is still left out of every iteration (`workers.select`).
    """
    rows = list(session.scalars(select(QuarantineRow).where(chosen).with_for_update()))
    if rows:
        values = [
            {name: getattr(row, name) for name in _COPIED} | {"released": True, "scanned": True}
            for row in rows
        ]
        session.execute(insert(InstructionRow).values(values).on_conflict_do_nothing())
        session.execute(delete(QuarantineRow).where(QuarantineRow.id.in_([row.id for row in rows])))
        record(session, actor, "release from quarantine", {"ids": [row.id for row in rows]})
    return len(rows)


def discard(session: Session, chosen: Any, actor: str) -> int:
    """Delete those for which the condition holds; returns how many."""
    ids = list(session.scalars(delete(QuarantineRow).where(chosen).returning(QuarantineRow.id)))
    if ids:
        record(session, actor, "delete from quarantine", {"ids": sorted(ids)})
    return len(ids)
