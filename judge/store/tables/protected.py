"""What is measured on and never trained on."""

from typing import Any

from sqlalchemy import ForeignKey, Identity, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import Base


class AnchorRow(Base):
    """A labeled pair of an anchor set: measured on, never trained on."""

    __tablename__ = "anchors"
    __table_args__ = (UniqueConstraint("anchor_set", "item"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    anchor_set: Mapped[str]
    item: Mapped[str]
    instruction_digest: Mapped[str] = mapped_column(index=True)
    messages: Mapped[list[Any]]
    response_a: Mapped[str]
    response_b: Mapped[str]
    label: Mapped[str]


class ProtectedRow(Base):
    """A text that the loop must never train on: an anchor's instruction, or an item of a benchmark."""

    __tablename__ = "protected"
    __table_args__ = (UniqueConstraint("name", "item"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    item: Mapped[str]
    grams: Mapped[int]
    anchor_id: Mapped[int | None] = mapped_column(ForeignKey("anchors.id", ondelete="CASCADE"), index=True)


class ProtectedGramRow(Base):
    """A run of words of a protected text, hashed."""

    __tablename__ = "protected_grams"

    gram: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    protected_id: Mapped[int] = mapped_column(
        ForeignKey("protected.id", ondelete="CASCADE"), primary_key=True, index=True
    )
