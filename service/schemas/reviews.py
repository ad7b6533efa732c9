"""The shapes of `/review` and `/admin/reviews`. Figures are [value, low, high] at 95 percent."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Strict

Interval = list[float]
Items = Annotated[
    Literal["random", "all"], Query(description="the random sample, or also what was chosen as difficult")
]


class ClaimRequest(Strict):
    """What a reviewer wants next: of the random sample, or where the judge disagreed with itself."""

    order: Literal["priority", "random"] = "priority"


class Progress(BaseModel):
    """What is left for a reviewer in either order, and what they have done."""

    priority: int
    random: int
    answered: int
    skipped: int


class ReviewItem(BaseModel):
    """A comparison for a person; which response is A was drawn for this reviewer."""

    id: str
    messages: list[dict[str, str]]
    response_a: str
    response_b: str
    lease_s: int = Field(description="seconds in which an answer is waited for")


class ClaimAnswer(BaseModel):
    """The next item, or null where there is none in that order."""

    item: ReviewItem | None
    progress: Progress


class AnswerRequest(Strict):
    """What a reviewer says about the two responses as they were shown."""

    answer: Literal["a", "b", "tie", "both_bad", "skip"]


class RaterAgreement(BaseModel):
    """Agreement of two raters; kappa is null where it is not defined."""

    items: int
    agreement: Interval | None
    kappa: Interval | None


class PairAgreement(RaterAgreement):
    """Agreement of two people."""

    reviewers: list[str]


class PeopleAgreement(BaseModel):
    """Agreement among people, on items that at least two answered."""

    items: int
    agreement: Interval | None
    alpha: Interval | None


class AgreementAnswer(BaseModel):
    """How far people agree with each other, and with each version."""

    reviewed: int
    people: PeopleAgreement
    reviewers: list[PairAgreement]
    versions: dict[str, RaterAgreement]


class AccuracyAnswer(BaseModel):
    """How often a version says what people say; `power` is how much its predictions count."""

    model_config = ConfigDict(protected_namespaces=())

    version: str
    items: int
    labeled: int
    accuracy: Interval
    labels_alone: Interval
    power: float


class AddedAnswer(BaseModel):
    """How many pairs came in; the others are known, or an iteration has worked with their instruction."""

    added: int
    left_out: int


class JudgeRequest(Strict):
    """How many items a version shall judge now; without a version the champion does."""

    version: str | None = None
    limit: int = Field(50, ge=1, le=500)
    tenant: str | None = Field(None, description="whose reviews; default: those of the key's tenant")


class JudgeAnswer(BaseModel):
    """How many it has judged, and whether there may be more."""

    version: str
    judged: int
    more: bool


class AnchorsRequest(Strict):
    """The anchor set to make, and how many reviewers a label needs."""

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
    reviewers: int = Field(2, ge=1, le=20)
    source: str | None = Field(None, description="only of pairs from there")
    tenant: str | None = Field(None, description="whose reviews; default: those of the key's tenant")


class DriftAnswer(BaseModel):
    """Every stream of decisions (a version, kind and mode) with its changes, and the alarms among them."""

    alarms: list[dict[str, Any]]
    streams: list[dict[str, Any]]
