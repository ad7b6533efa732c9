"""The shapes of rankings' requests and answers."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from judge.judging.meetings import Item
from service.schemas.base import Guided, Strict, Text, Traced, WithInstruction

MethodName = Literal["pointwise", "tournament"]
SystemName = Annotated[str, StringConstraints(pattern=r"^[^\x00]*\S[^\x00]*$", max_length=100)]
Version = Annotated[str | None, Field(description="a version or alias to insist on")]
Seed = Annotated[int, Field(ge=0, lt=2**31, description="seed of the schedule and the intervals")]


class RankRequest(Guided):
    """Responses to one instruction."""

    responses: list[Text] = Field(min_length=2, max_length=64)
    method: MethodName = "pointwise"
    top_k: int | None = Field(None, ge=1, description="how many of the best to name; default: all")
    seed: Seed = 0

    @field_validator("top_k")
    @classmethod
    def _no_more_than_there_are(cls, top_k: int | None, info: ValidationInfo) -> int | None:
        responses = info.data.get("responses")
        if top_k is not None and responses is not None and top_k > len(responses):
            raise ValueError(f"there are {len(responses)} responses")
        return top_k


class RankedResponse(Strict):
    """A response's place. Its interval is None where there is nothing to draw one from.

    A response that could not be judged stands last, without a rank, and says why.
    """

    index: int
    rank: int | None = Field(None, description="1 is the best; equal scores share a rank and use up the next")
    score: float | None = Field(
        None, description="log-odds: the reward (pointwise), or the strength (tournament)"
    )
    low: float | None = None
    high: float | None = None
    reason: str | None = Field(None, description="why it has no rank")


class RankAnswer(Traced):
    """Responses from the best down."""

    id: str
    method: MethodName
    ranking: list[RankedResponse]
    best: int | None = Field(description="null where no response could be judged")
    top_k: list[int]


class SystemsItem(WithInstruction):
    """An instruction and the responses of the systems that answered it."""

    responses: dict[SystemName, Text] = Field(min_length=1, max_length=16)


class RankSystemsRequest(Strict):
    """What several systems answered to many instructions."""

    items: list[SystemsItem] = Field(min_length=1, max_length=200)
    method: MethodName = "pointwise"
    version: Version = None
    seed: Seed = 0

    @field_validator("items")
    @classmethod
    def _two_to_sixteen_systems(cls, items: list[SystemsItem]) -> list[SystemsItem]:
        names = {name for item in items for name in item.responses}
        if not 2 <= len(names) <= 16:
            raise ValueError(f"there must be 2 to 16 systems, not {len(names)}")
        return items

    def to_items(self) -> list[Item]:
        """The domain's values."""
        return [
            Item(item.to_instruction(), item.responses, f"items.{number}.responses")
            for number, item in enumerate(self.items)
        ]


class Tally(Strict):
    """How often a system was the better one, the worse one, or neither."""

    wins: int = 0
    losses: int = 0
    ties: int = 0


class RankedSystem(Strict):
    """A system's place. `against`: the same tally for each other system."""

    system: str
    rank: int | None = None
    score: float | None = Field(
        None, description="log-odds: the mean reward (pointwise), or the strength (tournament)"
    )
    low: float | None = None
    high: float | None = None
    reason: str | None = Field(None, description="why it has no rank")
    items: int
    wins: int = 0
    losses: int = 0
    ties: int = 0
    against: dict[str, Tally] = Field(default_factory=dict)


class RankSystemsAnswer(Traced):
    """Systems from the best down."""

    id: str
    method: MethodName
    ranking: list[RankedSystem]
    best: str | None
