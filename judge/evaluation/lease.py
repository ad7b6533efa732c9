"""The lease of an evaluation: who works on it, what is written under it, and how it ends.

It belongs to the worker that holds its lease, and the lease has an epoch; whoever writes finds it unchanged
first. Each answer is written once, so a worker that goes on asks only for those that are missing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.orm import Session

from judge.errors import Cancelled, Fenced
from judge.evaluation import item_store
from judge.evaluation.benchmarks.items import Judged
from judge.store.database import Sessions
from judge.store.tables import BenchmarkRunRow

ACTIVE = ("queued", "running", "cancelling")
LEASE_S = 60
MAX_ATTEMPTS = 3


def claim_due(session: Session, limit: int = 10) -> list[int]:
    """Evaluations that should be running and are not; marks them as asked for."""
    stale = func.now() - text(f"interval '{LEASE_S} seconds'")
    row = BenchmarkRunRow
    idle = or_(row.lease_until.is_(None), row.lease_until < func.now())
    rows = session.scalars(
        select(row)
        .where(row.status.in_(ACTIVE), idle, or_(row.enqueued_at.is_(None), row.enqueued_at < stale))
        .order_by(row.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for one in rows:
        one.enqueued_at = func.now()
    return [one.id for one in rows]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one evaluation, for as long as the epoch stands."""

    sessions: Sessions
    run: int
    epoch: int

    @classmethod
    def take(cls, sessions: Sessions, run: int) -> "Lease | None":
        """Take an evaluation that nobody works on; None if there is nothing to take.

        One whose workers were all killed before they had stored an answer fails in the end: it may be what
        kills them.
        """
        row = BenchmarkRunRow
        idle = or_(row.lease_until.is_(None), row.lease_until < func.now())
        with sessions.begin() as session:
            taken = session.execute(
                update(row)
                .where(row.id == run, row.status.in_(ACTIVE), idle)
                .values(
                    status=func.replace(row.status, "queued", "running"),
                    epoch=row.epoch + 1,
                    attempts=row.attempts + 1,
                    lease_until=_lease_end(),
                    started_at=func.coalesce(row.started_at, func.now()),
                )
                .returning(row.epoch, row.attempts)
            ).one_or_none()
            if taken is None:
                return None
            lease = cls(sessions, run, taken.epoch)
            if taken.attempts > MAX_ATTEMPTS:
                lease._give_up(session)
                return None
        return lease

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction that commits only while this lease holds.

        Raises:
            Fenced: another worker has taken the evaluation.
            Cancelled: an operator asked it to stop.
        """
        with self.sessions.begin() as session:
            if self._row(session).status == "cancelling":
                raise Cancelled(f"evaluation {self.run} was cancelled")
            yield session

    def extend(self) -> None:
        """Keep the lease for another `LEASE_S` seconds; raises `Fenced` if it is lost."""
        with self.sessions.begin() as session:
            self._row(session).lease_until = _lease_end()

    def answered(self) -> set[int]:
        """The ordinals of the items that have an answer."""
        with self.transaction() as session:
            return item_store.answered(session, self.run)

    def note(self, text: str) -> None:
        """Say what is going on; raises `Fenced` or `Cancelled`, so call it between steps."""
        with self.transaction() as session:
            self._row(session).note = text

    def write(self, judged: Sequence[tuple[int, Judged]]) -> None:
        """Store answers and publish how far it is."""
        with self.transaction() as session:
            done = item_store.write(session, self.run, judged)
            row = self._row(session)
            row.done, row.note = done, None
            if judged:
                # It gets on: a worker that is stopped now and then, over hours, is no failure of it.
                row.attempts = 1

    def complete(self, figures: dict[str, Any]) -> None:
        """Store the figures and end the evaluation."""
        with self.transaction() as session:
            row = self._row(session)
            row.figures, row.error, row.note = figures, None, None
            self._end(row, "done")

    def fail(self, error: str, *, final: bool) -> None:
        """Record a failure: try again later, or end after the last attempt."""
        with self.sessions.begin() as session:
            row = self._row(session)
            row.error = error
            if final or row.attempts >= MAX_ATTEMPTS:
                self._end(row, "failed")
            else:
                row.lease_until = None
                row.status = "cancelling" if row.status == "cancelling" else "queued"

    def cancelled(self) -> None:
        """Record that it stopped because it was asked to."""
        with self.sessions.begin() as session:
            self._end(self._row(session), "cancelled")

    def _give_up(self, session: Session) -> None:
        row = self._row(session)
        row.error = f"its worker was killed again and again; it was begun {MAX_ATTEMPTS} times in vain"
        self._end(row, "failed")

    def _end(self, row: BenchmarkRunRow, status: str) -> None:
        row.status, row.finished_at, row.lease_until = status, func.now(), None

    def _row(self, session: Session) -> BenchmarkRunRow:
        row = session.get(BenchmarkRunRow, self.run, with_for_update=True, populate_existing=True)
        if row is None or row.epoch != self.epoch or row.status not in ("running", "cancelling"):
            raise Fenced(f"evaluation {self.run} was taken over")
        return row


def _lease_end() -> Any:
    return func.now() + text(f"interval '{LEASE_S} seconds'")
