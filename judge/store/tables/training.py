"""What an iteration makes, step by step: from the selection of instructions to training examples."""

from typing import Any

from sqlalchemy import Boolean, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from judge.comparison import Instruction, PreferencePair
from judge.store.tables.base import Base


class SelectionRow(Base):
    """An instruction that an iteration works with, in the training or the held-out share."""

    __tablename__ = "selections"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    instruction_id: Mapped[int] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    held_out: Mapped[bool] = mapped_column(Boolean)
    # As it was classified when it was selected; null in an iteration that does not classify.
    category: Mapped[str | None]
    complexity: Mapped[int | None]
    length: Mapped[str | None]


class ClassificationRow(Base):
    """What a model said about an instruction: asked once for each model and wording of the question."""

    __tablename__ = "classifications"

    instruction_id: Mapped[int] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), primary_key=True
    )
    model_version: Mapped[str] = mapped_column(primary_key=True)
    prompt_hash: Mapped[str] = mapped_column(primary_key=True)
    category: Mapped[str]
    complexity: Mapped[int]
    length: Mapped[str]


class ResponseRow(Base):
    """A generated text of an iteration: the response to an instruction, or to a modified one."""

    __tablename__ = "responses"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    instruction_id: Mapped[int] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    prompt: Mapped[str | None]
    finished: Mapped[bool] = mapped_column(Boolean)
    model_version: Mapped[str]


class PairRow(Base):
    """A preference pair that an iteration constructed.

    `lender_id`: the other instruction whose response the rejected one is, or has parts of.
    """

    __tablename__ = "preference_pairs"
    __table_args__ = (UniqueConstraint("iteration_id", "instruction_id", "ordinal"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"))
    instruction_id: Mapped[int] = mapped_column(ForeignKey("instructions.id", ondelete="CASCADE"), index=True)
    lender_id: Mapped[int | None] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), index=True
    )
    ordinal: Mapped[int]
    held_out: Mapped[bool] = mapped_column(Boolean)
    strategy: Mapped[str]
    messages: Mapped[list[Any]]
    chosen: Mapped[str]
    rejected: Mapped[str]

    @property
    def item(self) -> str:
        """Its name among what is evaluated."""
        return f"pair-{self.instruction_id}-{self.ordinal}"

    def to_pair(self) -> PreferencePair:
        """The domain's value."""
        instruction = Instruction.from_json(self.messages)
        return PreferencePair(instruction, self.chosen, self.rejected, self.strategy, self.lender_id)


class JudgmentRow(Base):
    """One sampled judgment of a pair in one order, and whether it found the chosen response."""

    __tablename__ = "judgments"

    pair_id: Mapped[int] = mapped_column(
        ForeignKey("preference_pairs.id", ondelete="CASCADE"), primary_key=True
    )
    chosen_first: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    sample: Mapped[int] = mapped_column(primary_key=True)
    verdict: Mapped[str]
    correct: Mapped[bool] = mapped_column(Boolean)
    text: Mapped[str]
    model_version: Mapped[str]


class ExampleRow(Base):
    """A training example: a reasoned judgment in one order, or a pair for the pointwise read."""

    __tablename__ = "training_examples"
    __table_args__ = (UniqueConstraint("pair_id", "kind", "chosen_first"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"), index=True)
    pair_id: Mapped[int] = mapped_column(ForeignKey("preference_pairs.id", ondelete="CASCADE"))
    kind: Mapped[str]
    chosen_first: Mapped[bool] = mapped_column(Boolean)
    judgment: Mapped[str | None]


class DropRow(Base):
    """Why an iteration's step left something out that came of an instruction: the funnel, one by one."""

    __tablename__ = "drops"
    __table_args__ = (Index("ix_drops_iteration_id_step", "iteration_id", "step"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"))
    step: Mapped[str]
    instruction_id: Mapped[int] = mapped_column(ForeignKey("instructions.id", ondelete="CASCADE"))
    reason: Mapped[str]
