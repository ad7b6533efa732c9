"""What the service answered, and the counts in which drift shows."""

from datetime import datetime

from sqlalchemy import Boolean, Float, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import JSON, Base


class DecisionRow(Base):
    """What the service answered. Texts are not kept: the digests say what it was about.

    `flipped`: whether the two orders named different responses, null where they did not both decide.
    `level`: the rating on its scale, from 0 to 1.
    """

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_stream_at", "model_version", "kind", "mode", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    kind: Mapped[str]
    tenant: Mapped[str]
    mode: Mapped[str]
    strategy: Mapped[str | None]
    model_version: Mapped[str]
    prompt_hash: Mapped[str]
    instruction_digest: Mapped[str]
    verdict: Mapped[str]
    reason: Mapped[str | None]
    probability_a: Mapped[float | None] = mapped_column(Float)
    flipped: Mapped[bool | None] = mapped_column(Boolean)
    rating: Mapped[float | None] = mapped_column(Float)
    level: Mapped[float | None] = mapped_column(Float)
    votes: Mapped[JSON]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    latency_ms: Mapped[float] = mapped_column(Float)


class RewardAnswerRow(Base):
    """An answer that was given under an `Idempotency-Key`, for whoever asks the same again."""

    __tablename__ = "reward_answers"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    answer: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class DriftWindowRow(Base):
    """The decisions of one kind, mode and version in a stretch of time, counted (`drift.Counts`)."""

    __tablename__ = "drift_windows"

    model_version: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    counts: Mapped[JSON]
