"""Reward answers kept under their `Idempotency-Key`: a call that is made again is answered, not made again.

The first answer that is committed is the answer. Whoever computed it a second time meanwhile throws his own
away, with its record, and gives the first.
"""

from datetime import timedelta

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.errors import Fault, InvalidInput
from judge.store.tables import RewardAnswerRow

KEPT = timedelta(hours=24)


def key_of(key: str, version: str | None) -> str:
    """What an answer is kept under: a caller's key, and the version that the call is bound to, if it is.

    So a run that is pinned again under its old name, to another version, is never given the former one's.
    """
    return f"{version} {key}" if version else key


def find(session: Session, tenant: str, key: str, body_sha256: str) -> str | None:
    """The answer (JSON) that was given under a key, or None.

    Raises:
        InvalidInput: the key was used with another body.
    """
    row = session.get(RewardAnswerRow, (tenant, key))
    if row is None:
        return None
    if row.body_sha256 != body_sha256:
        raise InvalidInput(
            Fault("Idempotency-Key", "was used with another body; a new request needs a new key")
        )
    return row.answer


def keep(session: Session, tenant: str, key: str, body_sha256: str, answer: str) -> str | None:
    """Keep an answer; returns None, or the answer that another request has kept first."""
    values = {"tenant": tenant, "key": key, "body_sha256": body_sha256, "answer": answer}
    statement = insert(RewardAnswerRow).values(values).on_conflict_do_nothing().returning(RewardAnswerRow.key)
    if session.scalar(statement) is not None:
        return None
    return find(session, tenant, key, body_sha256)


def purge(session: Session) -> int:
    """Delete answers that are older than `KEPT`; returns how many."""
    old = delete(RewardAnswerRow).where(RewardAnswerRow.created_at < func.now() - KEPT)
    return len(session.scalars(old.returning(RewardAnswerRow.key)).all())
