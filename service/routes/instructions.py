"""`/instructions`: bring in unlabeled production instructions."""

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from judge import instructions
from judge.errors import Fault, InvalidInput
from judge.instructions import Gathered
from judge.keys import Principal
from service.auth import allow
from service.problems import faults_of
from service.schemas import InstructionItem, InstructionsAnswer, InstructionsRequest, Rejected
from service.state import State, state

router = APIRouter(tags=["instructions"])
_JSONL = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
_MAX_CHARS = 100_000
_SHAPE = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": InstructionsRequest.model_json_schema()},
            "application/jsonl": {"schema": {"type": "string", "description": "one instruction a line"}},
        },
    }
}


@router.post("/instructions", openapi_extra=_SHAPE)
async def bring_in(
    request: Request,
    caller: Annotated[Principal, Depends(allow("ingest"))],
    app: Annotated[State, Depends(state)],
) -> InstructionsAnswer:
    """Store instructions, each once. A body with a bad item or line is refused as a whole."""
    body = await request.body()
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    items = parse_lines(body) if media_type in _JSONL else parse_document(body)
    rejected, kept = [], []
    for index, item in enumerate(items):
        instruction = item.to_instruction()
        if sum(len(turn.content) for turn in instruction.messages) > _MAX_CHARS:
            rejected.append(Rejected(index=index, reason=f"longer than {_MAX_CHARS} characters"))
        else:
            kept.append(Gathered(instruction, item.source, caller.tenant, item.language))
    repeated = await asyncio.to_thread(_store, app, kept)
    return InstructionsAnswer(accepted=len(kept) - len(repeated), duplicates=len(repeated), rejected=rejected)


def parse_document(body: bytes) -> list[InstructionItem]:
    """A JSON body.

    Raises:
        InvalidInput: naming each field that is wrong.
    """
    try:
        return InstructionsRequest.model_validate_json(body).instructions
    except ValidationError as error:
        raise InvalidInput(*faults_of(error.errors()[:50])) from error


def parse_lines(body: bytes) -> list[InstructionItem]:
    """A JSONL body; blank lines are skipped.

    Raises:
        InvalidInput: naming each line that is wrong, counted from 1.
    """
    items: list[InstructionItem] = []
    faults: list[Fault] = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            items.append(InstructionItem.model_validate(json.loads(line)))
        except ValidationError as error:
            faults += faults_of(error.errors()[:1], f"line {number}: ")
        except ValueError as error:
            faults.append(Fault(f"line {number}", f"not JSON: {error}"))
    if faults:
        raise InvalidInput(*faults[:50])
    return items


def _store(app: State, items: list[Gathered]) -> set[int]:
    with app.sessions.begin() as session:
        return instructions.store(session, items)
