"""`/judge/batches`: many judgments at once, done in the background. The shape is OpenAI's Batch API's."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import IO, Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError

from judge.batches import ledger, line_store
from judge.batches.ledger import CUT_SHORT, Submission
from judge.batches.line_store import Outcome
from judge.errors import InvalidInput
from judge.store.keys import Principal
from judge.store.tables import BatchRow
from service.door.auth import allow
from service.door.problems import faults_of
from service.requests.batch_files import read_lines
from service.requests.batches import KINDS
from service.schemas.batches import BatchAnswer, BatchesAnswer, Metadata, Window
from service.state import State, state

PATH = "/judge/batches"
router = APIRouter(prefix=PATH, tags=["judge"])
Caller = Annotated[Principal, Depends(allow("judge"))]
App = Annotated[State, Depends(state)]
_IN_MEMORY = 2**20
_PORTION = 200
_METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)
_JSONL = {"application/jsonl": {"schema": {"type": "string", "description": "one judgment a line"}}}


@router.post("", status_code=201, openapi_extra={"requestBody": {"required": True, "content": _JSONL}})
async def submit(
    request: Request,
    response: Response,
    caller: Caller,
    app: App,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    metadata: Annotated[str | None, Query(description="a JSON object of up to 16 texts")] = None,
    completion_window: Annotated[
        Window | None, Query(description="hours after which it expires, such as `48h`")
    ] = None,
) -> BatchAnswer:
    """Store a file of up to 50,000 judgments; they begin at once. With any fault, nothing is stored.

    The same `Idempotency-Key` with the same file answers 200 with the batch that there is.
    """
    labels = _labels(metadata)
    hours = int(completion_window.removesuffix("h")) if completion_window else app.settings.batch_hours
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        digest = hashlib.sha256()
        async for chunk in request.stream():
            digest.update(chunk)
            file.write(chunk)
        submission = Submission(
            caller.tenant, caller.name, digest.hexdigest(), labels, idempotency_key, hours
        )
        row, new = await asyncio.to_thread(_store, app, submission, file)
    if not new:
        response.status_code = 200
    return _shown(row)


def _labels(metadata: str | None) -> dict[str, str]:
    if metadata is None:
        return {}
    try:
        return _METADATA.validate_json(metadata)
    except ValidationError as error:
        faults = faults_of([{**item, "loc": ("metadata", *item["loc"])} for item in error.errors()[:5]])
        raise InvalidInput(*faults) from error


def _store(app: State, submission: Submission, file: IO[bytes]) -> tuple[BatchRow, bool]:
    file.seek(0)
    with app.sessions.begin() as session:
        lines = read_lines(file, KINDS, app.settings.max_body_bytes)
        return ledger.submit(session, submission, lines)


@router.get("")
def recent(
    caller: Caller,
    app: App,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(description="the last id of the page before")] = None,
) -> BatchesAnswer:
    """The tenant's batches, newest first."""
    with app.sessions() as session:
        rows = ledger.newest(session, caller.tenant, limit + 1, after)
    data = [_shown(row) for row in rows[:limit]]
    return BatchesAnswer(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(rows) > limit,
    )


@router.get("/{batch}")
def show(batch: str, caller: Caller, app: App) -> BatchAnswer:
    """How far a batch is."""
    with app.sessions() as session:
        return _shown(ledger.get(session, caller.tenant, batch))


@router.post("/{batch}/cancel")
def cancel(batch: str, caller: Caller, app: App) -> BatchAnswer:
    """Ask a batch to stop. Results that it has stay."""
    with app.sessions.begin() as session:
        row = ledger.cancel(session, caller.tenant, batch)
        session.refresh(row)
    return _shown(row)


@router.get(
    "/{batch}/results",
    response_class=StreamingResponse,
    responses={200: {"description": "one result a line, in the file's order", "content": _JSONL}},
)
async def results(
    batch: str,
    caller: Caller,
    app: App,
    only: Annotated[Literal["errors"] | None, Query(description="leave out what went well")] = None,
) -> StreamingResponse:
    """The results so far, in the file's order. A batch cut short also names the lines that have none."""
    row = await asyncio.to_thread(_row, app, caller.tenant, batch)
    return StreamingResponse(
        _stream(app, row.id, row.status, errors_only=only == "errors"), media_type="application/jsonl"
    )


def _row(app: State, tenant: str, batch: str) -> BatchRow:
    with app.sessions() as session:
        return ledger.get(session, tenant, batch)


async def _stream(app: State, batch: str, status: str, *, errors_only: bool) -> AsyncIterator[str]:
    """Portion by portion, so that a slow reader holds no connection to the database."""
    after = -1
    while portion := await asyncio.to_thread(_portion, app, batch, after, status in CUT_SHORT, errors_only):
        after = portion[-1].ordinal
        yield "".join(_line(batch, outcome, status) for outcome in portion)


def _portion(app: State, batch: str, after: int, unjudged: bool, errors_only: bool) -> list[Outcome]:
    with app.sessions() as session:
        return line_store.outcomes(
            session, batch, after=after, limit=_PORTION, unjudged=unjudged, errors_only=errors_only
        )


def _line(batch: str, outcome: Outcome, status: str) -> str:
    """A line of results. Its id is always the same; what was judged names the decision that is recorded."""
    number = f"batch_req_{batch.removeprefix('batch_')}_{outcome.ordinal}"
    begin = f'{{"id": "{number}", "custom_id": {json.dumps(outcome.custom_id)}, '
    if outcome.status_code is None:
        error = {"code": f"batch_{status}", "message": f"the batch was {status} before this line was judged"}
        return f'{begin}"response": null, "error": {json.dumps(error)}}}\n'
    made = json.loads(outcome.answer or "{}").get("id", number)
    response = f'{{"status_code": {outcome.status_code}, "request_id": "{made}", "body": {outcome.answer}}}'
    return f'{begin}"response": {response}, "error": null}}\n'


def _shown(row: BatchRow) -> BatchAnswer:
    return BatchAnswer.of(row, datetime.now(UTC))
