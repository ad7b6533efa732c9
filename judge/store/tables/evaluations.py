"""What versions were measured at: within an iteration, and on the items of benchmarks."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON as PLAIN_JSON
from sqlalchemy import ForeignKey, Identity, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import JSON, Base


class EvaluationRow(Base):
    """One version measured on one set of pairs with one strategy; `items` holds each outcome."""

    __tablename__ = "evaluations"
    __table_args__ = (UniqueConstraint("iteration_id", "role", "dataset", "strategy"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"))
    role: Mapped[str]
    dataset: Mapped[str]
    strategy: Mapped[str]
    metrics: Mapped[JSON]
    items: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BenchmarkSetRow(Base):
    """The items of a benchmark, named by their digest; versions that answer the same ones can be compared."""

    __tablename__ = "benchmark_sets"

    digest: Mapped[str] = mapped_column(primary_key=True)
    benchmark: Mapped[str]
    name: Mapped[str]
    items: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BenchmarkItemRow(Base):
    """One item, as plain JSON: its facts come from outside, and JSONB refuses some texts."""

    __tablename__ = "benchmark_items"

    set_digest: Mapped[str] = mapped_column(
        ForeignKey("benchmark_sets.digest", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[JSON] = mapped_column(PLAIN_JSON)


class BenchmarkRunRow(Base):
    """One version on one set of items: progress, the lease of the worker that runs it, and the figures.

    There is one for each version, set and settings, so that asking again goes on or finds what was measured.
    """

    __tablename__ = "benchmark_runs"
    __table_args__ = (
        UniqueConstraint("version", "set_digest", "settings_digest"),
        Index(
            "ix_benchmark_runs_active",
            "lease_until",
            postgresql_where=text("status IN ('queued', 'running', 'cancelling')"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    status: Mapped[str]
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    set_digest: Mapped[str] = mapped_column(ForeignKey("benchmark_sets.digest"), index=True)
    settings: Mapped[JSON]
    settings_digest: Mapped[str]
    actor: Mapped[str]
    figures: Mapped[JSON | None] = mapped_column(PLAIN_JSON)
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    enqueued_at: Mapped[datetime | None]
    done: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int]
    note: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BenchmarkOutcomeRow(Base):
    """What a version said about one item: written once, so a run that goes on asks only for the others."""

    __tablename__ = "benchmark_outcomes"

    run_id: Mapped[int] = mapped_column(ForeignKey("benchmark_runs.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    judged: Mapped[JSON] = mapped_column(PLAIN_JSON)
