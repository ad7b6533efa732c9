"""What a judge is asked about in a benchmark, and what it answered. Pure values with a JSON form."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

from judge.comparison import Comparison, Instruction, Side, flaw, other
from judge.errors import Fault, InvalidInput
from judge.verdict import Verdict

# Compare two responses in both orders, or rate each response alone.
Task = Literal["compare", "rate"]
Label = Literal["a", "b", "tie"]
_MOST_FAULTS = 50


@dataclass(frozen=True, slots=True)
class Item:
    """One question to a judge.

    `subset`: the part of the benchmark that it belongs to. `label`: the better response, None where the
    benchmark has no single answer. `facts`: what else its arithmetic needs (votes, scores, names).
    """

    id: str
    subset: str
    instruction: Instruction
    responses: tuple[str, ...]
    label: Label | None = None
    task: Task = "compare"
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def cluster(self) -> str:
        """What intervals draw as one: all items of an instruction."""
        return _cluster(self.instruction)

    @property
    def comparison(self) -> Comparison:
        """The two responses of an item to compare."""
        first, second = self.responses
        return Comparison(self.instruction, first, second)

    def to_json(self) -> dict[str, Any]:
        """A JSON value; `from_json` is the inverse."""
        return {**asdict(self), "instruction": self.instruction.to_json(), "responses": list(self.responses)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Item":
        """Check a JSON value from outside.

        Raises:
            InvalidInput: naming the field.
        """
        unknown = value.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise InvalidInput(Fault(min(unknown), "is not a field of an item"))
        for name in ("id", "subset"):
            if reason := flaw(value.get(name)):
                raise InvalidInput(Fault(name, reason))
        if not isinstance(value.get("instruction"), list):
            raise InvalidInput(Fault("instruction", "must be a list of messages"))
        task, label, facts = value.get("task", "compare"), value.get("label"), value.get("facts", {})
        if task not in ("compare", "rate"):
            raise InvalidInput(Fault("task", "must be compare or rate"))
        if label not in (None, "a", "b", "tie"):
            raise InvalidInput(Fault("label", "must be a, b, tie or null"))
        if not isinstance(facts, dict):
            raise InvalidInput(Fault("facts", "must be an object"))
        instruction = Instruction.from_json(value["instruction"])
        responses = _responses(value.get("responses"), task)
        return cls(value["id"], value["subset"], instruction, responses, label, task, facts)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model version said about one item.

    Of a comparison: `verdicts` about A and B with A shown first and with B shown first, the `verdict` of both
    together, and `probability_a`. Of ratings: a score for each response, None where none was had. `seconds`:
    from asking to the answer, beside other items.
    """

    item: str
    verdicts: tuple[Verdict, Verdict] | None = None
    verdict: Verdict = "invalid"
    probability_a: float | None = None
    scores: tuple[float | None, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    truncated: bool = False
    reason: str | None = None
    rationale: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value; `from_json` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Judged":
        """The inverse of `to_json`."""
        verdicts = tuple(value["verdicts"]) if value["verdicts"] else None
        return cls(**{**value, "verdicts": verdicts, "scores": tuple(value["scores"])})


@dataclass(frozen=True, slots=True)
class Answered:
    """An item and what one judge said about it."""

    item: Item
    judged: Judged

    @property
    def orders(self) -> tuple[Verdict, Verdict]:
        """The verdicts with A and with B shown first; invalid where there is none."""
        return self.judged.verdicts or ("invalid", "invalid")

    @property
    def agreed(self) -> Verdict:
        """The verdict of both orders if they agree, else a tie: the rule of MT-Bench."""
        first, last = self.orders
        return first if first == last != "invalid" else "tie"

    @property
    def right(self) -> bool:
        """Whether both orders gave the label."""
        return self.orders == (self.item.label, self.item.label)


@lru_cache(maxsize=2**16)
def _cluster(instruction: Instruction) -> str:
    """Asked for by every figure, and slow to make."""
    return instruction.digest[:16]


def placed_first(item: str, seed: int) -> Side:
    """Which response a benchmark that shows one order only shows first: by a coin that the seed fixes."""
    value = hashlib.sha256(f"placement {seed} {item}".encode()).digest()[0]
    return "a" if value < 128 else "b"


def shown(answered: Answered, seed: int) -> Verdict:
    """The verdict in the one order that the seed places the responses in."""
    first, last = answered.orders
    return first if placed_first(answered.item.id, seed) == "a" else last


def credit(verdict: Verdict, label: Side) -> float:
    """1 for the label, 0 for the other side, one half for a tie or no verdict."""
    if verdict == label:
        return 1.0
    return 0.0 if verdict == other(label) else 0.5


def to_lines(items: Iterable[Item]) -> bytes:
    """Items as JSONL, in the same bytes for the same items."""
    return b"".join(
        json.dumps(item.to_json(), ensure_ascii=False, sort_keys=True).encode() + b"\n" for item in items
    )


def from_lines(lines: Iterable[str]) -> list[Item]:
    """Items out of JSONL, each id once.

    Raises:
        InvalidInput: naming the lines that are wrong; nothing is returned then.
    """
    items: dict[str, Item] = {}
    faults: list[Fault] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise InvalidInput(Fault("item", "must be a JSON object"))
            item = Item.from_json(value)
            if item.id in items:
                raise InvalidInput(Fault("id", f"{item.id[:80]!r} is there twice"))
            items[item.id] = item
        except InvalidInput as error:
            faults += [Fault(f"line {number}: {fault.field}", fault.reason) for fault in error.faults]
        except (ValueError, RecursionError) as error:
            faults.append(Fault(f"line {number}", f"not JSON: {error}"))
    if faults:
        raise InvalidInput(*faults[:_MOST_FAULTS])
    if not items:
        raise InvalidInput(Fault("body", "no items; expected one JSON object a line"))
    return list(items.values())


def _responses(value: Any, task: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) < 2 or (task == "compare" and len(value) != 2):
        count = "two texts" if task == "compare" else "at least two texts"
        raise InvalidInput(Fault("responses", f"must be a list of {count}"))
    for index, text in enumerate(value):
        # Systems do answer with nothing, and a judge has to cope.
        if not isinstance(text, str):
            raise InvalidInput(Fault(f"responses.{index}", "must be a text"))
        if text.strip() and (reason := flaw(text)):
            raise InvalidInput(Fault(f"responses.{index}", reason))
    return tuple(value)
