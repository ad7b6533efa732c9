"""What each tenant has agreed to: whether its requests are captured, how much it may store, for how long."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.store.audit import record
from judge.store.tables import InstructionRow, QuarantineRow, ReviewItemRow, TenantRow


@dataclass(frozen=True, slots=True)
class Policy:
    """A tenant's terms; 0 stands for any number of instructions, and for keeping them until deleted."""

    capture: bool = False
    daily_instructions: int = 0
    retention_days: int = 0


def policies(session: Session, default: Policy) -> dict[str, Policy]:
    """The terms of every tenant that has any of its own; what it leaves open is as in `default`."""
    return {
        row.name: Policy(
            capture=row.capture,
            daily_instructions=_or(row.daily_instructions, default.daily_instructions),
            retention_days=_or(row.retention_days, default.retention_days),
        )
        for row in session.scalars(select(TenantRow).order_by(TenantRow.name))
    }


def set_policy(
    session: Session,
    name: str,
    *,
    capture: bool,
    daily_instructions: int | None,
    retention_days: int | None,
    actor: str,
) -> None:
    """Set a tenant's terms, in place of earlier ones; None leaves a value to the processes' settings."""
    values = {
        "capture": capture,
        "daily_instructions": daily_instructions,
        "retention_days": retention_days,
    }
    statement = insert(TenantRow).values(name=name, **values)
    session.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_=values | {"changed_at": func.now()})
    )
    record(session, actor, "set tenant", {"tenant": name, **values})


def with_instructions(session: Session) -> list[str]:
    """The tenants that have stored anything: in the pool, in quarantine, for people to judge."""
    either = select(InstructionRow.tenant).union(select(QuarantineRow.tenant), select(ReviewItemRow.tenant))
    return sorted(session.scalars(either))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
