"""The shapes of `/instructions`: what comes into the pool, is in it, and leaves it."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from judge.comparison import Instruction
from service.schemas.base import ChatMessage, Strict, Text, WithInstruction


class InstructionItem(WithInstruction):
    """An unlabeled instruction, and what a model in production answered to it, if that was logged."""

    response: Text | None = None
    source: str = Field("api", max_length=200)
    language: str | None = Field(None, max_length=20)


class InstructionsRequest(Strict):
    """Instructions to bring in."""

    instructions: list[InstructionItem] = Field(max_length=5000)


class Rejected(BaseModel):
    """An instruction that was not taken, and why."""

    index: int
    reason: str


class InstructionsAnswer(BaseModel):
    """What became of the instructions."""

    accepted: int
    duplicates: int
    near_duplicates: int = 0
    quarantined: list[Rejected] = Field(default_factory=list)
    rejected: list[Rejected]


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
    response: str | None


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
