"""The shapes of requests and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from judge.comparison import Comparison, Instruction, Message, flaw
from judge.profiles import Profile


def _sound(text: str) -> str:
    if reason := flaw(text):
        raise ValueError(reason)
    return text


Text = Annotated[str, AfterValidator(_sound)]


class Strict(BaseModel):
    """A request in which unknown fields are errors, so that a misspelt option is never ignored."""

    model_config = ConfigDict(extra="forbid")


class ChatMessage(Strict):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: Text


class WithInstruction(Strict):
    """An instruction: a text, or messages of which the last is the user's."""

    instruction: Text | None = None
    messages: list[ChatMessage] | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.instruction is None) == (self.messages is None):
            raise ValueError("give either `instruction` or `messages`")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("messages: the last message must be the user's")
        return self

    def to_instruction(self) -> Instruction:
        """The domain's value."""
        if self.instruction is not None:
            return Instruction.of(self.instruction)
        return Instruction(tuple(Message(m.role, m.content) for m in self.messages or []))


class JudgeOptions(WithInstruction):
    """What both kinds of judgment share."""

    mode: Literal["direct", "reasoning"] = "direct"
    votes: int = Field(1, ge=1, le=32, description="judgments per order, reasoning mode; 1 is greedy")
    version: str | None = Field(None, description="a version or alias to insist on")
    seed: int | None = Field(None, ge=0, lt=2**31, description="seed of the votes")


class PairwiseRequest(JudgeOptions):
    """Two responses to one instruction."""

    response_a: Text
    response_b: Text
    allow_tie: bool = True

    def to_comparison(self) -> Comparison:
        """The domain's value."""
        return Comparison(self.to_instruction(), self.response_a, self.response_b)


class SingleRequest(JudgeOptions):
    """One response to one instruction."""

    response: Text


class UsageAnswer(BaseModel):
    """Tokens that the backend read and wrote."""

    prompt_tokens: int
    completion_tokens: int


class Traced(BaseModel):
    """What every judgment's answer ends with: which model and prompt made it, and what it took."""

    model_config = ConfigDict(protected_namespaces=())

    mode: str
    model_version: str
    prompt_hash: str
    usage: UsageAnswer
    truncated: bool = Field(description="a text was cut in the middle, as in this version's training")
    latency_ms: float


class OrderAnswer(BaseModel):
    """The result with one response shown first."""

    first: Literal["a", "b"]
    verdict: str
    probability_a: float | None


class PairwiseAnswer(Traced):
    """A decision."""

    id: str
    verdict: Literal["a", "b", "tie", "invalid"]
    reason: str | None = None
    probability_a: float | None
    rationale: str | None
    orders: list[OrderAnswer]
    votes: dict[str, int]
    strategy: str | None = Field(description="what the direct mode read: `pairwise` or `pointwise`")


class SingleAnswer(Traced):
    """A rating."""

    id: str
    rating: float | None
    outcome: Literal["rated", "invalid"]
    reason: str | None = None
    critique: str | None


class InstructionItem(WithInstruction):
    """An unlabeled instruction."""

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
    rejected: list[Rejected]


class IterationRequest(Strict):
    """An iteration to start."""

    profile: Profile = "full"
    settings: dict[str, Any] = Field(default_factory=dict)


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


class IterationAnswer(BaseModel):
    """An iteration."""

    id: int
    status: str
    stage: str | None
    profile: str
    stages: list[StageAnswer]
    counts: dict[str, Any]
    judged_by: str
    seed_version: str
    candidate: str | None
    gate: dict[str, Any] | None
    evaluations: list[EvaluationAnswer]
    error: str | None
    created_at: datetime
    finished_at: datetime | None


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
