"""Bringing a file of instructions in: read all of it first, then send it in parts.

The forms of files are those of `judge.gathering.traces`.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from judge.errors import Fault
from judge.gathering import traces
from judge.gathering.traces import Format
from stack.terminal.gateway import Gateway

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
    """What the gateway made of a file; faults and reasons name lines."""

    accepted: int
    duplicates: int
    near_duplicates: int
    quarantined: tuple[Fault, ...]
    rejected: tuple[Fault, ...]


def parse(lines: Iterable[str], source: str, form: Format = "auto") -> tuple[list[Line], list[Fault], int]:
    """The instructions of a file, what is wrong with other lines, and how many lines hold none.

    `source` is where they come from, for lines that do not say.
    """
    parsed = traces.parse(traces.split("\n".join(lines)), form)
    good = []
    for one in parsed.found:
        item = {"messages": one.instruction.to_json(), "source": one.source or source}
        known = {"language": one.language, "response": one.response}
        good.append(Line(one.line, item | {name: value for name, value in known.items() if value}))
    return good, [Fault(bad.place, bad.reason) for bad in parsed.faults], parsed.skipped


def send(gateway: Gateway, lines: list[Line], sent: Callable[[int], None]) -> Ingested:
    """Post the instructions, in order; `sent` is told how many were sent after each part.

    Repeating it is harmless: what is there already counts as a duplicate.
    """
    counts = {"accepted": 0, "duplicates": 0, "near_duplicates": 0}
    told: dict[str, list[Fault]] = {"quarantined": [], "rejected": []}
    for part in _parts(lines):
        answer = gateway.post("/instructions", {"instructions": [line.item for line in part]})
        for name in counts:
            counts[name] += answer.get(name, 0)
        for name, faults in told.items():
            for fault in answer.get(name, ()):
                faults.append(Fault(f"line {part[fault['index']].number}", str(fault["reason"])))
        sent(len(part))
    return Ingested(**counts, quarantined=tuple(told["quarantined"]), rejected=tuple(told["rejected"]))


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
