"""The state of batches: rows and leases. Postgres is the truth, and any gateway may do the work.

A batch belongs to the gateway that holds its lease, and the lease has an epoch. A result is written in a
transaction that first finds the epoch unchanged, and only to a line that has none, so each line gets exactly
one, whoever was killed, stopped or given up for dead in between.

    validating -> in_progress -> completed
                       |-> cancelling -> cancelled
                       `-> expired, when its completion window is over

`validating` is a batch that no gateway has begun. A file with faults is refused before it is stored, and a
batch ends in the transaction of its last result: the Batch API's `failed` and `finalizing` do not occur.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import delete, func, literal, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from judge.batches import line_store
from judge.batches.line_store import Line, Result
from judge.errors import Conflict, Fault, Fenced, InvalidInput, NotFound
from judge.store.database import Sessions
from judge.store.keys import Principal
from judge.store.tables import BatchRow

Status = Literal["validating", "in_progress", "completed", "cancelling", "cancelled", "expired"]
ACTIVE = ("validating", "in_progress", "cancelling")
CUT_SHORT = ("cancelled", "expired")
LEASE_S = 30


@dataclass(frozen=True, slots=True)
class Submission:
    """Who submits a batch, and what is known of it before its lines are read.

    `window_h`: hours in which it has to be done.
    """

    tenant: str
    created_by: str
    content_sha256: str
    metadata: dict[str, str]
    idempotency_key: str | None = None
    window_h: int = 24


def submit(session: Session, submission: Submission, lines: Iterable[Line]) -> tuple[BatchRow, bool]:
    """Store a batch with its lines; with a key that was used before, find the batch of then.

    Returns the batch, and whether it is new.

    What `lines` raises goes through, and the caller's transaction keeps nothing.

    Raises:
        InvalidInput: the key was used for another content.
    """
    number = f"batch_{uuid.uuid4().hex}"
    # Waits for a transaction that is storing the same key, so that two at once make one batch.
    made = session.execute(
        insert(BatchRow)
        .values(
            id=number,
            tenant=submission.tenant,
            created_by=submission.created_by,
            status="validating",
            idempotency_key=submission.idempotency_key,
            content_sha256=submission.content_sha256,
            labels=submission.metadata,
            expires_at=func.now() + func.make_interval(0, 0, 0, 0, submission.window_h),
        )
        .on_conflict_do_nothing(index_elements=["tenant", "idempotency_key"])
        .returning(BatchRow.id)
    ).scalar_one_or_none()
    if made is None:
        return _repeated(session, submission), False
    total = line_store.add(session, number, lines)
    row = session.get_one(BatchRow, number)
    row.total = total
    session.flush()
    return row, True


def _repeated(session: Session, submission: Submission) -> BatchRow:
    row = session.scalars(
        select(BatchRow).where(
            BatchRow.tenant == submission.tenant, BatchRow.idempotency_key == submission.idempotency_key
        )
    ).one()
    if row.content_sha256 != submission.content_sha256:
        raise InvalidInput(Fault("Idempotency-Key", f"it belongs to {row.id}, which has another content"))
    return row


def get(session: Session, tenant: str, batch: str) -> BatchRow:
    """A tenant's batch.

    Raises:
        NotFound: there is none with that id, or it is another tenant's.
    """
    row = session.get(BatchRow, batch)
    if row is None or row.tenant != tenant:
        raise NotFound(f"batch {batch!r} does not exist")
    return row


def newest(session: Session, tenant: str, limit: int, after: str | None) -> list[BatchRow]:
    """A tenant's batches, newest first; those older than `after`, if it is given.

    Raises:
        NotFound: `after` is no batch of this tenant.
    """
    place = tuple_(BatchRow.created_at, BatchRow.id)
    query = select(BatchRow).where(BatchRow.tenant == tenant)
    if after is not None:
        last = get(session, tenant, after)
        query = query.where(place < tuple_(literal(last.created_at), literal(last.id)))
    query = query.order_by(BatchRow.created_at.desc(), BatchRow.id.desc()).limit(limit)
    return list(session.scalars(query))


def cancel(session: Session, tenant: str, batch: str) -> BatchRow:
    """Ask a batch to stop; results that it has stay. To ask again is no error.

    Raises:
        NotFound: the tenant has no such batch.
        Conflict: it is over, and not by being cancelled.
    """
    get(session, tenant, batch)
    row = session.get_one(BatchRow, batch, with_for_update=True, populate_existing=True)
    if row.status in ("cancelling", "cancelled"):
        return row
    if row.status not in ACTIVE:
        raise Conflict(f"batch {batch} is {row.status}; there is nothing to cancel")
    row.cancelling_at = func.now()
    held = session.scalar(select(BatchRow.lease_until > func.now()).where(BatchRow.id == batch))
    if held:
        row.status = "cancelling"  # its holder ends it, or whoever takes it next
    else:
        row.epoch += 1
        _end(session, row, "cancelled")
    session.flush()
    return row


def window_hours(row: BatchRow) -> int:
    """The hours from when a batch was sent to when it expires."""
    return round((row.expires_at - row.created_at).total_seconds() / 3600)


def eta_seconds(row: BatchRow, now: datetime) -> float | None:
    """Seconds left at the rate so far; None where there is nothing to go by."""
    done = row.completed + row.failed
    if row.status != "in_progress" or row.started_at is None or not done:
        return None
    return (now - row.started_at).total_seconds() / done * (row.total - done)


def purge(sessions: Sessions, days: int) -> int:
    """Delete the batches that were over this many days ago, with their results; returns how many."""
    with sessions.begin() as session:
        gone = session.scalars(
            delete(BatchRow)
            .where(BatchRow.finished_at < func.now() - func.make_interval(0, 0, 0, days))
            .returning(BatchRow.id)
        )
        return len(gone.all())


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to judge one batch's lines, for as long as the epoch stands."""

    sessions: Sessions
    batch: str
    epoch: int
    caller: Principal

    @classmethod
    def take(cls, sessions: Sessions, holder: str) -> "Lease | None":
        """Take a batch that nobody holds, or whose lease has run out; None if there is none.

        Tenants with the fewest batches in progress come first, then the batch that was left alone longest.
        """
        other = aliased(BatchRow)
        busy = (
            select(func.count())
            .where(other.tenant == BatchRow.tenant, other.status.in_(ACTIVE), other.lease_until > func.now())
            .scalar_subquery()
        )
        with sessions.begin() as session:
            row = session.scalars(
                select(BatchRow)
                .where(
                    BatchRow.status.in_(ACTIVE),
                    or_(BatchRow.lease_until.is_(None), BatchRow.lease_until <= func.now()),
                )
                .order_by(busy, BatchRow.lease_until.asc().nulls_first(), BatchRow.created_at)
                .limit(1)
                .with_for_update(of=BatchRow, skip_locked=True)
            ).first()
            if row is None:
                return None
            row.epoch += 1
            row.lease_until, row.lease_holder = _lease_end(), holder
            if row.status == "validating":
                row.status, row.started_at = "in_progress", func.now()
            session.flush()
            caller = Principal(row.created_by, row.tenant, frozenset({"judge"}))
            return cls(sessions, row.id, row.epoch, caller)

    def unfinished(self, after: int, limit: int) -> list[Line]:
        """Lines without a result with an ordinal above `after`, in order."""
        with self.sessions() as session:
            return line_store.unfinished(session, self.batch, after, limit)

    def write(self, results: Sequence[Result]) -> bool:
        """Store results, keep the lease for another `LEASE_S` seconds; returns whether there is more to do.

        Ends the batch with its last result, and one that was cancelled or has expired at once.

        Raises:
            Fenced: another gateway has taken the batch.
        """
        with self.sessions.begin() as session:
            row, late = self._row(session)
            codes = line_store.write(session, self.batch, results) if results else []
            row.failed += sum(code >= 400 for code in codes)
            row.completed += sum(code < 400 for code in codes)
            if row.completed + row.failed == row.total:
                _end(session, row, "completed")
            elif row.status == "cancelling":
                _end(session, row, "cancelled")
            elif late:
                _end(session, row, "expired")
            else:
                row.lease_until = _lease_end()
            return row.status in ACTIVE

    def release(self) -> None:
        """Give the batch back, for any gateway to go on; raises `Fenced` if that has happened already."""
        with self.sessions.begin() as session:
            row, _ = self._row(session)
            row.lease_until, row.lease_holder = func.now(), None

    def _row(self, session: Session) -> tuple[BatchRow, bool]:
        found = session.execute(
            select(BatchRow, BatchRow.expires_at <= func.now())
            .where(BatchRow.id == self.batch)
            .with_for_update()
        ).one_or_none()
        if found is None or found[0].epoch != self.epoch or found[0].status not in ACTIVE:
            raise Fenced(f"batch {self.batch} was taken over")
        return found[0], found[1]


def _end(session: Session, row: BatchRow, status: Status) -> None:
    row.status, row.finished_at = status, func.now()
    row.lease_until = row.lease_holder = None
    line_store.drop_bodies(session, row.id)


def _lease_end() -> Any:
    return func.now() + text(f"interval '{LEASE_S} seconds'")
