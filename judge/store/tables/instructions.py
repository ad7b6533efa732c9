"""The pool of instructions: what is in it, what is kept apart, and what was deleted."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Identity, Index, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import JSON, Base


class InstructionRow(Base):
    """An unlabeled instruction; `digest` makes it unique, `signature` and `bands` find what is nearly it.

    `response` is what a model in production answered to it, where that was logged.

    `near_duplicates` counts what was not stored for being nearly the same. `scanned` is false until the scan
    for planted phrases has seen it; one that a person has `released` from quarantine does not go back there.
    `suspected`: what to quarantine it for once the iteration in progress, which works with it, is over.
    """

    __tablename__ = "instructions"
    __table_args__ = (
        Index("ix_instructions_bands", "bands", postgresql_using="gin"),
        Index("ix_instructions_tenant_created_at", "tenant", "created_at"),
        Index("ix_instructions_unscanned", "id", postgresql_where=text("NOT scanned")),
        Index("ix_instructions_suspected", "id", postgresql_where=text("suspected IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    messages: Mapped[list[Any]]
    response: Mapped[str | None]
    source: Mapped[str]
    language: Mapped[str | None]
    tenant: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    bands: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    near_duplicates: Mapped[int] = mapped_column(server_default=text("0"))
    scanned: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    released: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    suspected: Mapped[JSON | None]


class QuarantineRow(Base):
    """An instruction that is kept apart, with the reason; no stage ever reads it."""

    __tablename__ = "quarantine"
    __table_args__ = (
        Index("ix_quarantine_bands", "bands", postgresql_using="gin"),
        Index("ix_quarantine_tenant_created_at", "tenant", "created_at"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str]
    # The words of a planted phrase: later instructions with all of them follow.
    words: Mapped[list[str]] = mapped_column(server_default=text("'{}'::text[]"))
    digest: Mapped[str] = mapped_column(unique=True)
    messages: Mapped[list[Any]]
    response: Mapped[str | None]
    source: Mapped[str]
    language: Mapped[str | None]
    tenant: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    quarantined_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    bands: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))


class ErasureRow(Base):
    """A deletion of instructions with all that came of them; `files_due` until a worker removed the files."""

    __tablename__ = "erasures"
    __table_args__ = (Index("ix_erasures_due", "id", postgresql_where=text("files_due")),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    counts: Mapped[JSON]
    iterations: Mapped[list[Any]]
    versions: Mapped[list[str]]
    files_due: Mapped[bool] = mapped_column(Boolean)
