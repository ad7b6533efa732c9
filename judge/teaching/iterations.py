"""The state of iterations: rows, stages, leases. Postgres is the truth; the queue only says "go".

A stage belongs to the worker that holds its lease, and the lease has an epoch. Whoever writes for a stage
does it in a transaction that first finds the epoch unchanged (`Lease.transaction`), so a worker that was
given up for dead and wakes up again writes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from judge.errors import Cancelled, Conflict, Fenced, NotFound
from judge.store.audit import record
from judge.store.database import Sessions, outlasting
from judge.store.tables import IterationRow, ModelVersion, StageRow
from judge.teaching.profiles import IterationSettings, Profile
from judge.versions.pointer import read_pointer

STAGES = ("select", "pair", "judge", "filter", "finetune", "evaluate", "promote")
ACTIVE = ("queued", "running", "cancelling")
# The candidate meets live traffic (`judge.gate.trials`): all stages are done, the outcome is open.
ON_TRIAL = ("shadow", "canary")
LEASE_S = 60
# A stage may fail so often by itself,
MAX_ATTEMPTS = 3
# and be begun so often in all: its worker may be killed for reasons that are not its own.
MAX_EPOCHS = 20


def start(session: Session, profile: Profile, settings: IterationSettings, actor: str) -> IterationRow:
    """Create an iteration whose first stage is due.

    Raises:
        Conflict: another one is active or its candidate on trial, or no seed model is registered.
    """
    pointer, seed = read_pointer(session), seed_version(session)
    assert pointer is not None
    tried = session.scalars(select(IterationRow).where(IterationRow.status.in_(ON_TRIAL))).first()
    if tried:
        raise Conflict(
            f"the candidate of iteration {tried.id} is on trial ({tried.status}); wait for it or cancel it"
        )
    row = IterationRow(
        status="queued",
        stage=STAGES[0],
        profile=profile,
        settings=settings.model_dump(),
        seed_version=seed,
        judged_by=pointer.champion,
        actor=actor,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise Conflict("an iteration is already running; wait for it or cancel it") from error
    session.add(StageRow(iteration_id=row.id, name=STAGES[0], status="due"))
    record(session, actor, "start iteration", {"iteration": row.id, "profile": profile})
    session.flush()
    return row


def seed_version(session: Session) -> str:
    """The seed model behind the champion: training always starts there, not at the last version.

    Raises:
        Conflict: no model is registered.
    """
    pointer = read_pointer(session)
    if pointer is None:
        raise Conflict("no model is registered yet: run `judgesmith seed`")
    version = session.get(ModelVersion, pointer.champion)
    assert version is not None
    return str(version.manifest.get("parent") or pointer.champion)


def get(session: Session, iteration: int) -> IterationRow:
    """An iteration.

    Raises:
        NotFound: there is none with that id.
    """
    row = session.get(IterationRow, iteration)
    if row is None:
        raise NotFound(f"iteration {iteration} does not exist")
    return row


def active(session: Session) -> IterationRow | None:
    """The iteration in progress, or the one whose candidate is on trial, if there is one."""
    return session.scalar(select(IterationRow).where(IterationRow.status.in_((*ACTIVE, *ON_TRIAL))))


def stages(session: Session, iteration: int) -> list[StageRow]:
    """The stages begun so far, in order."""
    rows = session.scalars(select(StageRow).where(StageRow.iteration_id == iteration))
    return sorted(rows, key=lambda row: STAGES.index(row.name))


def cancel(session: Session, iteration: int, actor: str) -> IterationRow:
    """Ask an iteration to stop; a running stage notices at its next step, a trial is over at once.

    Raises:
        Conflict: it is over.
    """
    row = get(session, iteration)
    if row.status not in (*ACTIVE, *ON_TRIAL):
        raise Conflict(f"iteration {iteration} is {row.status}; there is nothing to cancel")
    row.status = "cancelled" if row.status in ON_TRIAL else "cancelling"
    record(session, actor, "cancel iteration", {"iteration": iteration})
    return row


def claim_due(session: Session, limit: int = 10) -> list[tuple[int, str]]:
    """Stages that should be running and are not; marks them as asked for.

    That is: due ones not asked for lately, and running ones whose worker let the lease run out.
    """
    now = func.now()
    stale = now - text(f"interval '{LEASE_S} seconds'")
    due = (
        select(StageRow)
        .join(IterationRow, IterationRow.id == StageRow.iteration_id)
        .where(
            IterationRow.status.in_(ACTIVE),
            or_(
                (StageRow.status == "due")
                & or_(StageRow.enqueued_at.is_(None), StageRow.enqueued_at < stale),
                (StageRow.status == "running")
                & (StageRow.lease_until < now)
                & or_(StageRow.enqueued_at.is_(None), StageRow.enqueued_at < stale),
            ),
        )
        .limit(limit)
        .with_for_update(of=StageRow, skip_locked=True)
    )
    rows = list(session.scalars(due))
    for row in rows:
        row.enqueued_at = now
    return [(row.iteration_id, row.name) for row in rows]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one stage, for as long as the epoch stands."""

    sessions: Sessions
    iteration: int
    stage: str
    epoch: int

    @classmethod
    def take(cls, sessions: Sessions, iteration: int, stage: str) -> "Lease | None":
        """Take a stage that is due, or whose lease has run out; None if there is nothing to take.

        A stage whose workers were all killed ends its iteration in the end: it may be what kills them.
        """
        with sessions.begin() as session:
            taken = session.execute(
                update(StageRow)
                .where(
                    StageRow.iteration_id == iteration,
                    StageRow.name == stage,
                    or_(
                        StageRow.status == "due",
                        (StageRow.status == "running") & (StageRow.lease_until < func.now()),
                    ),
                )
                .values(
                    status="running",
                    epoch=StageRow.epoch + 1,
                    # A killed worker is no failure of the stage.
                    attempts=StageRow.attempts + case((StageRow.status == "due", 1), else_=0),
                    lease_until=_lease_end(),
                    started_at=func.coalesce(StageRow.started_at, func.now()),
                    counted_at=None,
                )
                .returning(StageRow.epoch)
            ).scalar_one_or_none()
            if taken is None:
                return None
            if taken > MAX_EPOCHS:
                _give_up(session, iteration, stage)
                return None
            session.execute(
                update(IterationRow)
                .where(IterationRow.id == iteration, IterationRow.status == "queued")
                .values(status="running")
            )
        return cls(sessions, iteration, stage, taken)

    @contextmanager
    def transaction(self, *, at_the_end: bool = False) -> Iterator[Session]:
        """A transaction that commits only while this lease holds.

        `at_the_end` is for `complete`: what a stage has done, a swap above all, is not undone by a
        cancellation that comes after it.

        Raises:
            Fenced: another worker has taken the stage.
            Cancelled: an operator asked the iteration to stop.
        """
        with self.sessions.begin() as session:
            self._row(session)
            if get(session, self.iteration).status == "cancelling" and not at_the_end:
                raise Cancelled(f"iteration {self.iteration} was cancelled")
            yield session

    def extend(self) -> None:
        """Keep the lease for another `LEASE_S` seconds; raises `Fenced` if it is lost."""

        def act() -> None:
            with self.sessions.begin() as session:
                self._row(session).lease_until = _lease_end()

        outlasting(act)

    def progress(self, done: int, total: int, note: str | None = None) -> None:
        """Publish how far the stage is; raises `Fenced` or `Cancelled`, so call it between steps.

        The pace is that since the last call before anything was done: loading is no part of it.
        """

        def act() -> None:
            with self.transaction() as session:
                row = self._row(session)
                if row.counted_at is None or done <= row.counted_from:
                    row.counted_at, row.counted_from = func.now(), done
                # A portion that was stored again after an outage has been counted twice.
                row.done, row.total, row.note = min(done, total), total, note

        outlasting(act)

    def complete(self, session: Session, counts: dict[str, Any]) -> str | None:
        """Finish the stage within the caller's transaction; returns the next stage's name, if any.

        The last stage's counts hold the iteration's final `status`. An iteration that was cancelled
        meanwhile has no next stage.
        """
        row = self._row(session)
        row.status, row.finished_at, row.lease_until, row.error = "done", func.now(), None, None
        row.done = row.total = max(row.done, row.total)
        iteration = get(session, self.iteration)
        iteration.counts = {**iteration.counts, self.stage: counts}
        index = STAGES.index(self.stage) + 1
        if index == len(STAGES):
            finish(session, self.iteration, counts["status"])
            return None
        if iteration.status == "cancelling":
            finish(session, self.iteration, "cancelled")
            return None
        following = STAGES[index]
        iteration.stage = following
        session.execute(
            insert(StageRow)
            .values(iteration_id=self.iteration, name=following, status="due")
            .on_conflict_do_nothing()
        )
        return following

    def fail(self, error: str, *, final: bool) -> None:
        """Record a failure: try again later, or end the iteration after the last attempt."""

        def act() -> None:
            with self.sessions.begin() as session:
                row = self._row(session)
                row.error = error
                if final or row.attempts >= MAX_ATTEMPTS:
                    row.status, row.finished_at = "failed", func.now()
                    finish(session, self.iteration, "failed", error=f"{self.stage}: {error}")
                else:
                    row.status, row.lease_until = "due", None

        outlasting(act)

    def cancelled(self) -> None:
        """Record that the stage stopped because it was asked to."""
        with self.sessions.begin() as session:
            row = self._row(session)
            row.status, row.finished_at = "cancelled", func.now()
            finish(session, self.iteration, "cancelled")

    def _row(self, session: Session) -> StageRow:
        row = session.get(StageRow, (self.iteration, self.stage), with_for_update=True)
        if row is None or row.epoch != self.epoch or row.status != "running":
            raise Fenced(f"stage {self.stage} of iteration {self.iteration} was taken over")
        return row


