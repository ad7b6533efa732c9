"""A batch's file: one JSON object a line, read from disk line by line and never whole."""

import json
import math
from collections.abc import Collection, Iterator
from typing import IO, Any

from pydantic import ValidationError

from judge.batches.line_store import Line
from judge.errors import Fault, InvalidInput
from service.door.problems import faults_of
from service.schemas.batches import BatchLine

MAX_LINES = 50_000
MAX_FAULTS = 20


def read_lines(file: IO[bytes], urls: Collection[str], max_line_bytes: int) -> Iterator[Line]:
    """The lines of a file, blank ones left out.

    Checked is what concerns the file as a whole; a body that its route would refuse is a good line, whose
    result will say so. After the first fault nothing more is yielded, only more faults are looked for.

    Raises:
        InvalidInput: with the first `MAX_FAULTS` faults, each naming its line, counted from 1.
    """
    faults: list[Fault] = []
    numbers: dict[str, int] = {}
    for number, raw in _raw_lines(file, max_line_bytes):
        if len(numbers) == MAX_LINES:
            faults.append(Fault(f"line {number}", f"a batch may have {MAX_LINES} lines"))
            break
        try:
            line = _line(raw, number, urls, max_line_bytes)
            first = numbers.setdefault(line.custom_id, number)
            if first != number:
                raise InvalidInput(Fault(f"line {number}: custom_id", f"is that of line {first} too"))
        except InvalidInput as error:
            faults += error.faults
            if len(faults) >= MAX_FAULTS:
                break
            continue
        if not faults:
            yield Line(len(numbers) - 1, line.custom_id, line.url, json.dumps(line.body, allow_nan=False))
    if not numbers and not faults:
        faults.append(Fault("body", "has no lines"))
    if faults:
        raise InvalidInput(*faults[:MAX_FAULTS])


def _raw_lines(file: IO[bytes], longest: int) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers; of one that is longer than `longest` bytes, a little more than that."""
    number = 0
    while raw := file.readline(longest + 2):
        number += 1
        rest = raw
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(longest)
        if raw.strip():
            yield number, raw


def _line(raw: bytes, number: int, urls: Collection[str], longest: int) -> BatchLine:
    if len(raw.rstrip(b"\r\n")) > longest:
        raise InvalidInput(Fault(f"line {number}", f"is longer than {longest} bytes"))
    try:
        found = parse(raw)
        if not isinstance(found, dict):
            raise InvalidInput(Fault(f"line {number}", "must be a JSON object"))
        line = BatchLine.model_validate(found)
    except ValidationError as error:
        raise InvalidInput(*faults_of(error.errors()[:5], f"line {number}: ")) from error
    except RecursionError as error:
        raise InvalidInput(Fault(f"line {number}", "is nested too deeply")) from error
    except ValueError as error:
        raise InvalidInput(Fault(f"line {number}", f"not JSON: {error}")) from error
    if line.url not in urls:
        raise InvalidInput(Fault(f"line {number}: url", f"must be one of {', '.join(sorted(urls))}"))
    return line


def parse(raw: bytes) -> Any:
    """JSON as the standard has it: Python's own reader takes NaN and makes 1e999 infinite."""
    return json.loads(raw, parse_constant=_refuse, parse_float=_finite)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is too large a number")
    return value
