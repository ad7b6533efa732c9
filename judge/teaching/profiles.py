"""What one iteration does: its sizes and settings, in presets that a request may override."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from judge.errors import Fault, InvalidInput
from judge.pairs.classification import Category, Length, complexity_range
from judge.pairs.selection import Quotas

Profile = Literal["smoke", "small", "full", "paper"]
Related = Literal["mix", "modified", "neighbor", "auto"]


# Of the strategies of `judge.pairs.strategies`, those that only instructions with logged responses serve.
OF_LOGS = ("logged", "later")


class PairMix(BaseModel):
    """Shares of the pairs' strategies (`judge.pairs.strategies`), scaled to sum to 1; a missing one is 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neighbor: float = Field(0, ge=0)
    modified: float = Field(0, ge=0)
    random: float = Field(0, ge=0)
    hotter: float = Field(0, ge=0)
    logged: float = Field(0, ge=0)
    later: float = Field(0, ge=0)
    requirement: float = Field(0, ge=0)
    shortened: float = Field(0, ge=0)
    corrupted: float = Field(0, ge=0)
    substituted: float = Field(0, ge=0)
    spliced: float = Field(0, ge=0)
    renumbered: float = Field(0, ge=0)
    repeating: float = Field(0, ge=0)
    incomplete: float = Field(0, ge=0)
    broken_off: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _has_a_share(self) -> "PairMix":
        if not any(self.model_dump().values()):
            raise ValueError("at least one strategy needs a share above 0")
        return self


# For a few hundred pairs: few of them need a second text by the generator. Not every instruction has a logged
# response: those that have make little else, the others the rest.
_ON_TOPIC = PairMix(
    logged=2.0, requirement=0.40, neighbor=0.24, modified=0.10, random=0.08, incomplete=0.09, shortened=0.09
)  # fmt: skip


def _at_most_one(shares: dict[Any, float]) -> dict[Any, float]:
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError("the shares must not add up to more than 1")
    return shares


def _ranges(shares: dict[str, float]) -> dict[str, float]:
    levels = [level for name in shares for level in complexity_range(name)]
    if len(levels) != len(set(levels)):
        raise ValueError("the ranges must not overlap")
    return shares


Share = Annotated[float, Field(ge=0, le=1)]


class QuotaSettings(BaseModel):
    """Largest shares of the selection, by value; the values that are not named share the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: Annotated[dict[Category, Share], AfterValidator(_at_most_one)] = {}
    complexity: Annotated[dict[str, Share], AfterValidator(_ranges), AfterValidator(_at_most_one)] = Field(
        {}, description="by range of the scale from 1 to 10, such as 7-10"
    )
    length: Annotated[dict[Length, Share], AfterValidator(_at_most_one)] = {}

    def to_quotas(self) -> Quotas:
        """The domain's value."""
        return Quotas(self.category, self.complexity, self.length)


