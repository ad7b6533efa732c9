"""What a judge is given beside the texts: the prompt's language, a rubric, a reference answer, a scale."""

from dataclasses import dataclass

from judge.prompts.rubrics import Language


@dataclass(frozen=True, slots=True)
class Form:
    """What decides the words of a prompt; texts from outside are not part of it."""

    language: Language = "en"
    rubric: bool = False
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Guide:
    """A rubric takes the place of the general criteria; its lines and the reference are untrusted text."""

    language: Language = "en"
    rubric: str | None = None
    reference: str | None = None

    @property
    def form(self) -> Form:
        """The form of the prompts that carry this."""
        return Form(self.language, self.rubric is not None, self.reference is not None)

    @property
    def fields(self) -> dict[str, str]:
        """The texts, by the name of their place in a template."""
        named = {"rubric": self.rubric, "reference": self.reference}
        return {name: text for name, text in named.items() if text is not None}


@dataclass(frozen=True, slots=True)
class Scale:
    """Whole numbers from `low` (useless) to `high` (could not be better)."""

    low: int = 1
    high: int = 10

    @property
    def labels(self) -> tuple[str, ...]:
        """Every rating as text."""
        return tuple(str(rating) for rating in range(self.low, self.high + 1))

    def at(self, share: float) -> float:
        """The point of the scale at a share between 0 and 1."""
        return self.low + (self.high - self.low) * share


PLAIN = Guide()
ENGLISH = Form()
TEN = Scale()
# Every point is one token in every tokenizer that has digits.
FIVE = Scale(1, 5)