def finish(session: Session, iteration: int, status: str, error: str | None = None) -> None:
    """End an iteration: `promoted`, `refused`, `no_decision`, `failed`, `cancelled`.

    Or leave the end to others: `awaiting_approval`, `shadow`, `canary`.
    """
    row = get(session, iteration)
    row.status, row.finished_at, row.error = status, func.now(), error


def _give_up(session: Session, iteration: int, stage: str) -> None:
    """End an iteration whose stage was begun too often."""
    row = session.get(StageRow, (iteration, stage))
    assert row is not None
    row.error = f"its worker was killed again and again; it was begun {MAX_EPOCHS} times"
    row.status, row.finished_at, row.lease_until = "failed", func.now(), None
    finish(session, iteration, "failed", error=f"{stage}: {row.error}")


def eta_seconds(row: StageRow, now: datetime) -> float | None:
    """Seconds left of a running stage at its worker's pace; None where there is nothing to go by."""
    counted = row.done - row.counted_from
    if row.status != "running" or row.counted_at is None or counted <= 0 or row.total <= row.done:
        return None
    elapsed: timedelta = now - row.counted_at
    return elapsed.total_seconds() / counted * (row.total - row.done)


def _lease_end() -> Any:
    return func.now() + text(f"interval '{LEASE_S} seconds'")
