"""The shapes of rewards' requests and answers."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from judge.judging.rewards import Against, Form, RewardItem
from judge.prompts.guide import Scale
from judge.prompts.transcripts import clean
from service.schemas.base import (
    JudgedBy,
    PinName,
    ScaleItem,
    Strict,
    Text,
    UsageAnswer,
    WithInstruction,
)

MOST_ITEMS = 10_000


class RewardRequestItem(WithInstruction):
    """One response to one instruction. An empty response is one, too: policies write them."""

    response: str
    reference: Text | None = Field(None, description="an answer known to be good")
    rival: Text | None = Field(None, description="with `against: reference`: the response to be better than")
    group: str | int | None = Field(
        None, description="with `against: group`: whose mean to compare with; default: its instruction's"
    )

    def to_item(self) -> RewardItem:
        """The domain's value."""
        instruction, text = self.to_instruction(), clean(self.response)
        return RewardItem(instruction, text, self.reference, self.rival, self.group)


class RewardRequest(JudgedBy):
    """Responses to reward, all by one version and in one way."""

    items: list[RewardRequestItem] = Field(min_length=1, max_length=MOST_ITEMS)
    form: Form = Field(
        "log_odds", description="log-odds or probability that it is good, or the expected rating on `scale`"
    )
    against: Against | None = Field(
        None, description="how much better than its `rival`, or than the mean of its group"
    )
    calibrated: bool = Field(
        False, description="in units of the version's calibration: differences are log-odds of a preference"
    )
    per_criterion: bool = Field(False, description="by each criterion alone, and the weighted mean of these")
    scale: ScaleItem = Field(default_factory=lambda: ScaleItem(low=1, high=5))
    empty: float | None = Field(
        None,
        ge=-1000,
        le=1000,
        description="reward of a response that holds no answer; default: -10, 0, or the scale's lowest",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rating = self.form == "rating"
        if rating and (self.against or self.calibrated):
            raise ValueError("a rating is neither calibrated nor against something; take another `form`")
        if self.per_criterion and not self.has_criteria:
            raise ValueError("`per_criterion` needs criteria: a list as `rubric`, a `scenario` or a `preset`")
        if self.per_criterion and self.against == "reference":
            raise ValueError("`per_criterion` is not offered against a rival")
        if "auto" in (self.scenario, self.language):
            raise ValueError("`auto` is not offered here: all items of a call are rewarded by one prompt")
        return self

    @model_validator(mode="after")
    def _items_are_of_one_kind(self) -> Self:
        for name, wanted in (("rival", self.against == "reference"), ("reference", None)):
            given = {getattr(item, name) is not None for item in self.items}
            if wanted is None and len(given) > 1:
                raise ValueError(f"items: give either all or none of them a `{name}`")
            if wanted is not None and given != {wanted}:
                raise ValueError(f"items: `{name}` goes with `against: reference`, in every item")
        return self

    @property
    def points(self) -> Scale:
        """The domain's scale."""
        return Scale(self.scale.low, self.scale.high)


class CriterionRewardAnswer(BaseModel):
    """The reward by one criterion alone."""

    name: str
    weight: float
    reward: float


class RewardEntry(BaseModel):
    """One item's reward; null, with a reason, where it could not be had."""

    reward: float | None
    outcome: Literal["rewarded", "empty", "invalid"]
    share: float | None = Field(description="the reward between the worst (0) and the best (1)")
    reason: str | None = None
    truncated: bool = Field(False, description="a text was cut in the middle")
    criteria: list[CriterionRewardAnswer] | None = None


class RewardAnswer(BaseModel):
    """Rewards in the order of the items, all from one version."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    rewards: list[RewardEntry]
    form: str
    model_version: str
    prompt_hash: str
    rubric: str | None = None
    usage: UsageAnswer
    latency_ms: float


class PinRequest(Strict):
    """A version to hold. The same name again renews the pin that there is."""

    name: PinName
    version: str | None = Field(None, description="a version or alias; default: the champion")
    ttl_s: int = Field(3600, ge=10, le=7 * 86400, description="seconds it lasts after its last use")


class PinAnswer(BaseModel):
    """A pin."""

    name: str
    version: str
    served: bool = Field(description="whether a reward could be had from it now")
    ttl_s: int
    created_at: datetime
    expires_at: datetime
    tenant: str
    created_by: str


class Bin(BaseModel):
    """Rewards from `low` to below `high`, between the worst (0) and the best (1)."""

    low: float
    high: float
    count: int


class HealthAnswer(BaseModel):
    """How the rewards of one version looked over a time."""

    version: str
    form: str
    rewards: int
    empty: int
    invalid: int
    mean: float | None
    standard_deviation: float | None
    saturated_low: float | None = Field(description="share of rewards below 0.01")
    saturated_high: float | None = Field(description="share of rewards above 0.99")
    length_correlation: list[float] | None = Field(description="[value, low, high] at 95 percent")
    shift: float | None = Field(
        description="population stability index of the last quarter of the time against the rest"
    )
    histogram: list[Bin]
    warnings: list[str]


class HealthReport(BaseModel):
    """Reward health by version and form."""

    hours: float
    versions: list[HealthAnswer]
