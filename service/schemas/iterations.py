"""The shapes of iterations, and of the schedule and the campaigns that begin them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from judge.teaching.profiles import Profile
from service.schemas.base import Strict


class IterationRequest(Strict):
    """An iteration to start, or with `times` a campaign of several in a row.

    `profile`: default by the seed model's size, `paper` from 7B on, else `full`.
    """

    profile: Profile | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    times: int = Field(1, ge=1, le=100)


class ScheduleRequest(Strict):
    """When iterations begin by themselves: by `cron` (five fields, UTC), or `every` so many instructions.

    `profile`: default by the seed model's size, as for an iteration.
    """

    cron: str | None = None
    every: int | None = Field(None, ge=1)
    profile: Profile | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class ScheduleAnswer(BaseModel):
    """The schedule; `next_at` belongs to `cron`, `new_instructions` counts towards `every`.

    `stopped`: why it begins no more iterations, and what to do; none while it does.
    """

    cron: str | None
    every: int | None
    profile: str
    settings: dict[str, Any]
    next_at: datetime | None
    new_instructions: int
    stopped: str | None


class CampaignAnswer(BaseModel):
    """The campaign that an iteration is one of; `ordinal` counts from 1."""

    id: int
    status: str
    times: int
    ordinal: int
    reason: str | None


class StageAnswer(BaseModel):
    """How far a stage is."""

    name: str
    status: str
    done: int
    total: int
    note: str | None
    eta_s: float | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


class EvaluationAnswer(BaseModel):
    """One version on one set of labeled pairs; shares are [value, low, high] at 95 percent."""

    role: str
    dataset: str
    strategy: str
    metrics: dict[str, Any]


class FunnelStep(BaseModel):
    """How many came into a step, how many were dropped by reason, how many are left."""

    stage: str
    step: str
    came_in: int
    dropped: dict[str, int]
    kept: int


class IterationAnswer(BaseModel):
    """An iteration."""

    id: int
    status: str
    stage: str | None
    profile: str
    stages: list[StageAnswer]
    counts: dict[str, Any]
    funnel: list[FunnelStep]
    judged_by: str
    seed_version: str
    candidate: str | None
    gate: dict[str, Any] | None
    evaluations: list[EvaluationAnswer]
    error: str | None
    campaign: CampaignAnswer | None
    created_at: datetime
    finished_at: datetime | None


class DropAnswer(BaseModel):
    """Something that came of an instruction and was left out."""

    instruction_id: int
    step: str
    reason: str


class DropsAnswer(BaseModel):
    """A page of them, and where the next one begins."""

    drops: list[DropAnswer]
    next: int | None
