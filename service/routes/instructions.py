"""`/instructions`: bring in unlabeled production instructions, look at them, delete them."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy import select

from judge.errors import Fault, InvalidInput
from judge.gathering import forgetting, intake, traces
from judge.gathering.forgetting import Forgotten
from judge.gathering.instructions import Gathered
from judge.gathering.intake import Outcome, Rules
from judge.gathering.redaction import redact_instruction
from judge.gathering.traces import Format
from judge.store import queue
from judge.store.keys import Principal
from judge.store.tables import InstructionRow
from service.door.auth import allow
from service.door.problems import Forbidden, faults_of
from service.schemas.instructions import (
    ForgetAnswer,
    ForgetRequest,
    InstructionItem,
    InstructionsAnswer,
    InstructionsRequest,
    Rejected,
    StoredInstruction,
    StoredInstructions,
    TracesAnswer,
)
from service.state import State, state

Caller = Annotated[Principal, Depends(allow("ingest"))]
App = Annotated[State, Depends(state)]
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
async def bring_in(request: Request, caller: Caller, app: App) -> InstructionsAnswer:
    """Store instructions, each once. A body with a bad item or line is refused as a whole."""
    body = await request.body()
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    items = parse_lines(body) if media_type in _JSONL else parse_document(body)
    gathered = (
        Gathered(one.to_instruction(), one.source, caller.tenant, one.language, response=one.response)
        for one in items
    )
    indexed = list(enumerate(gathered))
    return InstructionsAnswer(**await asyncio.to_thread(_admit, app, indexed))


@router.post(
    "/instructions/traces",
    openapi_extra={"requestBody": {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
)
async def bring_in_traces(
    request: Request,
    caller: Caller,
    app: App,
    form: Annotated[Format, Query(alias="format")] = "auto",
    source: Annotated[str, Query(max_length=200)] = "traces",
) -> TracesAnswer:
    """Store the instructions of production traces: OpenAI request logs, OpenTelemetry GenAI spans, JSONL.

    Lines that cannot be read are `rejected`, the others are stored; if none can be read, that is an error.
    """
    try:
        lines = traces.split((await request.body()).decode())
    except UnicodeDecodeError as error:
        raise InvalidInput(Fault("body", f"not UTF-8: {error}")) from error
    parsed = await asyncio.to_thread(traces.parse, lines, form)
    if parsed.faults and not parsed.found:
        raise InvalidInput(*(Fault(fault.place, fault.reason) for fault in parsed.faults[:50]))
    indexed = [
        (
            one.line - 1,
            Gathered(
                one.instruction, one.source or source, caller.tenant, one.language, response=one.response
            ),
        )
        for one in parsed.found
    ]
    answer = await asyncio.to_thread(_admit, app, indexed)
    unread = [Rejected(index=bad.line - 1, reason=f"{bad.place}: {bad.reason}") for bad in parsed.faults]
    answer["rejected"] = sorted(answer["rejected"] + unread, key=lambda one: one.index)
    return TracesAnswer(**answer, skipped=parsed.skipped)


@router.get("/instructions")
def listed(
    caller: Caller,
    app: App,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> StoredInstructions:
    """The oldest instructions of the caller's tenant with an id above `after`; to an admin, everybody's."""
    query = select(InstructionRow).where(InstructionRow.id > after).order_by(InstructionRow.id).limit(limit)
    if "admin" not in caller.scopes:
        query = query.where(InstructionRow.tenant == caller.tenant)
    with app.sessions() as session:
        rows = session.scalars(query).all()
    return StoredInstructions(instructions=[StoredInstruction.model_validate(row) for row in rows])


@router.delete("/instructions/{instruction_id}")
async def delete(instruction_id: int, caller: Caller, app: App) -> ForgetAnswer:
    """Delete an instruction with everything derived from it; once more deletes nothing."""
    return await _forget(app, caller, ids=[instruction_id])


@router.post("/instructions/forget")
async def forget(request: ForgetRequest, caller: Caller, app: App) -> ForgetAnswer:
    """Delete instructions with everything derived from them; those of other tenants only as an admin."""
    if request.tenant not in (None, caller.tenant) and "admin" not in caller.scopes:
        raise Forbidden(f"this needs a key of the tenant {request.tenant}, or one with the scope `admin`")
    digests = {*request.digests}
    for instruction in request.to_instructions():
        # As it was stored, which is without what was redacted in it.
        redacted = intake.prepare(Gathered(instruction, "", caller.tenant), Rules()).instruction
        digests |= {one.digest for one in (instruction, redacted, redact_instruction(instruction))}
    return await _forget(app, caller, ids=request.ids, digests=sorted(digests), tenant=request.tenant)


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


def _admit(app: State, indexed: list[tuple[int, Gathered]]) -> dict[str, Any]:
    """Let instructions in; the fields of the answer."""
    rejected, kept, places = [], [], []
    for place, item in indexed:
        if sum(len(turn.content) for turn in item.instruction.messages) > _MAX_CHARS:
            rejected.append(Rejected(index=place, reason=f"longer than {_MAX_CHARS} characters"))
        else:
            # The instruction is of use without a response of such a length.
            long = item.response is not None and len(item.response) > _MAX_CHARS
            kept.append(replace(item, response=None) if long else item)
            places.append(place)
    outcome: Outcome = intake.admit(app.sessions, kept, Rules.of(app.settings))
    rejected += [Rejected(index=places[i], reason=reason) for i, reason in outcome.rejected.items()]
    return {
        "accepted": outcome.stored,
        "duplicates": outcome.duplicates,
        "near_duplicates": outcome.near_duplicates,
        "quarantined": [
            Rejected(index=places[i], reason=reason) for i, reason in outcome.quarantined.items()
        ],
        "rejected": sorted(rejected, key=lambda one: one.index),
    }


async def _forget(app: State, caller: Principal, **which: Any) -> ForgetAnswer:
    of_tenant = None if "admin" in caller.scopes else caller.tenant

    def erase() -> Forgotten:
        with app.sessions.begin() as session:
            done = forgetting.forget(session, caller.name, of_tenant=of_tenant, **which)
        # A worker deletes the files; without the queue, its own round comes to it.
        with suppress(RedisError):
            queue.enqueue_gather(app.redis)
        return done

    return ForgetAnswer.model_validate(await asyncio.to_thread(erase))
