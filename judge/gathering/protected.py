"""Texts that the loop must never train on: instructions of anchors, items of benchmarks.

An instruction is too close to one of them if it holds most of its runs of five words, or is itself mostly
made of them. That finds items quoted inside longer prompts, which a similarity of whole texts would not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Integer, cast, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from judge.comparison import Instruction
from judge.gathering.fingerprints import user_text, word_grams
from judge.store.database import Lock
from judge.store.tables import AnchorRow, ProtectedGramRow, ProtectedRow

# The name under which the instructions of what people judge are protected.
REVIEW_QUEUE = "review queue"
_SHARE = 0.7
# A short instruction may well be a phrase that any long item holds.
_LEAST_GRAMS = 8


@dataclass(frozen=True, slots=True)
class Close:
    """The protected text that an instruction is too close to, and how much of the one is in the other."""

    name: str
    item: str
    share: float

    def __str__(self) -> str:
        return f"{self.share:.0%} the same as item {self.item} of {self.name}"


def replace_protected(session: Session, name: str, instructions: Iterable[Instruction]) -> int:
    """Protect the items of a benchmark, in place of the ones of that name; returns how many."""
    session.execute(delete(ProtectedRow).where(ProtectedRow.name == name, ProtectedRow.anchor_id.is_(None)))
    unique = {instruction.digest[:16]: instruction for instruction in instructions}
    for item, instruction in unique.items():
        _protect(session, name, item, instruction.to_json(), None)
    return len(unique)


def protect_anchors(session: Session) -> None:
    """Protect the anchors that are new since the last time; rows of deleted ones went with them."""
    session.execute(select(func.pg_advisory_xact_lock(Lock.PROTECT)))
    protected = select(ProtectedRow.anchor_id).where(ProtectedRow.anchor_id == AnchorRow.id)
    for anchor in session.scalars(select(AnchorRow).where(~protected.exists())):
        _protect(session, f"anchors {anchor.anchor_set}", anchor.item, anchor.messages, anchor.id)


def protect(session: Session, name: str, item: str, instruction: Instruction) -> None:
    """Protect one more text, under a name that no anchor set and no benchmark has."""
    _protect(session, name, item, instruction.to_json(), None)


def unprotect(session: Session, name: str, items: Sequence[str]) -> None:
    """No longer protect these."""
    session.execute(delete(ProtectedRow).where(ProtectedRow.name == name, ProtectedRow.item.in_(items)))


def closest(session: Session, instructions: Sequence[Instruction]) -> list[Close | None]:
    """For each instruction the protected text that it is too close to, if any; in one statement."""
    grams = [word_grams(user_text(instruction.to_json())) for instruction in instructions]
    rows = [(n, gram, max(len(own), _LEAST_GRAMS)) for n, own in enumerate(grams) for gram in sorted(own)]
    number, gram, size = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    asked = (
        func.unnest(cast(number, ARRAY(Integer)), cast(gram, ARRAY(BigInteger)), cast(size, ARRAY(Integer)))
        .table_valued("number", "gram", "size", name="asked")
        .render_derived()
    )
    share = func.count() * 1.0 / func.least(ProtectedRow.grams, asked.c.size)
    found = session.execute(
        select(asked.c.number, ProtectedRow.name, ProtectedRow.item, share)
        .select_from(asked)
        .join(ProtectedGramRow, ProtectedGramRow.gram == asked.c.gram)
        .join(ProtectedRow, ProtectedRow.id == ProtectedGramRow.protected_id)
        .group_by(asked.c.number, asked.c.size, ProtectedRow.id)
        .having(share >= _SHARE)
        .order_by(asked.c.number, share.desc(), ProtectedRow.id)
    )
    close: list[Close | None] = [None] * len(instructions)
    for place, name, item, part in found:
        close[place] = close[place] or Close(name, item, float(part))
    return close


def _protect(
    session: Session, name: str, item: str, messages: list[dict[str, str]], anchor: int | None
) -> None:
    grams = word_grams(user_text(messages))
    row = ProtectedRow(name=name, item=item, grams=len(grams), anchor_id=anchor)
    session.add(row)
    session.flush()
    values = [{"gram": gram, "protected_id": row.id} for gram in sorted(grams)]
    session.execute(insert(ProtectedGramRow), values)
