"""Deleting instructions with everything derived from them, on request or because their time is over.

In the database the responses, pairs, judgments and examples go with the instruction, and so do pairs of
other instructions that borrowed from its response, what people are asked about it, and what judges wrote
about these pairs when they were evaluated. The training files of the iterations that used it are deleted by a
worker (`files_due`), since gateways may only read that folder. Weights cannot be made to forget: the versions
that were trained with it are named in the answer and in the audit, for somebody to decide about.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from judge.errors import Conflict
from judge.gathering import instructions, protected, tenants
from judge.gathering.tenants import Policy
from judge.store.audit import record
from judge.store.database import Sessions
from judge.store.tables import (
    AnchorRow,
    ErasureRow,
    ExampleRow,
    InstructionRow,
    IterationRow,
    ModelVersion,
    PairRow,
    QuarantineRow,
    ResponseRow,
    ReviewItemRow,
    SelectionRow,
)
from judge.teaching.iterations import ACTIVE

_PORTION = 500


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted: rows by kind; the iterations that had used them and the versions trained on them."""

    instructions: int = 0
    quarantined: int = 0
    responses: int = 0
    pairs: int = 0
    iterations: tuple[int, ...] = ()
    versions: tuple[str, ...] = ()


def forget(
    session: Session,
    actor: str,
    *,
    ids: Sequence[int] = (),
    digests: Sequence[str] = (),
    tenant: str | None = None,
    of_tenant: str | None = None,
) -> Forgotten:
    """Delete the instructions with one of the ids or digests, or all of a tenant; again, and nothing is left.

    `of_tenant` spares what belongs to others. Ids are those of the pool, not of the quarantine.

    Raises:
        Conflict: an iteration in progress works with one of them.
    """
    mine = or_(
        InstructionRow.id.in_(ids), InstructionRow.digest.in_(digests), InstructionRow.tenant == tenant
    )
    apart = or_(QuarantineRow.digest.in_(digests), QuarantineRow.tenant == tenant)
    # By id: their digests too, since people may be asked about them.
    named = select(InstructionRow.digest).where(InstructionRow.id.in_(ids))
    if of_tenant is not None:
        named = named.where(InstructionRow.tenant == of_tenant)
    asked = [*digests, *session.scalars(named)]
    reviewed = or_(ReviewItemRow.instruction_digest.in_(asked), ReviewItemRow.tenant == tenant)
    if of_tenant is not None:
        reviewed = reviewed & (ReviewItemRow.tenant == of_tenant)
        mine, apart = mine & (InstructionRow.tenant == of_tenant), apart & (QuarantineRow.tenant == of_tenant)
    chosen = list(session.scalars(select(InstructionRow.id).where(mine).with_for_update()))
    working = _iterations(session, chosen, active=True)
    if working:
        raise Conflict(
            f"iteration {working[0]} works with this instruction; cancel it or wait for its end, then repeat"
        )
    return _erase(session, chosen, apart, reviewed, actor, "forget")


def purge(session: Session, default: Policy) -> Forgotten:
    """Delete some of the instructions that are older than their tenant allows; call it until none is left.

    Those that an iteration in progress works with wait for its end.
    """
    terms = tenants.policies(session, default)
    for tenant in tenants.with_instructions(session):
        days = terms.get(tenant, default).retention_days
        if not days:
            continue
        end = func.now() - func.make_interval(0, 0, 0, days)
        busy = select(SelectionRow).join(IterationRow, IterationRow.id == SelectionRow.iteration_id)
        due = select(InstructionRow.id).where(
            InstructionRow.tenant == tenant,
            InstructionRow.created_at < end,
            ~busy.where(
                IterationRow.status.in_(ACTIVE), SelectionRow.instruction_id == InstructionRow.id
            ).exists(),
        )
        chosen = list(session.scalars(due.order_by(InstructionRow.id).limit(_PORTION)))
        apart = (QuarantineRow.tenant == tenant) & (QuarantineRow.created_at < end)
        reviewed = (ReviewItemRow.tenant == tenant) & (ReviewItemRow.created_at < end)
        done = _erase(session, chosen, apart, reviewed, "retention", "purge")
        if done.instructions or done.quarantined:
            return done
    return Forgotten()


def delete_files(sessions: Sessions, work_dir: Path) -> int:
    """Delete the training files of iterations whose data were deleted; returns of how many."""
    with sessions.begin() as session:
        due = list(
            session.scalars(select(ErasureRow).where(ErasureRow.files_due).with_for_update(skip_locked=True))
        )
        iterations = {number for row in due for number in row.iterations}
        for number in iterations:
            shutil.rmtree(work_dir / f"iteration-{int(number)}", ignore_errors=True)
        for row in due:
            row.files_due = False
    return len(iterations)


def remove_review_items(session: Session, chosen: ColumnElement[bool]) -> int:
    """Delete items of the review queue with their reviews, protection and anchors."""
    ids = list(session.scalars(delete(ReviewItemRow).where(chosen).returning(ReviewItemRow.id)))
    if ids:
        protected.unprotect(session, protected.REVIEW_QUEUE, ids)
        session.execute(delete(AnchorRow).where(AnchorRow.item.in_(ids)))
    return len(ids)


def _erase(session: Session, ids: list[int], apart: Any, reviewed: Any, actor: str, act: str) -> Forgotten:
    if items := remove_review_items(session, reviewed):
        record(session, actor, f"{act} review items", {"items": items})
    used = _iterations(session, ids)
    pairs = select(PairRow.id).where(or_(PairRow.instruction_id.in_(ids), PairRow.lender_id.in_(ids)))
    trained = session.scalars(
        select(ModelVersion.id)
        .where(
            ModelVersion.iteration_id.in_(
                select(ExampleRow.iteration_id).where(ExampleRow.pair_id.in_(pairs))
            )
        )
        .order_by(ModelVersion.created_at)
    ).all()
    done = Forgotten(
        instructions=len(ids),
        responses=_count(session, select(ResponseRow).where(ResponseRow.instruction_id.in_(ids))),
        pairs=_count(session, pairs),
        quarantined=len(
            list(session.scalars(delete(QuarantineRow).where(apart).returning(QuarantineRow.id)))
        ),
        iterations=tuple(used),
        versions=tuple(trained),
    )
    instructions.remove(session, ids)
    if done.instructions or done.quarantined:
        details = asdict(done)
        counts = {name: details[name] for name in ("instructions", "quarantined", "responses", "pairs")}
        session.add(
            ErasureRow(
                actor=actor, counts=counts, iterations=used, versions=list(trained), files_due=bool(used)
            )
        )
        record(session, actor, act, {**counts, "iterations": used, "versions": list(trained)})
    return done


def _iterations(session: Session, ids: list[int], *, active: bool = False) -> list[int]:
    """The iterations that selected one of the instructions."""
    query = select(SelectionRow.iteration_id).where(SelectionRow.instruction_id.in_(ids)).distinct()
    if active:
        query = query.join(IterationRow, IterationRow.id == SelectionRow.iteration_id).where(
            IterationRow.status.in_(ACTIVE)
        )
    return sorted(session.scalars(query))


def _count(session: Session, query: Any) -> int:
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0
