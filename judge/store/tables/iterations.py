"""Iterations with their stages, and what begins them: campaigns and the schedule."""

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import JSON, Base


class IterationRow(Base):
    """One pass of the loop. At most one is active, which an index over a constant guarantees."""

    __tablename__ = "iterations"
    __table_args__ = (
        Index(
            "uq_iterations_active",
            text("(true)"),
            unique=True,
            postgresql_where=text("status IN ('queued', 'running', 'cancelling')"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    status: Mapped[str]
    stage: Mapped[str | None]
    profile: Mapped[str]
    settings: Mapped[JSON]
    seed_version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    judged_by: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    candidate: Mapped[str | None]
    counts: Mapped[JSON] = mapped_column(server_default=text("'{}'::jsonb"))
    gate: Mapped[JSON | None]
    error: Mapped[str | None]
    actor: Mapped[str]
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("campaigns.id"), index=True)
    scheduled: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class StageRow(Base):
    """One stage of an iteration: its progress, and the lease of the worker that runs it."""

    __tablename__ = "stages"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    enqueued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    done: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int] = mapped_column(server_default=text("0"))
    # Since when this worker counts, and from where on: its pace, without loading and what others had done.
    counted_at: Mapped[datetime | None]
    counted_from: Mapped[int] = mapped_column(server_default=text("0"))
    note: Mapped[str | None]
    error: Mapped[str | None]


class CampaignRow(Base):
    """Several iterations in a row. At most one is running."""

    __tablename__ = "campaigns"
    __table_args__ = (
        Index(
            "uq_campaigns_running", text("(true)"), unique=True, postgresql_where=text("status = 'running'")
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    status: Mapped[str]
    times: Mapped[int]
    profile: Mapped[str]
    settings: Mapped[JSON]
    reason: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class ScheduleRow(Base):
    """When iterations begin by themselves. There is one row, or none."""

    __tablename__ = "schedule"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cron: Mapped[str | None]
    every: Mapped[int | None]
    profile: Mapped[str]
    settings: Mapped[JSON]
    actor: Mapped[str]
    served_until: Mapped[datetime]
    last_instruction: Mapped[int]
    # The latest iteration when it was set, and why it begins none any more.
    after_iteration: Mapped[int] = mapped_column(server_default=text("0"))
    stopped: Mapped[str | None]
