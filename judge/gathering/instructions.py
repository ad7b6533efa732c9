"""Unlabeled instructions: stored once each, whether ingested or captured from live requests."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.comparison import Instruction
from judge.gathering.fingerprints import Print
from judge.store.tables import EvaluationRow, InstructionRow, PairRow

STREAM = "judgesmith:captured"


@dataclass(frozen=True, slots=True)
class Gathered:
    """An instruction as it came in; `print` once it is known what tells it from others.

    `response`: what a model in production answered to it, where that was logged.
    """

    instruction: Instruction
    source: str
    tenant: str
    language: str | None = None
    print: Print | None = None
    response: str | None = None

    def columns(self) -> dict[str, object]:
        """Its columns in `instructions` and `quarantine`."""
        return {
            "digest": self.instruction.digest,
            "messages": self.instruction.to_json(),
            "response": self.response,
            "source": self.source,
            "language": self.language,
            "tenant": self.tenant,
            "signature": self.print.signature if self.print else None,
            "bands": list(self.print.bands) if self.print else None,
        }


def store(session: Session, items: Sequence[Gathered]) -> set[int]:
    """Insert what is new, in order; return the indexes of the items that were there (or repeated here).

    One writer at a time (`judge.gathering.intake`): two with the same instructions might wait for each other.
    """
    digests = [item.instruction.digest for item in items]
    first = {digest: index for index, digest in reversed(list(enumerate(digests)))}
    rows = [items[index].columns() for index in sorted(first.values())]
    if not rows:
        return set()
    inserted = set(
        session.scalars(
            insert(InstructionRow).values(rows).on_conflict_do_nothing().returning(InstructionRow.digest)
        )
    )
    return {index for index, digest in enumerate(digests) if digest not in inserted or first[digest] != index}


def known(session: Session, limit: int, languages: Sequence[str] = ()) -> list[InstructionRow]:
    """The newest instructions, oldest of them first; only in the given languages, or an unknown one.

    Those that wait for the quarantine (`judge.gathering.quarantine`) are none of them.
    """
    query = (
        select(InstructionRow)
        .where(InstructionRow.suspected.is_(None))
        .order_by(InstructionRow.id.desc())
        .limit(limit)
    )
    if languages:
        query = query.where(or_(InstructionRow.language.in_(languages), InstructionRow.language.is_(None)))
    return list(session.scalars(query))[::-1]


def remove(session: Session, ids: Sequence[int]) -> None:
    """Delete instructions, and what iterations have derived from them: pairs that borrowed from them as well.

    Evaluations lose what judges wrote about such pairs. The verdicts stay: they are figures, and the gate has
    counted them.
    """
    gone: dict[int, set[str]] = defaultdict(set)
    derived = or_(PairRow.instruction_id.in_(ids), PairRow.lender_id.in_(ids))
    for pair in session.scalars(select(PairRow).where(derived)):
        gone[pair.iteration_id].add(pair.item)
    written = select(EvaluationRow).where(
        EvaluationRow.iteration_id.in_(gone), EvaluationRow.strategy == "reasoning"
    )
    for row in session.scalars(written):
        names = gone[row.iteration_id]
        row.items = [item | {"rationale": None} if item["item"] in names else item for item in row.items]
    session.flush()
    session.execute(delete(InstructionRow).where(InstructionRow.id.in_(ids)))


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
