"""Comparisons that people judge, and what they and the versions say."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Float, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import Base


class ReviewItemRow(Base):
    """A comparison that people judge; each pair of texts is there once for a tenant.

    `probability`: with which it came into the random sample; null for one that was chosen for what the judge
    made of it. `place`: uniform on [0, 1), the order in which the sample is offered. The next three say how
    the judge disagreed with itself, and `uncertainty` (0 to 1) how near its probability was to one half.
    """

    __tablename__ = "review_items"
    __table_args__ = (
        UniqueConstraint("tenant", "content_digest"),
        Index("ix_review_items_tenant_source", "tenant", "source"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    source: Mapped[str]
    name: Mapped[str | None]
    decision_id: Mapped[str | None] = mapped_column(index=True)
    content_digest: Mapped[str]
    instruction_digest: Mapped[str] = mapped_column(index=True)
    messages: Mapped[list[Any]]
    response_a: Mapped[str]
    response_b: Mapped[str]
    probability: Mapped[float | None] = mapped_column(Float)
    place: Mapped[float] = mapped_column(Float)
    orders_differ: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    votes_differ: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    versions_differ: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    uncertainty: Mapped[float] = mapped_column(Float, server_default=text("0"))
    wanted: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReviewRow(Base):
    """One person's look at an item: a lease until there is an answer, which is about the item's own A and B.

    `seed` decides which response was shown as A; null for an answer that came with a file.
    """

    __tablename__ = "reviews"

    item_id: Mapped[str] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"), primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    seed: Mapped[int | None]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    answer: Mapped[str | None]
    answered_at: Mapped[datetime | None]


class ReviewVerdictRow(Base):
    """What a model version says about an item."""

    __tablename__ = "review_verdicts"

    item_id: Mapped[str] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"), primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    verdict: Mapped[str]
    probability_a: Mapped[float | None] = mapped_column(Float)
