"""The audit log: who did what."""

from typing import Any

from sqlalchemy.orm import Session

from judge.store.tables import AuditEntry


def record(session: Session, actor: str, act: str, details: dict[str, Any]) -> None:
    """Write an audit entry."""
    session.add(AuditEntry(actor=actor, act=act, details=details))
