"""The shapes of `/judge/pairwise` and `/judge/single`."""

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from judge.comparison import Comparison
from judge.judging.voting import Mode, Stopping
from service.schemas.base import Guided, ScaleItem, Text, Traced


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
    rating_from: Literal["yes", "scale"] = Field(
        "yes",
        description="direct: the scale's point at the probability of Yes (is it good?), or the mean of the "
        "scale's points under their probabilities",
    )
    per_criterion: bool = Field(
        False, description="rate by each criterion of the rubric alone; the rating is their weighted mean"
    )
    suggestions: bool = Field(False, description="name up to three improvements")
    stream: bool = Field(
        False, description="reasoning, one vote: server-sent events, the critique as written"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream and (self.mode != "reasoning" or self.votes not in (None, 1) or self.per_criterion):
            raise ValueError("`stream` needs mode `reasoning` with one vote, and one critique")
        if self.rating_from == "scale" and self.mode != "direct":
            raise ValueError("`rating_from` is for the mode `direct`")
        if self.per_criterion and not self.has_criteria:
            raise ValueError("`per_criterion` needs criteria: a list as `rubric`, a `scenario` or a `preset`")
        return self


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
    path: str = Field(description="how it was rated: `check`, `direct` or `reasoning`")
