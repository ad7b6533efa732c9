"""Select: which instructions an iteration works with, and which of them are held out.

Newest first; too long ones, near-duplicates and whatever is close to an anchor are left out, the rest is
drawn evenly over languages and lengths. The counts are the top of the funnel.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete

from judge import anchors, instructions
from judge.comparison import Instruction
from judge.errors import Conflict
from judge.similarity import near_any, near_duplicates
from judge.tables import InstructionRow, SelectionRow
from workers.scan import scan
from workers.stage import Stage

MINIMUM = 16


def run(stage: Stage) -> dict[str, Any]:
    """Write the iteration's selections; the same instructions give the same selections."""
    settings = stage.settings
    scan(stage.lease.sessions, at_once=True)
    with stage.lease.transaction() as session:
        # Three times as many as wanted, so that the filters and the even draw have something to choose.
        rows = instructions.known(session, settings.instructions * 3)
        anchored = [
            pair.comparison.instruction for pairs in anchors.load_anchors(session).values() for pair in pairs
        ]
        counts: dict[str, Any] = {"known": len(rows)}
        rows = _drop(rows, _too_long(rows, settings.max_instruction_chars), counts, "too_long")
        rows = _drop(rows, near_duplicates([_text(row) for row in rows]), counts, "near_duplicates")
        rows = _drop(rows, _anchored(rows, anchored), counts, "close_to_anchors")
        chosen = draw_evenly(rows, settings.instructions)
        if len(chosen) < MINIMUM:
            raise Conflict(
                f"{len(chosen)} usable instructions, at least {MINIMUM} are needed: bring in more with "
                "`judgesmith ingest FILE.jsonl`"
            )
        held_out = {row.id for row in chosen if is_held_out(row.digest, settings.held_out_share)}
        session.execute(delete(SelectionRow).where(SelectionRow.iteration_id == stage.iteration))
        session.add_all(
            SelectionRow(iteration_id=stage.iteration, instruction_id=row.id, held_out=row.id in held_out)
            for row in chosen
        )
    return {**counts, "selected": len(chosen), "held_out": len(held_out)}


def is_held_out(digest: str, share: float) -> bool:
    """Decided by the instruction alone, so that it never changes sides between iterations."""
    value = int(hashlib.sha256(f"held-out {digest}".encode()).hexdigest()[:8], 16)
    return value < share * 2**32


def draw_evenly(rows: Sequence[InstructionRow], wanted: int) -> list[InstructionRow]:
    """Take in turn from each stratum (language and length), newest first within it."""
    strata: dict[tuple[str, int], list[InstructionRow]] = defaultdict(list)
    for row in rows:
        strata[(row.language or "", _length_bin(_text(row)))].append(row)
    drawn: list[InstructionRow] = []
    while len(drawn) < wanted and any(strata.values()):
        for key in sorted(strata):
            if strata[key] and len(drawn) < wanted:
                drawn.append(strata[key].pop())
    return sorted(drawn, key=lambda row: row.id)


def _drop(
    rows: list[InstructionRow], indexes: set[int], counts: dict[str, Any], reason: str
) -> list[InstructionRow]:
    counts[reason] = len(indexes)
    return [row for index, row in enumerate(rows) if index not in indexes]


def _too_long(rows: Sequence[InstructionRow], limit: int) -> set[int]:
    return {
        index for index, row in enumerate(rows) if sum(len(turn["content"]) for turn in row.messages) > limit
    }


def _anchored(rows: Sequence[InstructionRow], anchored: Sequence[Instruction]) -> set[int]:
    digests = {instruction.digest for instruction in anchored}
    same = {index for index, row in enumerate(rows) if row.digest in digests}
    return same | near_any([_text(row) for row in rows], [instruction.text for instruction in anchored])


def _text(row: InstructionRow) -> str:
    return str(row.messages[-1]["content"])


def _length_bin(text: str) -> int:
    return min(len(text) // 100, 4)
