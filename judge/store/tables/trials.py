"""Candidates on live traffic."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import Base


class TrialRow(Base):
    """A candidate on live traffic, as shadow or canary. It goes on while its iteration has that status."""

    __tablename__ = "trials"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    mode: Mapped[str]
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    champion: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    # `passed`, `refused` or `stopped`, and why; none while it goes on.
    outcome: Mapped[str | None]
    reason: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class TrialDecisionRow(Base):
    """One live comparison that champion and candidate have both judged, or one of them alone."""

    __tablename__ = "trial_decisions"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("trials.iteration_id", ondelete="CASCADE"), primary_key=True
    )
    decision_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    answered_by: Mapped[str]
    champion_verdict: Mapped[str | None]
    candidate_verdict: Mapped[str | None]
    champion_probability_a: Mapped[float | None] = mapped_column(Float)
    candidate_probability_a: Mapped[float | None] = mapped_column(Float)
    champion_ms: Mapped[float | None] = mapped_column(Float)
    candidate_ms: Mapped[float | None] = mapped_column(Float)
    # Why the candidate gave no verdict at all.
    failure: Mapped[str | None]
