"""What the shapes of several routes are made of."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from judge.comparison import Instruction, Message, flaw
from judge.prompts.rubrics import Language


def _sound(text: str) -> str:
    if reason := flaw(text):
        raise ValueError(reason)
    return text


Text = Annotated[str, AfterValidator(_sound)]
PinName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


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
        "cut", description="texts that do not fit lose their middle, or are refused with 422"
    )
    version: str | None = Field(None, description="a version or alias to insist on")
    pin: PinName | None = Field(None, description="the pin that names the version")

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
