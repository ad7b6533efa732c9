"""Quarantine: instructions kept apart with the reason, until a person releases or deletes them.

What an iteration in progress works with is only marked, and moved when that is over (`settle`): its stages
count on what they have begun with, and give the same dataset however often they are repeated. No other
iteration selects what is marked (`judge.gathering.instructions.known`); of what this one learns, the gate
decides.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.gathering.instructions import Gathered, remove
from judge.store.audit import record
from judge.store.tables import InstructionRow, IterationRow, QuarantineRow, SelectionRow
from judge.teaching.iterations import ACTIVE

# contaminated: close to an anchor or a benchmark's item. flood: many near-duplicates of it came in.
# planted: holds words that came up suddenly in instructions about everything (`judge.gathering.planted`).
KINDS = ("contaminated", "flood", "planted")
_COPIED = (
    "digest",
    "messages",
    "response",
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
    """Take stored instructions out of the pool; what iterations derived from them is deleted with them.

    Those that an iteration in progress works with are marked instead.
    """
    if not rows:
        return
    why = {"kind": kind, "reason": reason, "words": list(words)}
    busy = _worked_with(session, [row.id for row in rows])
    for row in rows:
        if row.id in busy:
            row.suspected = why
    _move(session, [(row, why) for row in rows if row.id not in busy])
    session.flush()


def settle(session: Session) -> int:
    """Move what was marked and is not worked with any more; returns how many."""
    query = select(InstructionRow).where(InstructionRow.suspected.is_not(None)).order_by(InstructionRow.id)
    marked = list(session.scalars(query))
    busy = _worked_with(session, [row.id for row in marked])
    free = [(row, row.suspected) for row in marked if row.id not in busy and row.suspected]
    _move(session, free)
    return len(free)


def _worked_with(session: Session, ids: Sequence[int]) -> set[int]:
    """Those that an iteration in progress has selected.

    They are locked first: a selection that is just being written has to be seen, or it would lose its rows.
    """
    if not ids:
        return set()
    rows = select(InstructionRow.id).where(InstructionRow.id.in_(ids)).order_by(InstructionRow.id)
    session.execute(rows.with_for_update())
    selected = (
        select(SelectionRow.instruction_id)
        .join(IterationRow, IterationRow.id == SelectionRow.iteration_id)
        .where(SelectionRow.instruction_id.in_(ids), IterationRow.status.in_(ACTIVE))
    )
    return set(session.scalars(selected))


def _move(session: Session, rows: Sequence[tuple[InstructionRow, dict[str, Any]]]) -> None:
    if not rows:
        return
    values = [{name: getattr(row, name) for name in _COPIED} | why for row, why in rows]
    session.execute(insert(QuarantineRow).values(values).on_conflict_do_nothing())
    remove(session, [row.id for row, _ in rows])


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
