"""The state of evaluations: a version on a benchmark's items. Postgres is the truth; the queue says "go".

    queued -> running -> done
                |-> cancelling -> cancelled
                `-> failed, after `lease.MAX_ATTEMPTS` without a single new answer

Who works on one, and writes its answers, is `judge.evaluation.lease`.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.errors import Conflict, NotFound
from judge.evaluation import item_store
from judge.evaluation.benchmarks.items import Answered, Item
from judge.evaluation.evaluating import How
from judge.evaluation.lease import ACTIVE
from judge.evaluation.report import Run
from judge.judging.scoring import Strategy
from judge.store.audit import record
from judge.store.database import Sessions
from judge.store.tables import BenchmarkRunRow, BenchmarkSetRow, ModelVersion
from judge.versions.pointer import read_pointer


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
