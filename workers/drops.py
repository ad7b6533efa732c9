"""Writing down why a step of the funnel left something out: the count for the report, and a row for each."""

from collections.abc import Sequence

from sqlalchemy import delete
from sqlalchemy.orm import Session

from judge.store.tables import DropRow
from judge.teaching.funnel import Step


class Dropping:
    """One step of one iteration; `write` replaces what an earlier attempt at the stage wrote."""

    def __init__(self, iteration: int, name: str, came_in: int) -> None:
        self.step = Step(name, came_in)
        self._iteration = iteration
        self._rows: list[DropRow] = []

    def drop(self, instruction: int, reason: str) -> None:
        """Leave out one thing that came of an instruction."""
        self.step.drop(reason)
        row = DropRow(
            iteration_id=self._iteration, step=self.step.name, instruction_id=instruction, reason=reason
        )
        self._rows.append(row)

    def drop_all(self, instructions: Sequence[int], reason: str) -> None:
        """Leave out several for the same reason."""
        for instruction in instructions:
            self.drop(instruction, reason)

    def write(self, session: Session) -> None:
        """Store the rows in the stage's transaction."""
        session.execute(
            delete(DropRow).where(DropRow.iteration_id == self._iteration, DropRow.step == self.step.name)
        )
        session.add_all(self._rows)
