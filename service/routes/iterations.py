"""`/admin/iterations`: start, watch and cancel iterations."""

import logging
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from judge.errors import Fault, InvalidInput
from judge.store import queue
from judge.store.keys import Principal
from judge.store.tables import CampaignRow, DropRow, EvaluationRow, IterationRow
from judge.teaching import campaigns, iterations, planning
from judge.teaching.funnel import funnel
from judge.versions.version import VersionStore
from service.door.auth import allow
from service.requests.events import LAST, followed
from service.schemas.iterations import (
    CampaignAnswer,
    DropAnswer,
    DropsAnswer,
    EvaluationAnswer,
    FunnelStep,
    IterationAnswer,
    IterationRequest,
    StageAnswer,
)
from service.state import State, state

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/admin/iterations", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]


@router.post("", status_code=202)
def start(request: IterationRequest, caller: Admin, app: App) -> IterationAnswer:
    """Start an iteration, or several in a row.

    It is committed before it is queued, so it begins even if the queue is down now.
    """
    with app.sessions() as session:
        planned = planning.plan(
            session,
            VersionStore(app.settings.models_dir),
            app.settings.max_model_len,
            request.profile,
            request.settings,
        )
    profile, settings = planned.profile, planned.settings
    if settings.promote in iterations.ON_TRIAL and not app.settings.candidate_urls:
        reason = f"{settings.promote} needs an engine for the candidate: set JUDGESMITH_CANDIDATE_URLS"
        raise InvalidInput(Fault("settings.promote", reason))
    with app.sessions.begin() as session:
        if request.times > 1:
            row = campaigns.start(session, profile, request.settings, request.times, caller.name)
        else:
            row = iterations.start(session, profile, settings, caller.name)
        number, first = row.id, iterations.STAGES[0]
    try:
        queue.enqueue_stage(app.redis, number, first)
    except RedisError as error:
        logger.warning("iteration %d waits for the sweeper: %s", number, error)
    return show(number, caller, app)


@router.get("")
def recent(
    caller: Admin, app: App, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> dict[str, list[IterationAnswer]]:
    """The latest iterations, newest first."""
    with app.sessions() as session:
        rows = session.scalars(select(IterationRow).order_by(IterationRow.id.desc()).limit(limit)).all()
        return {"iterations": [_answer(session, row) for row in rows]}


@router.get("/{number}")
def show(number: int, caller: Admin, app: App) -> IterationAnswer:
    """One iteration: its stages, the funnel so far, the gate's answer."""
    with app.sessions() as session:
        return _answer(session, iterations.get(session, number))


@router.get("/{number}/drops")
def drops(
    number: int,
    caller: Admin,
    app: App,
    step: str | None = None,
    reason: str | None = None,
    after: Annotated[int, Query(ge=0, description="`next` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DropsAnswer:
    """Which instructions, or what came of them, an iteration left out and why."""
    with app.sessions() as session:
        iterations.get(session, number)
        wanted = select(DropRow).where(DropRow.iteration_id == number, DropRow.id > after)
        if step is not None:
            wanted = wanted.where(DropRow.step == step)
        if reason is not None:
            wanted = wanted.where(DropRow.reason == reason)
        rows = session.scalars(wanted.order_by(DropRow.id).limit(limit)).all()
    found = [DropAnswer(instruction_id=row.instruction_id, step=row.step, reason=row.reason) for row in rows]
    return DropsAnswer(drops=found, next=rows[-1].id if len(rows) == limit else None)


@router.get("/{number}/events", response_class=StreamingResponse)
def follow(
    number: int,
    caller: Admin,
    app: App,
    request: Request,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Progress as server-sent events: `stage`, `progress`, and `end` when it is over.

    `Last-Event-ID` goes on where a stream broke off; after `end` the answer is 204, so that no client comes
    again.
    """
    known = last_event_id is not None and last_event_id.isdecimal() and len(last_event_id) < 4
    last = int(last_event_id or 0) if known else 0
    state = show(number, caller, app)
    if last >= LAST and state.status not in iterations.ACTIVE:
        return Response(status_code=204)
    stream = followed(lambda: show(number, caller, app), last, request.app.state.stopping)
    return StreamingResponse(
        stream,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@router.post("/{number}/cancel")
def cancel(number: int, caller: Admin, app: App) -> IterationAnswer:
    """Ask an iteration to stop at its next step, and with it the rest of its campaign."""
    with app.sessions.begin() as session:
        campaigns.cancel(session, number, caller.name)
    return show(number, caller, app)


def _answer(session: Session, row: IterationRow) -> IterationAnswer:
    now = datetime.now(UTC)
    evaluations = session.scalars(
        select(EvaluationRow)
        .where(EvaluationRow.iteration_id == row.id)
        .options(defer(EvaluationRow.items))
        .order_by(EvaluationRow.dataset, EvaluationRow.strategy, EvaluationRow.role)
    )
    return IterationAnswer(
        id=row.id,
        status=row.status,
        stage=row.stage,
        profile=row.profile,
        stages=[
            StageAnswer(
                name=stage.name,
                status=stage.status,
                done=stage.done,
                total=stage.total,
                note=stage.note,
                eta_s=iterations.eta_seconds(stage, now),
                started_at=stage.started_at,
                finished_at=stage.finished_at,
                error=stage.error,
            )
            for stage in iterations.stages(session, row.id)
        ],
        counts=row.counts,
        funnel=[FunnelStep(**step) for step in funnel(row.counts)],
        judged_by=row.judged_by,
        seed_version=row.seed_version,
        candidate=row.candidate,
        gate=row.gate,
        evaluations=[
            EvaluationAnswer(role=one.role, dataset=one.dataset, strategy=one.strategy, metrics=one.metrics)
            for one in evaluations
        ],
        error=row.error,
        campaign=_campaign(session, row),
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _campaign(session: Session, row: IterationRow) -> CampaignAnswer | None:
    campaign = session.get(CampaignRow, row.campaign_id) if row.campaign_id else None
    if campaign is None:
        return None
    members = [member.id for member in campaigns.members(session, campaign.id)]
    return CampaignAnswer(
        id=campaign.id,
        status=campaign.status,
        times=campaign.times,
        ordinal=members.index(row.id) + 1,
        reason=campaign.reason,
    )
