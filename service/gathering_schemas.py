"""The shapes of what is told and asked about the pool of instructions."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from judge.comparison import Instruction
from service.schemas import ChatMessage, InstructionsAnswer, Strict, Text


class TracesAnswer(InstructionsAnswer):
    """What became of the traces; indexes are those of lines, from 0. `skipped` lines ask no question."""

    skipped: int


class StoredInstruction(BaseModel):
    """An instruction of the pool."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    digest: str
    tenant: str
    source: str
    language: str | None
    created_at: datetime
    near_duplicates: int
    messages: list[dict[str, Any]]


class StoredInstructions(BaseModel):
    """A page of the pool, oldest first; `after` asks for the next."""

    instructions: list[StoredInstruction]


class ForgetRequest(Strict):
    """What to delete: by id, by digest, by the words themselves, or all of a tenant."""

    ids: list[int] = Field(default_factory=list, max_length=10_000)
    digests: list[str] = Field(default_factory=list, max_length=10_000)
    text: Text | None = None
    messages: list[ChatMessage] | None = Field(None, min_length=1, max_length=200)
    tenant: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.ids or self.digests or self.text or self.messages or self.tenant):
            raise ValueError("give `ids`, `digests`, `text`, `messages` or `tenant`")
        return self

    def to_instructions(self) -> list[Instruction]:
        """The instructions that were given in words."""
        spoken = [Instruction.of(self.text)] if self.text else []
        if self.messages:
            spoken.append(Instruction.from_json([turn.model_dump() for turn in self.messages]))
        return spoken


class ForgetAnswer(BaseModel):
    """What was deleted; `versions` were trained with it, and cannot be made to forget."""

    model_config = ConfigDict(from_attributes=True)

    instructions: int
    quarantined: int
    responses: int
    pairs: int
    iterations: list[int]
    versions: list[str]


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
