"""Unlabeled instructions: stored once each, whether ingested or captured from live requests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.comparison import Instruction
from judge.database import Sessions
from judge.tables import InstructionRow

STREAM = "judgesmith:captured"
_GROUP = "gather"


@dataclass(frozen=True, slots=True)
class Gathered:
    """An instruction as it came in."""

    instruction: Instruction
    source: str
    tenant: str
    language: str | None = None


def store(session: Session, items: Sequence[Gathered]) -> set[int]:
    """Insert what is new; return the indexes of the items that were already there (or repeated here)."""
    digests = [item.instruction.digest for item in items]
    first = {digest: index for index, digest in reversed(list(enumerate(digests)))}
    rows = [
        {
            "digest": digest,
            "messages": items[index].instruction.to_json(),
            "source": items[index].source,
            "language": items[index].language,
            "tenant": items[index].tenant,
        }
        for digest, index in first.items()
    ]
    if not rows:
        return set()
    # In one order everywhere, so that two writers of the same instructions cannot deadlock.
    rows.sort(key=lambda row: str(row["digest"]))
    inserted = set(
        session.scalars(
            insert(InstructionRow).values(rows).on_conflict_do_nothing().returning(InstructionRow.digest)
        )
    )
    return {index for index, digest in enumerate(digests) if digest not in inserted or first[digest] != index}


def known(session: Session, limit: int) -> list[InstructionRow]:
    """The newest instructions, oldest of them first."""
    rows = session.scalars(select(InstructionRow).order_by(InstructionRow.id.desc()).limit(limit))
    return list(rows)[::-1]


def to_stream_entry(item: Gathered) -> dict[str, str]:
    """The fields of a captured instruction in the stream."""
    return {
        "messages": json.dumps(item.instruction.to_json(), ensure_ascii=False),
        "source": item.source,
        "tenant": item.tenant,
    }


def gather(sessions: Sessions, redis: Redis, *, consumer: str, batch: int = 500) -> tuple[int, int]:
    """Move the captured instructions from the stream into Postgres; (new, duplicates).

    An entry is acknowledged and deleted only after its transaction has committed. A crash between the
    two repeats it, and the unique digest makes the repetition a duplicate: each is stored exactly once.
    """
    try:
        redis.xgroup_create(STREAM, _GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    new = duplicates = 0
    while entries := _take(redis, consumer, batch):
        items = [_from_stream_entry(fields) for _, fields in entries]
        with sessions.begin() as session:
            repeated = store(session, items)
        new += len(items) - len(repeated)
        duplicates += len(repeated)
        ids = [entry_id for entry_id, _ in entries]
        redis.xack(STREAM, _GROUP, *ids)
        redis.xdel(STREAM, *ids)
    return new, duplicates


def _take(redis: Redis, consumer: str, batch: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The next entries: first those that a worker took over a minute ago and never acknowledged."""
    claimed: Any = redis.xautoclaim(STREAM, _GROUP, consumer, min_idle_time=60_000, count=batch)
    stale = [(entry_id, fields) for entry_id, fields in claimed[1] if fields]
    if stale:
        return stale
    answer: Any = redis.xreadgroup(_GROUP, consumer, {STREAM: ">"}, count=batch)
    return list(answer[0][1]) if answer else []


def _from_stream_entry(fields: dict[bytes, bytes]) -> Gathered:
    text = {key.decode(): value.decode() for key, value in fields.items()}
    return Gathered(Instruction.from_json(json.loads(text["messages"])), text["source"], text["tenant"])
