"""What goes to the service and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Messages = Sequence[dict[str, str]]
Outcome = Literal["rewarded", "empty", "invalid"]


@dataclass(frozen=True)
class Item:
    """A response to reward.

    `instruction` is a text, or chat messages of which the last is the user's. `rival` is the response to be
    better than (`against="reference"`), `group` what it is compared within (`against="group"`).
    """

    instruction: str | Messages
    response: str
    reference: str | None = None
    rival: str | None = None
    group: str | int | None = None

    def to_json(self) -> dict[str, Any]:
        """As the service takes it."""
        optional = {"reference": self.reference, "rival": self.rival, "group": self.group}
        return {
            **asked(self.instruction),
            "response": self.response,
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True)
class Reward:
    """One item's reward; None, with a `reason`, where it could not be had. `share` runs from 0 to 1."""

    reward: float | None
    outcome: Outcome
    share: float | None
    reason: str | None = None
    truncated: bool = False
    criteria: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "Reward":
        """As the service gives it."""
        return cls(
            entry["reward"],
            entry["outcome"],
            entry.get("share"),
            entry.get("reason"),
            bool(entry.get("truncated")),
            {part["name"]: part["reward"] for part in entry.get("criteria") or []},
        )


@dataclass(frozen=True)
class Rewards:
    """Rewards in the order of the items, all from one model version."""

    rewards: list[Reward]
    model_version: str
    prompt_hash: str

    @property
    def numbers(self) -> list[float | None]:
        """The rewards alone."""
        return [one.reward for one in self.rewards]


@dataclass(frozen=True)
class Decision:
    """Which of two responses is better; `probability_a` is None where no verdict could be had."""

    verdict: Literal["a", "b", "tie", "invalid"]
    probability_a: float | None
    model_version: str
    rationale: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Pin:
    """A version that is held for a run."""

    name: str
    version: str
    served: bool
    expires_at: str


def asked(instruction: str | Messages) -> dict[str, Any]:
    """An instruction under the name that fits its kind."""
    if isinstance(instruction, str):
        return {"instruction": instruction}
    return {"messages": list(instruction)}
