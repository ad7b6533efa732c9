"""Pins: a trainer's hold on one model version for the time of its run.

A pin has a name, which a restarted run says again, and lasts for its `ttl_s` after its last use, so that a
run that has died does not hold a version for ever. While it lasts, no swap takes its version out of service
unless an engine of its own serves it, or an admin insists (`judge.versions.swap`). One that has run out is
taken up again by its next use, as long as its version still serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from judge.errors import Conflict, NotFound
from judge.store.audit import record
from judge.store.tables import Alias, ModelVersion, PinRow


@dataclass(frozen=True, slots=True)
class Pin:
    """A pin as it was read; `lapsed` where it had run out by then."""

    tenant: str
    name: str
    version: str
    ttl_s: int
    created_by: str
    created_at: datetime
    expires_at: datetime
    lapsed: bool


def make(
    session: Session, tenant: str, name: str, version: str | None, ttl_s: int, actor: str
) -> tuple[Pin, bool]:
    """The pin of that name, and whether it is new. One that exists is renewed and keeps its version.

    Without a version, the champion is pinned. Whether that version serves is for the caller to see.

    Raises:
        NotFound: no such version, or no champion yet.
        Conflict: the name is taken by a pin of another version.
    """
    # Held until the pin is committed: a swap takes the same row, so it comes before the pin or sees it.
    champion = session.get(Alias, "champion", with_for_update={"read": True})
    row = session.get(PinRow, (tenant, name), with_for_update=True)
    if row is not None:
        if version not in (None, row.version):
            raise Conflict(f"pin {name!r} holds {row.version}; release it before it may hold {version}")
        row.ttl_s = ttl_s
        _renew(session, row)
        return _read(session, row), False
    version = version or (champion.version if champion else None)
    if version is None or session.get(ModelVersion, version) is None:
        raise NotFound(f"model version {version!r} is not known")
    row = PinRow(tenant=tenant, name=name, version=version, ttl_s=ttl_s, created_by=actor)
    row.expires_at = _ends(session, ttl_s)
    session.add(row)
    record(session, actor, "pin", {"tenant": tenant, "pin": name, "version": version})
    return _read(session, row), True


def use(session: Session, tenant: str, name: str) -> Pin:
    """Read a pin and renew it; one that has run out is not renewed (see `revive`).

    Raises:
        NotFound: there is no such pin.
    """
    row = _get(session, tenant, name)
    pin = _read(session, row)
    if not pin.lapsed:
        _renew(session, row)
    return pin


def revive(session: Session, tenant: str, name: str) -> bool:
    """Renew a pin that has run out, if its version is the champion; returns whether it was."""
    champion = session.get(Alias, "champion", with_for_update={"read": True})
    row = _get(session, tenant, name)
    if champion is None or champion.version != row.version:
        return False
    _renew(session, row)
    return True


def get(session: Session, tenant: str, name: str) -> Pin:
    """A pin as it is.

    Raises:
        NotFound: there is no such pin.
    """
    return _read(session, _get(session, tenant, name))


def release(session: Session, tenant: str, name: str, actor: str) -> None:
    """Delete a pin.

    Raises:
        NotFound: there is no such pin.
    """
    row = _get(session, tenant, name)
    record(session, actor, "release pin", {"tenant": tenant, "pin": name, "version": row.version})
    session.delete(row)


def every(session: Session) -> list[Pin]:
    """All pins, those first that run out last."""
    rows = session.scalars(select(PinRow).order_by(PinRow.expires_at.desc()))
    return [_read(session, row) for row in rows]


def holding(session: Session, version: str) -> list[Pin]:
    """The pins that hold a version now."""
    return [pin for pin in every(session) if pin.version == version and not pin.lapsed]


def versions(session: Session) -> set[str]:
    """The versions that are held now."""
    return set(session.scalars(select(PinRow.version).where(PinRow.expires_at > func.now())))


def named(held: Sequence[Pin]) -> str:
    """Pins for a message."""
    return ", ".join(
        f"{pin.name!r} of {pin.tenant} (until {pin.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"
        for pin in held
    )


def _get(session: Session, tenant: str, name: str) -> PinRow:
    row = session.get(PinRow, (tenant, name))
    if row is None:
        raise NotFound(f"pin {name!r} does not exist; make it with POST /reward/pins")
    return row


def _renew(session: Session, row: PinRow) -> None:
    row.expires_at = _ends(session, row.ttl_s)


def _ends(session: Session, ttl_s: int) -> datetime:
    # The database's clock: several gateways renew a pin.
    now: datetime = session.scalars(select(func.now())).one()
    return now + timedelta(seconds=ttl_s)


def _read(session: Session, row: PinRow) -> Pin:
    session.flush()
    session.refresh(row)
    now: datetime = session.scalars(select(func.now())).one()
    return Pin(
        row.tenant, row.name, row.version, row.ttl_s, row.created_by, row.created_at, row.expires_at,
        row.expires_at <= now,
    )  # fmt: skip
