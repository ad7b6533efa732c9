"""`/admin/evaluations`: model versions on benchmarks, as jobs; what they came to, as a report."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session

from judge.errors import Fault, InvalidInput
from judge.evaluation import report, runs
from judge.evaluation.benchmarks.catalog import BENCHMARKS
from judge.evaluation.benchmarks.items import Item, from_lines
from judge.evaluation.runs import EvaluationSettings
from judge.store import queue
from judge.store.keys import Principal
from judge.store.tables import BenchmarkRunRow, BenchmarkSetRow
from service.door.auth import allow
from service.state import State, state

PATH = "/admin/evaluations"
MAX_BYTES = 64 * 2**20
logger = logging.getLogger(__name__)
router = APIRouter(prefix=PATH, tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]
_JSONL = {"application/jsonl": {"schema": {"type": "string", "description": "one item a line"}}}
# In one report: each is read and measured anew.
_MOST_REPORTED = 50


class EvaluationQuery(EvaluationSettings):
    """What to evaluate, and how. `version` is an id, `champion` or `previous`."""

    version: str = Field(max_length=64)
    benchmark: str = Field(max_length=64)
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,63}$", description="what reports call the items"
    )

    @property
    def settings(self) -> EvaluationSettings:
        """How the version is asked."""
        return EvaluationSettings(**self.model_dump(include=set(EvaluationSettings.model_fields)))


class BenchmarkAnswer(BaseModel):
    """A benchmark that can be read."""

    name: str
    title: str
    hub: str | None


class BenchmarkRunAnswer(BaseModel):
    """How far an evaluation is, and its figures once it is done."""

    id: int
    status: str
    version: str
    benchmark: str
    name: str
    set_digest: str
    settings: dict[str, Any]
    done: int
    total: int
    eta_s: float | None
    note: str | None
    error: str | None
    figures: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@router.post("", status_code=202, openapi_extra={"requestBody": {"required": True, "content": _JSONL}})
async def start(
    request: Request, asked: Annotated[EvaluationQuery, Query()], caller: Admin, app: App
) -> BenchmarkRunAnswer:
    """Evaluate a version on items, in the order of the body; they are kept out of what is learned from.

    The same evaluation asked for again is the one there is; it goes on if it had failed or was cancelled.
    """
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(Fault("body", f"not UTF-8: {error}")) from error
    return await asyncio.to_thread(_start, app, caller, asked, text)


def _start(app: State, caller: Principal, asked: EvaluationQuery, text: str) -> BenchmarkRunAnswer:
    items: list[Item] = from_lines(text.split("\n"))
    with app.sessions.begin() as session:
        row = runs.submit(
            session, asked.version, asked.benchmark, asked.name, items, asked.settings, caller.name
        )
        answer, due = _answer(session, row), row.status == "queued"
    if due:
        try:
            queue.enqueue_evaluation(app.redis, answer.id)
        except RedisError as error:
            logger.warning("evaluation %d waits for the sweeper: %s", answer.id, error)
    return answer


@router.get("")
def recent(
    caller: Admin, app: App, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, list[BenchmarkRunAnswer]]:
    """The latest evaluations, newest first."""
    with app.sessions() as session:
        rows = session.scalars(select(BenchmarkRunRow).order_by(BenchmarkRunRow.id.desc()).limit(limit))
        return {"evaluations": [_answer(session, row) for row in rows]}


@router.get("/benchmarks")
def known(caller: Admin) -> dict[str, list[BenchmarkAnswer]]:
    """The benchmarks by name."""
    return {
        "benchmarks": [BenchmarkAnswer(name=b.name, title=b.title, hub=b.hub) for b in BENCHMARKS.values()]
    }


@router.get("/report", response_class=Response)
def reported(
    caller: Admin,
    app: App,
    id: Annotated[
        list[int] | None,
        Query(max_length=_MOST_REPORTED, description="evaluations; default: the newest that are done"),
    ] = None,
    form: Literal["html", "json", "table"] = "html",
) -> Response:
    """Evaluations side by side, versions in the order given (default: the newest 50, oldest first).

    As a page, as JSON, or as the main figures in a Markdown table. Placement and intervals are by each
    evaluation's own seed.
    """
    with app.sessions() as session:
        if id is None:
            done = select(BenchmarkRunRow.id).where(BenchmarkRunRow.status == "done")
            newest = session.scalars(done.order_by(BenchmarkRunRow.id.desc()).limit(_MOST_REPORTED))
            numbers = sorted(newest)
        else:
            numbers = [_done(session, number) for number in dict.fromkeys(id)]
    if not numbers:
        raise InvalidInput(Fault("id", "no evaluation is done yet"))
    built = report.build([runs.load_run(app.sessions, number) for number in numbers])
    if form == "json":
        return JSONResponse(built)
    return HTMLResponse(report.page(built)) if form == "html" else PlainTextResponse(report.table(built))


def _done(session: Session, number: int) -> int:
    row = runs.get(session, number)
    if row.status != "done":
        raise InvalidInput(
            Fault("id", f"evaluation {number} is {row.status}; only what is done can be compared")
        )
    return number


@router.get("/{number}")
def show(number: int, caller: Admin, app: App) -> BenchmarkRunAnswer:
    """One evaluation."""
    with app.sessions() as session:
        return _answer(session, runs.get(session, number))


@router.post("/{number}/cancel")
def cancel(number: int, caller: Admin, app: App) -> BenchmarkRunAnswer:
    """Ask an evaluation to stop. What it has stays."""
    with app.sessions.begin() as session:
        return _answer(session, runs.cancel(session, number, caller.name))


def _answer(session: Session, row: BenchmarkRunRow) -> BenchmarkRunAnswer:
    items = session.get_one(BenchmarkSetRow, row.set_digest)
    return BenchmarkRunAnswer(
        id=row.id,
        status=row.status,
        version=row.version,
        benchmark=items.benchmark,
        name=items.name,
        set_digest=row.set_digest,
        settings=row.settings,
        done=row.done,
        total=row.total,
        eta_s=runs.eta_seconds(row, datetime.now(UTC)),
        note=row.note,
        error=row.error,
        figures=row.figures,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
