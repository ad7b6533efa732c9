"""API keys: `jsk_ID_SECRET`. Only the secret's SHA-256 is stored; it is shown once, at creation."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlalchemy.orm import Session

from judge.errors import Fault, InvalidInput, NotFound
from judge.store.audit import record
from judge.store.tables import ApiKey

SCOPES = ("judge", "reward", "ingest", "review", "admin")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: the key's name, its tenant, and what it may do."""

    name: str
    tenant: str
    scopes: frozenset[str]


# A secret is 256 random bits, so a fast hash is enough: there is nothing to guess.
def create_key(session: Session, name: str, scopes: Sequence[str], tenant: str, actor: str) -> str:
    """Create a key and return it in full.

    Raises:
        InvalidInput: an unknown scope, or none.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InvalidInput(Fault("scopes", f"must be among {', '.join(SCOPES)}"))
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    session.add(
        ApiKey(
            id=key_id,
            name=name,
            tenant=tenant,
            secret_sha256=_hash(secret),
            scopes=sorted(set(scopes)),
        )
    )
    record(session, actor, "create key", {"key": key_id, "name": name, "scopes": sorted(set(scopes))})
    return f"jsk_{key_id}_{secret}"


def check_key(session: Session, key: str) -> Principal | None:
    """Who a key belongs to; None for a wrong or revoked one."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    row = session.get(ApiKey, key_id) if prefix == "jsk" and secret else None
    # Compare even where there is no such key, so that the time taken does not tell.
    same = hmac.compare_digest(_hash(secret), row.secret_sha256 if row else _hash(""))
    if row is None or not same or row.revoked_at is not None:
        return None
    return Principal(row.name, row.tenant, frozenset(row.scopes))


def revoke_key(session: Session, key_id: str, actor: str) -> None:
    """Make a key useless from now on.

    Raises:
        NotFound: there is no such key.
    """
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFound(f"key {key_id!r} does not exist")
    row.revoked_at = func.now()
    record(session, actor, "revoke key", {"key": key_id, "name": row.name})


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
