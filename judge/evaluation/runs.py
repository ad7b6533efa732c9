"""The state of evaluations: a version on a benchmark's items. Postgres is the truth; the queue says "go".

    queued -> running -> done
                |-> cancelling -> cancelled
                `-> failed, after `MAX_ATTEMPTS` without a single new answer

An evaluation belongs to the worker that holds its lease, and the lease has an epoch; whoever writes finds it
unchanged first. Each answer is written once, so a worker that goes on asks only for those that are missing.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.errors import Cancelled, Conflict, Fenced, NotFound
from judge.evaluation import item_store
from judge.evaluation.benchmarks.items import Answered, Item, Judged
from judge.evaluation.evaluating import How
from judge.evaluation.report import Run
from judge.judging.scoring import Strategy
from judge.store.audit import record
from judge.store.database import Sessions
from judge.store.tables import BenchmarkRunRow, BenchmarkSetRow, ModelVersion
from judge.versions.pointer import read_pointer

ACTIVE = ("queued", "running", "cancelling")
LEASE_S = 60
MAX_ATTEMPTS = 3


class EvaluationSettings(BaseModel):
    """How a version is measured. `limit`: so many items, drawn by the seed; default: all.

    `rationale_tokens`: the longest written judgment, where it reasons.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["direct", "reasoning"] = "direct"
    strategy: Strategy | None = None
    votes: int = Field(1, ge=1, le=64, description="judgments per order, where it reasons")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of placement, sampling, intervals and `limit`")
    limit: int | None = Field(None, ge=1)
    rationale_tokens: int = Field(512, ge=16, le=8192)
    concurrency: int = Field(32, ge=1, le=512)

    def how(self, *, allow_tie: bool) -> How:
        """As a judge takes it."""
        return How(self.mode, self.strategy, self.votes, self.seed, allow_tie, self.rationale_tokens)

    @property
    def manner(self) -> str:
        """`direct`, `direct, pairwise`, `reasoning, 4 votes, 512 tokens`: what tells evaluations apart."""
        votes = f"{self.votes} votes" if self.votes > 1 else ""
        longest = f"{self.rationale_tokens} tokens" if self.mode == "reasoning" else ""
        parts = [self.mode, self.strategy or "", votes, longest]
        return ", ".join(part for part in parts if part)

    @property
    def digest(self) -> str:
        """A name for all that can change a figure: everything but the concurrency."""
        kept = self.model_dump(exclude={"concurrency"})
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def submit(
    session: Session,
    version: str,
    name: str,
    set_name: str,
    items: Sequence[Item],
    settings: EvaluationSettings,
    actor: str,
) -> BenchmarkRunRow:
    """Store a set of items and an evaluation on it that is due.

    Where the same was asked for before, that evaluation: it goes on if it had failed or was cancelled.

    Args:
        version: an id, or `champion` or `previous`.
        name: the benchmark's.
        set_name: what reports call these items.

    Raises:
        InvalidInput: there is no such benchmark, or its score cannot take these items.
        NotFound: there is no such version.
    """
    item_store.require_scorable(name, items)
    found = _resolve(session, version)
    digest = item_store.store(session, name, set_name, sampled(items, settings))
    total = session.get_one(BenchmarkSetRow, digest).items
    session.execute(
        insert(BenchmarkRunRow)
        .values(
            status="queued",
            version=found,
            set_digest=digest,
            settings=settings.model_dump(),
            settings_digest=settings.digest,
            actor=actor,
            total=total,
        )
        .on_conflict_do_nothing()
    )
    row = session.scalars(
        select(BenchmarkRunRow)
        .where(
            BenchmarkRunRow.version == found,
            BenchmarkRunRow.set_digest == digest,
            BenchmarkRunRow.settings_digest == settings.digest,
        )
        .with_for_update()
    ).one()
    if row.status in ("failed", "cancelled"):
        row.status, row.attempts, row.error, row.enqueued_at, row.finished_at = "queued", 0, None, None, None
    details = {"evaluation": row.id, "version": found, "benchmark": name}
    record(session, actor, "start evaluation", details)
    session.flush()
    return row


def sampled(items: Sequence[Item], settings: EvaluationSettings) -> list[Item]:
    """The items to judge: all, or `limit` of them drawn by the seed, in the order of the file."""
    if settings.limit is None or len(items) <= settings.limit:
        return list(items)
    chosen = random.Random(f"sample {settings.seed}").sample(range(len(items)), settings.limit)
    return [items[index] for index in sorted(chosen)]


def _resolve(session: Session, version: str) -> str:
    pointer = read_pointer(session)
    named = {"champion": pointer.champion, "previous": pointer.previous} if pointer else {}
    found = named.get(version, version)
    if found is None or session.get(ModelVersion, found) is None:
        raise NotFound(f"model version {version[:40]!r} is not known")
    return found


def get(session: Session, run: int) -> BenchmarkRunRow:
    """An evaluation.

    Raises:
        NotFound: there is none with that id.
    """
    row = session.get(BenchmarkRunRow, run)
    if row is None:
        raise NotFound(f"evaluation {run} does not exist")
    return row


def cancel(session: Session, run: int, actor: str) -> BenchmarkRunRow:
    """Ask an evaluation to stop; what it has stays, and the same evaluation asked for again goes on.

    Raises:
        Conflict: it is over.
    """
    row = session.get(BenchmarkRunRow, run, with_for_update=True)
    if row is None:
        raise NotFound(f"evaluation {run} does not exist")
    if row.status not in ACTIVE:
        raise Conflict(f"evaluation {run} is {row.status}; there is nothing to cancel")
    row.status = "cancelled" if row.status == "queued" else "cancelling"
    record(session, actor, "cancel evaluation", {"evaluation": run})
    return row


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


def settings_of(row: BenchmarkRunRow) -> EvaluationSettings:
    """How this evaluation asks."""
    return EvaluationSettings.model_validate(row.settings)


def load_run(sessions: Sessions, run: int) -> Run:
    """An evaluation for a report, which reads what was answered when it needs it."""

    def load() -> list[Answered]:
        with sessions() as session:
            return item_store.answers(session, run)

    with sessions() as session:
        row = get(session, run)
        known = session.get_one(BenchmarkSetRow, row.set_digest)
        settings = settings_of(row)
        return Run(
            version=row.version,
            origin=session.get_one(ModelVersion, row.version).origin,
            benchmark=known.benchmark,
            name=known.name,
            mode=settings.manner,
            digest=known.digest,
            seed=settings.seed,
            load=load,
        )


def eta_seconds(row: BenchmarkRunRow, now: datetime) -> float | None:
    """Seconds left at the rate so far; None where there is nothing to go by."""
    if row.status != "running" or row.started_at is None or not row.done:
        return None
    return (now - row.started_at).total_seconds() / row.done * (row.total - row.done)


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
