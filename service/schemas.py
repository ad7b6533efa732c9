"""The shapes of requests and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from judge.comparison import Comparison, Instruction, Message, flaw
from judge.profiles import Profile
from judge.rubrics import Language
from judge.voting import Mode, Stopping


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


class CriterionItem(Strict):
    """One criterion of a custom rubric."""

    name: Annotated[Text, Field(max_length=200)]
    description: Annotated[Text, Field(max_length=2000)]
    weight: float = Field(1.0, gt=0, le=100)


class ScaleItem(Strict):
    """A rating scale of whole numbers."""

    low: int = Field(1, ge=0, le=100)
    high: int = Field(10, ge=1, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError("`low` must be below `high`")
        return self


class JudgedBy(Strict):
    """What responses are judged by, and which version judges."""

    rubric: Text | Annotated[list[CriterionItem], Field(min_length=1, max_length=20)] | None = Field(
        None, description="what to judge by, in place of the general criteria"
    )
    scenario: str | None = Field(
        None, description="judge by the criteria of a kind of instruction; `auto`: the one that is detected"
    )
    preset: str | None = Field(None, description="judge by a ready rubric, such as `code-review`")
    language: Language | Literal["auto"] = Field(
        "en", description="of the judge's prompt; `auto`: the instruction's"
    )
    long_texts: Literal["cut", "refuse"] = Field(
        "cut", description="texts that do not fit the context lose their middle, or are refused with 422"
    )
    version: str | None = Field(None, description="a version or alias to insist on")

    @model_validator(mode="after")
    def _one_rubric(self) -> Self:
        given = [name for name in ("rubric", "scenario", "preset") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(given)}, not several")
        return self

    @property
    def has_criteria(self) -> bool:
        """Whether there are criteria that can be judged one by one."""
        return isinstance(self.rubric, list) or bool(self.scenario or self.preset)


class Guided(WithInstruction, JudgedBy):
    """An instruction, and what its responses are judged by."""

    reference: Text | None = Field(None, description="an answer known to be good")


class JudgeOptions(Guided):
    """What both kinds of judgment share."""

    votes: int | None = Field(
        None, ge=1, le=32, description="judgments per order; reasoning: 1, greedy; cascade: up to 16"
    )
    seed: int | None = Field(None, ge=0, lt=2**31, description="seed of the votes")
    rationale_tokens: int | None = Field(
        None, ge=16, le=4096, description="longest rationale or critique, in tokens; default: 512"
    )
    cache: bool = Field(True, description="an equal judgment made before may answer")


class PairwiseRequest(JudgeOptions):
    """Two responses to one instruction."""

    response_a: Text
    response_b: Text
    mode: Mode = Field("cascade", description="label probabilities, written judgments, or first the one")
    strategy: Literal["pairwise", "pointwise"] | None = Field(
        None, description="what the direct mode reads; default: what the version is best at"
    )
    stopping: Stopping = Field(
        "fixed", description="when votes stop: all are cast, the leader cannot be caught, or 0.95 sure"
    )
    threshold: float | None = Field(
        None, ge=0.5, le=1, description="cascade: confidence that needs no reasoning; default: the version's"
    )
    allow_tie: bool = True
    stream: bool = Field(
        False, description="reasoning, one vote: server-sent events, the rationale as written"
    )

    @model_validator(mode="after")
    def _streams_one_vote(self) -> Self:
        if self.stream and (self.mode != "reasoning" or self.votes not in (None, 1)):
            raise ValueError("`stream` needs mode `reasoning` with one vote")
        return self

    def to_comparison(self) -> Comparison:
        """The domain's value."""
        return Comparison(self.to_instruction(), self.response_a, self.response_b)


class SingleRequest(JudgeOptions):
    """One response to one instruction."""

    response: Text
    mode: Literal["direct", "reasoning"] = "direct"
    scale: ScaleItem = Field(default_factory=ScaleItem)
    per_criterion: bool = Field(
        False, description="rate by each criterion of the rubric alone; the rating is their weighted mean"
    )
    suggestions: bool = Field(False, description="name up to three improvements")

    @model_validator(mode="after")
    def _has_criteria(self) -> Self:
        if self.per_criterion and not self.has_criteria:
            raise ValueError("`per_criterion` needs criteria: a list as `rubric`, a `scenario` or a `preset`")
        return self


class UsageAnswer(BaseModel):
    """Tokens that the backend read and wrote."""

    prompt_tokens: int
    completion_tokens: int
    retries: int = Field(0, description="second attempts: a lost connection, a judgment without a verdict")


class Traced(BaseModel):
    """What every judgment's answer ends with: which model and prompt made it, and what it took."""

    model_config = ConfigDict(protected_namespaces=())

    mode: str
    model_version: str
    prompt_hash: str
    usage: UsageAnswer
    truncated: bool = Field(description="a text was cut in the middle")
    language: str = Field("en", description="of the prompt")
    rubric: str | None = Field(
        None, description="`custom`, `scenario:NAME` or `preset:NAME`; null: general criteria"
    )
    cached: bool = Field(False, description="answered from an equal judgment made before")
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
    path: str = Field(description="how it was decided: `check`, `direct` or `reasoning`")
    direct_probability_a: float | None = Field(
        None, description="cascade: what the direct mode gave before the votes were cast"
    )


class CriterionAnswer(BaseModel):
    """The rating by one criterion alone."""

    name: str
    weight: float
    rating: float | None
    critique: str | None
    reason: str | None


class SingleAnswer(Traced):
    """A rating."""

    id: str
    rating: float | None
    outcome: Literal["rated", "invalid"]
    reason: str | None = None
    critique: str | None
    criteria: list[CriterionAnswer] = Field(default_factory=list)
    suggestions: list[str] = Field(default_factory=list)
    scale: ScaleItem


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
    near_duplicates: int = 0
    quarantined: list[Rejected] = Field(default_factory=list)
    rejected: list[Rejected]


class IterationRequest(Strict):
    """An iteration to start, or with `times` a campaign of several in a row.

    `profile`: default by the seed model's size, `paper` from 7B on, else `full`.
    """

    profile: Profile | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    times: int = Field(1, ge=1, le=100)


class CampaignAnswer(BaseModel):
    """The campaign that an iteration is one of; `ordinal` counts from 1."""

    id: int
    status: str
    times: int
    ordinal: int
    reason: str | None


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


class DropAnswer(BaseModel):
    """Something that came of an instruction and was left out."""

    instruction_id: int
    step: str
    reason: str


class DropsAnswer(BaseModel):
    """A page of them, and where the next one begins."""

    drops: list[DropAnswer]
    next: int | None


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
