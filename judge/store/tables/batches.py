"""Batches of judgments, and their lines."""

from datetime import datetime

from sqlalchemy import JSON as PLAIN_JSON
from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import JSON, Base


class BatchRow(Base):
    """Many judgments asked for at once: its progress, and the lease of the gateway that works on it."""

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("tenant", "idempotency_key"),
        Index("ix_batches_tenant_created_at", "tenant", "created_at"),
        Index(
            "ix_batches_active",
            "lease_until",
            postgresql_where=text("status IN ('validating', 'in_progress', 'cancelling')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    created_by: Mapped[str]
    status: Mapped[str]
    total: Mapped[int] = mapped_column(server_default=text("0"))
    completed: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    lease_until: Mapped[datetime | None]
    lease_holder: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    content_sha256: Mapped[str]
    # `metadata` is taken in SQLAlchemy's classes.
    labels: Mapped[JSON] = mapped_column("metadata", server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    cancelling_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BatchLineRow(Base):
    """One line of a batch. Without a `status_code` it has no result yet; with one, `body` is gone.

    Body and answer are JSON and not JSONB: they are passed through, never searched, and JSONB refuses texts
    that a line may well hold (an escaped NUL, half a surrogate pair), for which the line alone has to fail.
    """

    __tablename__ = "batch_lines"

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    custom_id: Mapped[str]
    url: Mapped[str]
    body: Mapped[JSON | None] = mapped_column(PLAIN_JSON)
    status_code: Mapped[int | None]
    answer: Mapped[JSON | None] = mapped_column(PLAIN_JSON)
