"""Model versions, and what names one: the pointer, and the pins of trainers."""

from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import JSON, Base


class ModelVersion(Base):
    """A model version; its weights are in the version store under the same id."""

    __tablename__ = "model_versions"

    id: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str]
    # One candidate an iteration. No foreign key: an iteration names versions, so it would be a circle.
    iteration_id: Mapped[int | None] = mapped_column(unique=True)
    manifest: Mapped[JSON]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Alias(Base):
    """The pointer from `champion` or `previous` to a version. `fence` grows with every change."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    fence: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PinRow(Base):
    """A trainer's hold on one version: while it lasts, that version answers the run, or nothing does."""

    __tablename__ = "pins"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    ttl_s: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
