"""Scan: what came in lately, for planted phrases (`judge.gathering.planted`): carriers go to quarantine.

What users said and what models answered is looked at apart: each has its own words, and many instructions
come without an answer.
"""

import logging
from collections.abc import Sequence

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from judge.gathering import quarantine
from judge.gathering.fingerprints import logged_text, user_text, words
from judge.gathering.planted import planted
from judge.store.database import Lock, Sessions
from judge.store.tables import InstructionRow, QuarantineRow

logger = logging.getLogger(__name__)
WINDOW = 1000
_BACKGROUND = 8000
# A scan waits for this many new instructions, or for the oldest of them to be this old.
_ENOUGH = 200
_PATIENCE = "interval '1 hour'"
_KNOWN_PHRASES = 100
_VOICES = 2


def scan(sessions: Sessions, *, at_once: bool = False) -> int:
    """Look at all that is new, a window at a time; returns how many instructions were found to be planted.

    `at_once` does not wait for more to come in. Two scans at a time would do the same work: one waits.
    """
    moved = 0
    while True:
        with sessions.begin() as session:
            session.execute(select(func.pg_advisory_xact_lock(Lock.SCAN)))
            last = _last_unscanned(session, at_once)
            if last is None:
                return moved
            moved += _scan_up_to(session, last)


def _last_unscanned(session: Session, at_once: bool) -> int | None:
    """The id up to which the next window goes; None if it is not time for one."""
    new = select(InstructionRow.id, InstructionRow.created_at).where(~InstructionRow.scanned)
    rows = session.execute(new.order_by(InstructionRow.id).limit(WINDOW)).all()
    if not rows:
        return None
    old = session.scalar(select(rows[0].created_at < func.now() - text(_PATIENCE)))
    return int(rows[-1].id) if at_once or len(rows) >= _ENOUGH or old else None


def _scan_up_to(session: Session, last: int) -> int:
    """Scan the `WINDOW` instructions that end with this one against those before; marks them as seen."""
    latest = (
        select(InstructionRow)
        .where(InstructionRow.id <= last)
        .order_by(InstructionRow.id.desc())
        .limit(WINDOW)
    )
    window = list(session.scalars(latest))
    before = (
        select(InstructionRow.messages, InstructionRow.response)
        .where(InstructionRow.id < window[-1].id)
        .order_by(InstructionRow.id.desc())
        .limit(_BACKGROUND)
    )
    background = [_voices(*row) for row in session.execute(before)]
    moved: set[int] = set()
    for phrase, index in _carriers(session, window, background):
        found = [window[i] for i in sorted(index)]
        rows = [row for row in found if not (row.released or row.suspected) and row.id not in moved]
        shown = " ".join(repr(word) for word in phrase)
        reason = f"carries {shown}, as {len(index)} of the last {len(window)} instructions do and few before"
        quarantine.move(session, rows, "planted", reason, phrase)
        moved |= {row.id for row in rows}
        if rows:
            logger.warning("quarantined %d instructions that share a planted phrase", len(rows))
    session.execute(
        update(InstructionRow).where(InstructionRow.id <= last, ~InstructionRow.scanned).values(scanned=True)
    )
    return len(moved)


def _carriers(
    session: Session, window: list[InstructionRow], background: list[tuple[str, str]]
) -> list[tuple[list[str], set[int]]]:
    """Phrases and the places of their carriers: new phrases, and those that quarantine already knows."""
    voices = [_voices(row.messages, row.response) for row in window]
    found: list[tuple[list[str], set[int]]] = []
    for voice in range(_VOICES):
        heard = [(place, said[voice]) for place, said in enumerate(voices) if said[voice]]
        before = [said[voice] for said in background if said[voice]]
        for one in planted([said for _, said in heard], before):
            found.append((list(one.words), {heard[index][0] for index in one.carriers}))
    known = session.scalars(
        select(QuarantineRow.words)
        .where(QuarantineRow.kind == "planted")
        .group_by(QuarantineRow.words)
        .order_by(func.max(QuarantineRow.id).desc())
        .limit(_KNOWN_PHRASES)
    ).all()
    spoken = [[set(words(said)) for said in voice] for voice in voices] if known else []
    for phrase in known:
        carriers = {i for i, voice in enumerate(spoken) if any(said.issuperset(phrase) for said in voice)}
        if carriers:
            found.append((phrase, carriers))
    return found


def _voices(messages: Sequence[dict[str, str]], response: str | None) -> tuple[str, str]:
    """What the user said and what a model answered."""
    return user_text(messages), logged_text(messages, response)
