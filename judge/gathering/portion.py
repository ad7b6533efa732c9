"""Instructions that come in together: what the database knows about them, and putting them into it.

Both in a few statements for all of them: a statement for each would take most of the time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ARRAY, BigInteger, Integer, case, column, func, select, true, update, values
from sqlalchemy.orm import Session

from judge.gathering import fingerprints, instructions, protected, quarantine
from judge.gathering.fingerprints import SAME, Index, Print
from judge.gathering.instructions import Gathered
from judge.gathering.protected import Close
from judge.store.tables import InstructionRow, QuarantineRow

# Candidates that share a band are few unless the pool holds a template thousands of times.
_MOST_CANDIDATES = 200
FLOOD = 50
_Table = type[InstructionRow] | type[QuarantineRow]


@dataclass(slots=True)
class Portion:
    """Instructions in their order: what is decided about one is known to those after it, and written at last.

    `close` holds for each the protected text that it is close to. An instruction is told by its digest.
    """

    close: list[Close | None]
    _known: set[str]
    _near: tuple[dict[int, str], dict[int, str]]
    _indexes: tuple[Index, Index] = field(default_factory=lambda: (Index(), Index()))
    _stored: list[Gathered] = field(default_factory=list)
    _apart: list[tuple[Gathered, str]] = field(default_factory=list)
    _repeated: Counter[str] = field(default_factory=Counter)

    @classmethod
    def look_up(cls, session: Session, items: Sequence[Gathered]) -> "Portion":
        """Ask the database about all of them."""
        prints = [_print(item) for item in items]
        return cls(
            protected.closest(session, [item.instruction for item in items]),
            _digests(session, [item.instruction.digest for item in items]),
            (_nearest(session, InstructionRow, prints), _nearest(session, QuarantineRow, prints)),
        )

    def is_known(self, item: Gathered) -> bool:
        """Whether it is in the pool or in quarantine."""
        return item.instruction.digest in self._known

    def is_near(self, place: int, item: Gathered) -> bool:
        """Whether it is nearly the same as one in the pool, which then counts it, or as one in quarantine."""
        pool, apart = (
            near.get(place) or index.near(_print(item))
            for near, index in zip(self._near, self._indexes, strict=True)
        )
        if pool:
            self._repeated[pool] += 1
        return bool(pool or apart)

    def store(self, item: Gathered) -> None:
        """Have it put into the pool."""
        self._stored.append(item)
        self._remember(item, self._indexes[0])

    def set_apart(self, item: Gathered, reason: str) -> None:
        """Have it put into quarantine, as close to a protected text."""
        self._apart.append((item, reason))
        self._remember(item, self._indexes[1])

    def write(self, session: Session) -> None:
        """Write what was decided."""
        instructions.store(session, self._stored)
        quarantine.put(session, self._apart, "contaminated")
        if self._repeated:
            reason = f"{FLOOD} near-duplicates of it came in"
            quarantine.move(session, self._floods(session), "flood", reason)

    def _remember(self, item: Gathered, index: Index) -> None:
        self._known.add(item.instruction.digest)
        index.add(item.instruction.digest, _print(item))

    def _floods(self, session: Session) -> list[InstructionRow]:
        """Count the near-duplicates at what they repeat; returns the rows that have reached their number."""
        seen = values(
            column("digest", InstructionRow.digest.type), column("times", Integer), name="seen"
        ).data(sorted(self._repeated.items()))
        count = InstructionRow.near_duplicates + seen.c.times
        rows = session.scalars(
            update(InstructionRow)
            .where(InstructionRow.digest == seen.c.digest)
            # What has reached the number is gone: later ones are not counted any more.
            .values(near_duplicates=case((InstructionRow.released, count), else_=func.least(count, FLOOD)))
            .returning(InstructionRow)
        )
        return [row for row in rows if row.near_duplicates >= FLOOD and not row.released]


def _print(item: Gathered) -> Print:
    assert item.print is not None
    return item.print


def _digests(session: Session, asked: Sequence[str]) -> set[str]:
    """Those of them that are in the pool or in quarantine."""
    pool, apart = (
        select(table.digest).where(table.digest.in_(asked)) for table in (InstructionRow, QuarantineRow)
    )
    return set(session.scalars(pool.union(apart)))


def _nearest(session: Session, table: _Table, prints: Sequence[Print]) -> dict[int, str]:
    """By place, the digest of a stored one that is nearly the same."""
    asked = values(column("place", Integer), column("bands", ARRAY(BigInteger)), name="asked").data(
        [(place, list(one.bands)) for place, one in enumerate(prints)]
    )
    candidates = (
        select(table.digest, table.signature)
        .where(table.bands.op("&&")(asked.c.bands))
        .limit(_MOST_CANDIDATES)
        .lateral("candidates")
    )
    near: dict[int, str] = {}
    for place, digest, signature in session.execute(
        select(asked.c.place, candidates.c.digest, candidates.c.signature).join_from(
            asked, candidates, true()
        )
    ):
        if (
            place not in near
            and signature
            and fingerprints.similarity(prints[place].signature, signature) >= SAME
        ):
            near[place] = digest
    return near
