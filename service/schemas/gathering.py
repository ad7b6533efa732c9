"""The shapes of what decides about the pool: quarantine, tenants' terms, protected texts."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.schemas.base import Strict


class Quarantined(BaseModel):
    """An instruction that is kept apart."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    kind: str
    reason: str
    tenant: str
    source: str
    language: str | None
    created_at: datetime
    quarantined_at: datetime
    messages: list[dict[str, Any]]
    response: str | None


class QuarantineAnswer(BaseModel):
    """A page of the quarantine, oldest first, and how many there are of each kind."""

    counts: dict[str, int]
    quarantined: list[Quarantined]


class QuarantineRequest(Strict):
    """Which of them: by id, or all of a kind."""

    ids: list[int] = Field(default_factory=list, max_length=10_000)
    kind: Literal["contaminated", "flood", "planted"] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.ids) == (self.kind is not None):
            raise ValueError("give either `ids` or `kind`")
        return self


class Count(BaseModel):
    """How many it was done to."""

    count: int


class TenantTerms(Strict):
    """What a tenant has agreed to; null leaves a value to the processes' settings, 0 means without limit."""

    capture: bool
    daily_instructions: int | None = Field(None, ge=0)
    retention_days: int | None = Field(None, ge=0)


class Tenant(TenantTerms):
    """A tenant with terms of its own."""

    name: str


class ProtectedSet(BaseModel):
    """Texts that are never trained on: an anchor set (it begins with `anchors `) or a benchmark."""

    name: str
    items: int
