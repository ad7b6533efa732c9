"""Turns: what was asked in the selected conversations and has a logged response."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from judge.comparison import Instruction
from judge.pairs.responses import flaw
from judge.pairs.strategies import Answered
from judge.store.tables import InstructionRow, SelectionRow


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a selected conversation that has a logged response.

    `kind` is that of the text which the generator writes in its place: of the last turn, its response.
    `later`: later turns of the conversation and their responses, each with the id of what holds it.
    """

    instruction_id: int
    instruction: Instruction
    response: str
    kind: str
    later: tuple[tuple[int, Instruction, str], ...] = ()

    def answered(self, weaker: str | None) -> Answered:
        """The turn as an answered instruction of its own; `weaker` is that text, if it can be used."""
        return Answered(
            self.instruction_id,
            self.instruction,
            self.response,
            weaker_response=weaker,
            later=self.later,
            logged=True,
        )


def training_turns(found: Iterable[tuple[SelectionRow, InstructionRow]]) -> list[Turn]:
    """The turns with a logged response in the training share's conversations.

    None of the held-out ones: a judge that only knows its generator's hand would be measured as a good one.
    """
    return turns(
        (row.id, Instruction.from_json(row.messages), row.response)
        for selection, row in found
        if not selection.held_out
    )


def turns(conversations: Iterable[tuple[int, Instruction, str | None]]) -> list[Turn]:
    """The turns that have a response, of conversations and what was answered to their last turns.

    Each once: a conversation is logged anew with every request.
    """
    found: dict[str, Turn] = {}
    for instruction_id, conversation, response in conversations:
        answered = [
            Turn(instruction_id, earlier, text, f"turn {place}")
            for place, (earlier, text) in enumerate(conversation.answered_turns, 1)
        ]
        if response is not None:
            answered.append(Turn(instruction_id, conversation, response.strip(), "response"))
        for turn in answered:
            if flaw(turn.instruction, turn.response, finished=True) is None:
                found.setdefault(turn.instruction.digest, turn)
    later = defaultdict(list)
    for turn in found.values():
        for earlier, _ in turn.instruction.answered_turns:
            later[earlier.digest].append((turn.instruction_id, turn.instruction, turn.response))
    return [replace(turn, later=tuple(later[digest])) for digest, turn in found.items()]
