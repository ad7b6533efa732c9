"""Bringing a file of instructions in: read all of it first, then send it in parts.

A line is `{"messages": […]}`, `{"instruction": "…"}` or `{"prompt": "…"}`; `source` and `language` may be
added.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from judge.comparison import Instruction
from judge.errors import Fault, InvalidInput
from stack.gateway import Gateway

_CHUNK_ITEMS = 500
# Well below the gateway's limit on a body (8 MiB by default).
_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """An instruction of the file, ready to be sent, and the line it came from."""

    number: int
    item: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What the gateway made of a file; the faults name lines."""

    accepted: int
    duplicates: int
    rejected: tuple[Fault, ...]


def parse(lines: Iterable[str], source: str) -> tuple[list[Line], list[Fault]]:
    """The instructions of a JSONL file, and what is wrong with the other lines; empty lines are neither.

    `source` is where they come from, for lines that do not say.
    """
    good, faults = [], []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            good.append(Line(number, _item(text, source)))
        except InvalidInput as error:
            faults += [Fault(f"line {number}: {fault.field}", fault.reason) for fault in error.faults]
        except ValueError as error:
            faults.append(Fault(f"line {number}", f"not JSON: {error}"))
    return good, faults


def _item(text: str, source: str) -> dict[str, Any]:
    row = json.loads(text)
    if not isinstance(row, dict):
        raise InvalidInput(Fault("line", "must be a JSON object"))
    known = {name: row[name] for name in ("source", "language") if isinstance(row.get(name), str)}
    return {"messages": _instruction(row).to_json(), "source": source} | known


def _instruction(row: dict[str, Any]) -> Instruction:
    messages = row.get("messages")
    if isinstance(messages, list):
        if not all(isinstance(message, dict) for message in messages):
            raise InvalidInput(Fault("messages", "must be a list of objects with role and content"))
        return Instruction.from_json(messages)
    for name in ("instruction", "prompt"):
        text = row.get(name)
        if isinstance(text, str) and text.strip():
            return Instruction.of(text)
    raise InvalidInput(Fault("messages", "give `messages` (a list), `instruction` or `prompt` (text)"))


def send(gateway: Gateway, lines: list[Line], sent: Callable[[int], None]) -> Ingested:
    """Post the instructions, in order; `sent` is told how many were sent after each part.

    Repeating it is harmless: what is there already counts as a duplicate.
    """
    accepted = duplicates = 0
    rejected: list[Fault] = []
    for part in _parts(lines):
        answer = gateway.post("/instructions", {"instructions": [line.item for line in part]})
        accepted += answer["accepted"]
        duplicates += answer["duplicates"]
        for fault in answer["rejected"]:
            rejected.append(Fault(f"line {part[fault['index']].number}", str(fault["reason"])))
        sent(len(part))
    return Ingested(accepted, duplicates, tuple(rejected))


def _parts(lines: list[Line]) -> Iterator[list[Line]]:
    part: list[Line] = []
    size = 0
    for line in lines:
        length = len(json.dumps(line.item))
        if part and (len(part) == _CHUNK_ITEMS or size + length > _CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += length
    if part:
        yield part
