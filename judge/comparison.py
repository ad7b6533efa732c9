"""The values that are judged: messages, instructions, comparisons, single responses."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from judge.errors import Fault, InvalidInput

Role = Literal["system", "user", "assistant"]
Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a user asked: chat messages, the last one the user's."""

    messages: tuple[Message, ...]

    @classmethod
    def of(cls, text: str) -> "Instruction":
        """A single-turn instruction."""
        return cls((Message("user", text),))

    @classmethod
    def from_json(cls, messages: Iterable[Any]) -> "Instruction":
        """Build from `[{"role", "content"}, …]`.

        Raises:
            InvalidInput: a role or content is missing or wrong, or the last turn is not the user's.
        """
        turns = []
        for index, message in enumerate(messages):
            if not isinstance(message, Mapping):
                raise InvalidInput(Fault(f"messages.{index}", "must be an object with role and content"))
            role, content = message.get("role"), message.get("content")
            if role not in ("system", "user", "assistant"):
                raise InvalidInput(Fault(f"messages.{index}.role", "must be system, user or assistant"))
            if reason := flaw(content):
                raise InvalidInput(Fault(f"messages.{index}.content", reason))
            turns.append(Message(role, str(content)))
        if not turns or turns[-1].role != "user":
            raise InvalidInput(Fault("messages", "the last message must be the user's"))
        return cls(tuple(turns))

    def to_json(self) -> list[dict[str, str]]:
        """The messages as JSON values."""
        return [{"role": turn.role, "content": turn.content} for turn in self.messages]

    @property
    def text(self) -> str:
        """The last user turn."""
        return self.messages[-1].content

    @property
    def answered_turns(self) -> "list[tuple[Instruction, str]]":
        """The user's earlier turns, each as an instruction of its own, with the response that it got."""
        turns = self.messages
        return [
            (Instruction(turns[:index]), turn.content.strip())
            for index, turn in enumerate(turns)
            if turn.role == "assistant" and index and turns[index - 1].role == "user"
        ]

    @property
    def digest(self) -> str:
        """SHA-256 of the normalized messages: equal for texts that differ only in case and spacing."""
        canonical = [[turn.role, fold(turn.content)] for turn in self.messages]
        return hashlib.sha256(json.dumps(canonical).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Comparison:
    """An instruction with two responses."""

    instruction: Instruction
    response_a: str
    response_b: str

    def response(self, side: Side) -> str:
        """The response on that side."""
        return self.response_a if side == "a" else self.response_b


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """An instruction with a chosen and a rejected response, and the strategy that made it.

    `lender`: the id of the other instruction whose response the rejected one is, or has parts of.
    `rejected_for`: the instruction that the rejected response answers, where it is a good one to another.
    """

    instruction: Instruction
    chosen: str
    rejected: str
    strategy: str
    lender: int | None = None
    rejected_for: Instruction | None = field(default=None, compare=False)

    def comparison(self, chosen_side: Side) -> Comparison:
        """The comparison with the chosen response on the given side."""
        if chosen_side == "a":
            return Comparison(self.instruction, self.chosen, self.rejected)
        return Comparison(self.instruction, self.rejected, self.chosen)


def flaw(text: object) -> str | None:
    """Why something cannot be taken as a text, or None: neither Postgres nor a tokenizer takes everything."""
    if not isinstance(text, str) or not text.strip():
        return "must be a non-empty string"
    if "\x00" in text:
        return "must not hold a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "must not hold half of a surrogate pair"
    return None


def fold(text: str) -> str:
    """Normalize a text for comparing: NFKC, case-folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def other(side: Side) -> Side:
    """The opposite side."""
    return "b" if side == "a" else "a"