class IterationSettings(BaseModel):
    """Everything that decides an iteration's outcome, stored with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instructions: int = Field(720, ge=20, le=1_000_000, description="instructions to work with, newest first")
    held_out_share: float = Field(0.2, gt=0, lt=1, description="share of them kept for evaluation")
    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2,3}$")], ...] = Field(
        (), description="only instructions in these (ISO 639), or whose language is not known; none: any"
    )
    max_instruction_chars: int = Field(1200, ge=50, description="longer instructions are left out")
    classify: bool = Field(
        False,
        description="have the generator classify instructions: a request for each one not classified yet",
    )
    quotas: QuotaSettings = QuotaSettings()
    curriculum: bool = Field(False, description="prefer harder instructions with every champion of the line")
    response_tokens: int = Field(96, ge=8, description="length limit of a generated response")
    generation_temperature: float = Field(0.7, ge=0)
    hotter_temperature: float = Field(1.0, ge=0, description="of the rejected responses of that strategy")
    concurrency: int = Field(32, ge=1, description="requests in progress at the backend")
    pairs_per_instruction: int = Field(4, ge=1, le=6, description="held-out ones get at least 4")
    mix: PairMix = _ON_TOPIC
    both_ways: bool = Field(
        False,
        description="a training pair whose rejected response answers another instruction comes with its "
        "counterpart: that instruction, for which the two responses have changed places",
    )
    related: Related = Field(
        "mix",
        description="how rejected responses to related requests are made: as the mix says, all `modified`, "
        "all `neighbor`, or (`auto`) modified if the generator is measured to write usable ones",
    )
    usable_share: float = Field(
        0.5, ge=0, le=1, description="with `auto`: usable modified instructions that make it `modified`"
    )
    keep_cut_off: bool = Field(
        False, description="keep responses that stop in their first sentence: where the length limit is why"
    )

    judged_pairs: int = Field(16, ge=0, description="training pairs that the champion judges by reasoning")
    samples: int = Field(15, ge=1, le=64, description="judgments per ordered prompt (15 in the paper)")
    reasoning_tokens: int = Field(64, ge=16, description="length limit of a judgment")
    min_agreement: float = Field(
        0.0, ge=0, le=1, description="share of a prompt's samples that must be right"
    )
    category_cap: float = Field(
        1.0, gt=0, le=1, description="share of max_reasoned and of max_pointwise that one category may take"
    )

    field_tokens: int = Field(
        96, ge=32, description="longer texts are cut in the middle, in training and evaluation"
    )
    method: Literal["lora", "full"] = Field(
        "lora", description="train adapters, or the weights themselves (which want lower learning rates)"
    )
    lora_rank: int = Field(16, ge=1)
    trained_layers: float = Field(0.5, gt=0, le=1, description="upper share of the layers that is trained")
    sft_learning_rate: float = Field(2e-4, gt=0)
    sft_epochs: float = Field(1.0, ge=0)
    dpo_learning_rate: float = Field(1e-5, gt=0)
    dpo_epochs: float = Field(0.0, ge=0, description="0: no DPO after the supervised lesson")
    dpo_beta: float = Field(0.1, gt=0)
    dpo_nll: float = Field(1.5, ge=0, description="weight of the likelihood of the chosen judgment")
    pointwise_learning_rate: float = Field(5e-4, gt=0)
    pointwise_epochs: float = Field(1.0, ge=0)
    batch_pairs: int = Field(8, ge=1)
    max_reasoned: int = Field(128, ge=0, description="reasoned judgments to train on, at most")
    max_preferences: int = Field(128, ge=0, description="right judgments against wrong ones, at most")
    max_pointwise: int = Field(1200, ge=8, description="pairs for the pointwise read, at most")
    validation_share: float = Field(
        0.1, ge=0, lt=0.5, description="share of the training instructions that early stopping measures on"
    )
    validation_pairs: int = Field(80, ge=1, description="pairs of them, at most")
    checkpoint_every: int = Field(
        20, ge=1, description="optimizer steps between checkpoints, and between two looks at the validation"
    )
    patience: int = Field(5, ge=1, description="looks behind the best one after which a lesson stops")
    seed: int = 17

    evaluated_pairs: int = Field(200, ge=10, description="held-out pairs to evaluate on, at most")
    evaluated_anchors: int = Field(200, ge=0, description="pairs of each anchor set to evaluate on, at most")
    evaluated_reasoning: int = Field(40, ge=0, description="held-out pairs judged by reasoning too, at most")
    evaluated_attacks: int = Field(80, ge=0, description="attacks made on candidate and champion")
    evaluated_phrases: int = Field(
        6, ge=0, description="suspicious phrases of the training data that are tried on both"
    )
    phrase_pairs: int = Field(24, ge=4, description="held-out pairs that each phrase is tried on")

    gate_alpha: float = Field(0.05, gt=0, lt=0.5)
    gate_delta: float = Field(0.02, ge=0, le=0.5, description="loss on a guard slice that is tolerated")
    gate_guard_alpha: float = Field(0.1, gt=0, lt=0.5, description="chance of refusing over a guard by luck")
    gate_min_items: int = Field(50, ge=1, description="with fewer held-out items there is no decision")
    promote: Literal["automatic", "approve", "shadow", "canary"] = Field(
        "automatic", description="what happens to a candidate that the gate lets through"
    )
    trial_share: float = Field(0.1, gt=0, le=1, description="shadow, canary: share of live comparisons")
    trial_decisions: int = Field(500, ge=1, description="shadow, canary: comparisons until it is over")
    # Below one half by so much that so many comparisons tell a coin from it; a better candidate over an
    # untaught champion turned 41% (docs/gate.md).
    trial_flip_rate: float = Field(
        0.42, ge=0, le=1, description="alarm: verdicts turned from one response to the other"
    )
    trial_invalid_rate: float = Field(0.05, ge=0, le=1, description="alarm: comparisons without a verdict")
    trial_tie_rate: float = Field(0.3, ge=0, le=1, description="alarm: ties")
    trial_latency_ratio: float = Field(3.0, gt=0, description="alarm: median time over the champion's")

    @field_validator("mix")
    @classmethod
    def _can_be_measured(cls, mix: PairMix) -> PairMix:
        if not any(share for name, share in mix if name not in OF_LOGS):
            raise ValueError(
                f"{' and '.join(OF_LOGS)} need another strategy beside them: they make no held-out pairs"
            )
        return mix

    @field_validator("quotas", "curriculum", "category_cap")
    @classmethod
    def _needs_classes(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        if not info.data.get("classify", True) and value != cls.model_fields[info.field_name].default:
            raise ValueError("needs classify to be true")
        return value


# Models that are called 7B have from 6.6 billion parameters on.
_LARGE = 6_500_000_000

# How the packaged model was taught best from a few hundred pairs (docs/experiments.md).
_FOR_SMALL_MODELS: dict[str, Any] = {
    "method": "full",
    "sft_learning_rate": 2e-5,
    "pointwise_learning_rate": 1e-4,
}

PRESETS: dict[Profile, dict[str, Any]] = {
    "smoke": {
        **_FOR_SMALL_MODELS,
        "instructions": 48,
        "pairs_per_instruction": 2,
        "keep_cut_off": True,
        "held_out_share": 0.4,
        "response_tokens": 40,
        "judged_pairs": 6,
        "samples": 2,
        "reasoning_tokens": 40,
        "field_tokens": 64,
        "max_reasoned": 6,
        "max_pointwise": 32,
        "validation_share": 0.0,
        "evaluated_pairs": 36,
        "evaluated_anchors": 20,
        "evaluated_reasoning": 4,
        "evaluated_attacks": 12,
        "evaluated_phrases": 2,
        "phrase_pairs": 6,
        "gate_min_items": 20,
    },
    "small": {
        **_FOR_SMALL_MODELS,
        "instructions": 320,
        "pairs_per_instruction": 2,
        "keep_cut_off": True,
        "response_tokens": 64,
        "judged_pairs": 24,
        "samples": 2,
        "reasoning_tokens": 56,
        "field_tokens": 80,
        "max_reasoned": 24,
        "max_pointwise": 320,
        "validation_share": 0.0,
        "evaluated_pairs": 280,
        "evaluated_anchors": 60,
        "evaluated_reasoning": 16,
        "evaluated_attacks": 32,
        "evaluated_phrases": 3,
        "phrase_pairs": 16,
    },
    # What taught the packaged model modified pairs and real ones (docs/experiments.md). Few pairs of each
    # instruction, so that those of logged responses are a good part of them; texts and conversations at their
    # real lengths.
    "full": {
        **_FOR_SMALL_MODELS,
        "instructions": 850,
        "max_instruction_chars": 2000,
        "pairs_per_instruction": 2,
        "concurrency": 64,
        "mix": {
            "logged": 3.0,
            "modified": 3.0,
            "later": 0.6,
            "requirement": 0.6,
            "neighbor": 0.4,
            "random": 0.1,
            "incomplete": 0.06,
            "shortened": 0.06,
        },
        "field_tokens": 192,
        "pointwise_learning_rate": 2e-4,
        "max_pointwise": 1300,
    },
    # Self-Taught Evaluators, for a judge of some billion parameters on GPUs. Lengths are those that fit a
    # context of 4,096 tokens, the default, whatever the texts: 3 of 800, a judgment, and our own words.
    "paper": {
        "instructions": 20_000,
        "classify": True,
        "held_out_share": 0.05,
        "max_instruction_chars": 20_000,
        "response_tokens": 800,
        "concurrency": 256,
        "mix": {"modified": 1},
        "pairs_per_instruction": 1,
        "judged_pairs": 20_000,
        "samples": 15,
        "reasoning_tokens": 1024,
        "field_tokens": 800,
        "trained_layers": 1.0,
        "lora_rank": 64,
        "max_reasoned": 40_000,
        "max_preferences": 40_000,
        "max_pointwise": 20_000,
        "sft_learning_rate": 1e-4,
        "pointwise_learning_rate": 1e-4,
        "sft_epochs": 2,
        "validation_share": 0.02,
        "validation_pairs": 200,
        "checkpoint_every": 100,
        "evaluated_pairs": 1000,
        "evaluated_anchors": 2000,
        "evaluated_reasoning": 500,
        "evaluated_attacks": 600,
        "evaluated_phrases": 20,
        "phrase_pairs": 50,
    },
}


def profile_for(parameters: int) -> Profile:
    """The profile for a seed model of this size: the paper's recipe from 7B on."""
    return "paper" if parameters >= _LARGE else "full"


def iteration_settings(profile: Profile, overrides: dict[str, Any]) -> IterationSettings:
    """A preset with overrides.

    Raises:
        InvalidInput: naming each override that is unknown or out of range.
    """
    try:
        return IterationSettings.model_validate({**PRESETS[profile], **overrides})
    except ValidationError as error:
        faults = [Fault(f"settings.{'.'.join(map(str, e['loc']))}", e["msg"]) for e in error.errors()]
        raise InvalidInput(*faults) from error
