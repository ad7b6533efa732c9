"""Who may do what, what tenants have agreed to, and what administrators did."""

from datetime import datetime

from sqlalchemy import Boolean, Identity, func, text
from sqlalchemy.orm import Mapped, mapped_column

from judge.store.tables.base import JSON, Base


class ApiKey(Base):
    """A bearer key: only the SHA-256 of its secret part is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    tenant: Mapped[str]
    secret_sha256: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


class TenantRow(Base):
    """What a tenant has agreed to; where a value is null, the process's setting holds."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(primary_key=True)
    capture: Mapped[bool] = mapped_column(Boolean)
    daily_instructions: Mapped[int | None]
    retention_days: Mapped[int | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class AuditEntry(Base):
    """One administrative act: who did what to what."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    act: Mapped[str]
    details: Mapped[JSON] = mapped_column(server_default=text("'{}'::jsonb"))
