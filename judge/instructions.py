"""Unlabeled instructions: stored once each, whether ingested or captured from live requests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.comparison import Instruction
from judge.fingerprints import Print
from judge.tables import InstructionRow

STREAM = "judgesmith:captured"


@dataclass(frozen=True, slots=True)
class Gathered:
    """An instruction as it came in; `print` once it is known what tells it from others."""

    instruction: Instruction
    source: str
    tenant: str
    language: str | None = None
    print: Print | None = None

    def columns(self) -> dict[str, object]:
        """Its columns in `instructions` and `quarantine`."""
        return {
            "digest": self.instruction.digest,
            "messages": self.instruction.to_json(),
            "source": self.source,
            "language": self.language,
            "tenant": self.tenant,
            "signature": self.print.signature if self.print else None,
            "bands": list(self.print.bands) if self.print else None,
        }


def store(session: Session, items: Sequence[Gathered]) -> set[int]:
    """Insert what is new; return the indexes of the items that were already there (or repeated here)."""
    digests = [item.instruction.digest for item in items]
    first = {digest: index for index, digest in reversed(list(enumerate(digests)))}
    rows = [items[index].columns() for index in first.values()]
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


def known(session: Session, limit: int, languages: Sequence[str] = ()) -> list[InstructionRow]:
    """The newest instructions, oldest of them first; only in the given languages, or an unknown one."""
    query = select(InstructionRow).order_by(InstructionRow.id.desc()).limit(limit)
    if languages:
        query = query.where(or_(InstructionRow.language.in_(languages), InstructionRow.language.is_(None)))
    return list(session.scalars(query))[::-1]


def to_stream_entry(item: Gathered) -> dict[str, str]:
    """The fields of a captured instruction in the stream."""
    fields = {
        "messages": json.dumps(item.instruction.to_json(), ensure_ascii=False),
        "source": item.source,
        "tenant": item.tenant,
    }
    return fields | ({"language": item.language} if item.language else {})


def from_stream_entry(fields: dict[bytes, bytes]) -> Gathered:
    """The captured instruction of a stream's entry."""
    text = {key.decode(): value.decode() for key, value in fields.items()}
    instruction = Instruction.from_json(json.loads(text["messages"]))
    return Gathered(instruction, text["source"], text["tenant"], text.get("language"))
