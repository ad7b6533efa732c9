"""The pointer from alias to version. It changes in one fenced transaction, with an audit entry."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.errors import Conflict, NotFound
from judge.store.audit import record
from judge.store.tables import Alias, ModelVersion


@dataclass(frozen=True, slots=True)
class Pointer:
    """Who serves. `fence` grows by one with every change, so an older reader can be told apart."""

    champion: str
    previous: str | None
    fence: int


def read_pointer(session: Session) -> Pointer | None:
    """The pointer, or None before the seed model is registered."""
    rows = {row.name: row for row in session.scalars(select(Alias))}
    if "champion" not in rows:
        return None
    previous = rows.get("previous")
    return Pointer(rows["champion"].version, previous.version if previous else None, rows["champion"].fence)


def move_champion(
    session: Session, version: str, expected_fence: int, *, actor: str, act: str, details: dict[str, Any]
) -> Pointer:
    """Make a version the champion, and the champion the previous one.

    Raises:
        NotFound: the version is not registered.
        Conflict: the pointer was moved since `expected_fence` was read.
    """
    if session.get(ModelVersion, version) is None:
        raise NotFound(f"model version {version!r} is not registered")
    current = session.get(Alias, "champion", with_for_update=True)
    if current is None:
        session.add(Alias(name="champion", version=version, fence=1))
        record(session, actor, act, {**details, "to": version, "fence": 1})
        return Pointer(version, None, 1)
    if current.fence != expected_fence:
        raise Conflict(
            f"the champion was changed meanwhile (fence {current.fence}, expected {expected_fence}); "
            "read it again and repeat"
        )
    old, fence = current.version, current.fence + 1
    current.version, current.fence, current.changed_at = version, fence, func.now()
    values = {"name": "previous", "version": old, "fence": fence}
    session.execute(insert(Alias).values(values).on_conflict_do_update(index_elements=["name"], set_=values))
    record(session, actor, act, {**details, "from": old, "to": version, "fence": fence})
    return Pointer(version, old, fence)
