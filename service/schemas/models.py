"""The shapes of model versions, the pointer, and a candidate's trial."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from service.schemas.base import Strict


class VersionAnswer(BaseModel):
    """A model version."""

    id: str
    origin: str
    created_at: datetime
    strategy: str
    metrics: dict[str, Any]


class ModelsAnswer(BaseModel):
    """Who serves, and what there is."""

    champion: str | None
    previous: str | None
    candidate: str | None
    versions: list[VersionAnswer]


class PointerAnswer(BaseModel):
    """The pointer after a change."""

    champion: str
    previous: str | None


class RejectRequest(Strict):
    """A person's no to a candidate."""

    reason: str = Field("", max_length=2000)


class TallyAnswer(BaseModel):
    """How often something happened; the rate is [value, low, high] at 95 percent."""

    successes: int
    trials: int
    rate: list[float] | None


class TrialAnswer(BaseModel):
    """What a candidate did on live traffic, beside the champion."""

    iteration: int
    mode: str
    status: str = Field(description="of the iteration")
    candidate: str
    champion: str
    decisions: int
    wanted: int
    verdicts: dict[str, dict[str, int]] = Field(description="champion's verdict to candidate's to how often")
    flips: TallyAnswer = Field(description="turned from one response to the other, where both decided")
    invalid: TallyAnswer
    ties: TallyAnswer
    moved: float | None = Field(description="mean absolute change of P(A is better)")
    champion_ms: float | None = Field(description="median time of a decision")
    candidate_ms: float | None
    timed: int
    outcome: str | None = Field(description="`passed`, `refused` or `stopped`; null while it goes on")
    reason: str | None
    started_at: datetime
    finished_at: datetime | None
