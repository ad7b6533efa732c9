"""Campaigns: several iterations in a row, each judged by the champion that the one before has left.

Which iteration comes next is decided here, in Postgres, under a lock on the campaign's row: however many
workers sweep, one of them starts it. A campaign ends when it has had its number, when two iterations in a
row promoted nothing, when one failed or waits for approval, or when it is cancelled.
"""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from judge.errors import Conflict
from judge.store.audit import record
from judge.store.tables import CampaignRow, IterationRow
from judge.teaching import iterations
from judge.teaching.profiles import Profile, iteration_settings

MAX_REFUSALS = 2
# How an iteration ends whose candidate the gate, an alarm or a person did not let into service.
IN_VAIN = ("refused", "no_decision")


def start(
    session: Session, profile: Profile, overrides: dict[str, Any], times: int, actor: str
) -> IterationRow:
    """Create a campaign and its first iteration.

    Raises:
        InvalidInput: naming each override that is unknown or out of range.
        Conflict: an iteration or a campaign is in progress, or no seed model is registered.
    """
    campaign = CampaignRow(status="running", times=times, profile=profile, settings=overrides, actor=actor)
    session.add(campaign)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise Conflict("a campaign is in progress; wait for it or cancel it") from error
    record(session, actor, "start campaign", {"campaign": campaign.id, "times": times, "profile": profile})
    return _next(session, campaign)


def running(session: Session) -> CampaignRow | None:
    """The campaign in progress, if there is one."""
    return session.scalar(select(CampaignRow).where(CampaignRow.status == "running"))


def advance(session: Session) -> IterationRow | None:
    """Start the next iteration of the campaign in progress, if the last one is over; or end the campaign."""
    campaign = session.scalar(
        select(CampaignRow).where(CampaignRow.status == "running").with_for_update(skip_locked=True)
    )
    if campaign is None or iterations.active(session) is not None:
        return None
    past = members(session, campaign.id)
    why = verdict([row.status for row in past], campaign.times)
    if why is not None:
        campaign.status, campaign.reason = why
        campaign.finished_at = func.now()
        return None
    return _next(session, campaign)


def verdict(statuses: list[str], times: int) -> tuple[str, str] | None:
    """How a campaign of such iterations ends, and why; None while another one should follow."""
    last = statuses[-1] if statuses else ""
    if last == "cancelled":
        return "cancelled", "its iteration was cancelled"
    if last == "failed":
        return "stopped", "an iteration failed"
    if last == "awaiting_approval":
        return "stopped", "a candidate waits for approval"
    if len(statuses) >= times:
        return "done", f"{times} iterations"
    if in_vain(statuses):
        return "stopped", f"the gate promoted none of the last {MAX_REFUSALS} candidates"
    return None


def in_vain(statuses: list[str]) -> bool:
    """Whether so many of the last iterations promoted nothing that the next one would not either."""
    last = statuses[-MAX_REFUSALS:]
    return len(last) == MAX_REFUSALS and all(status in IN_VAIN for status in last)


def members(session: Session, campaign: int) -> list[IterationRow]:
    """A campaign's iterations so far, oldest first."""
    rows = session.scalars(
        select(IterationRow).where(IterationRow.campaign_id == campaign).order_by(IterationRow.id)
    )
    return list(rows)


def cancel(session: Session, iteration: int, actor: str) -> IterationRow:
    """Ask an iteration to stop, and with it the rest of its campaign, if it is of one.

    Raises:
        Conflict: both are over.
    """
    row = iterations.get(session, iteration)
    campaign = session.get(CampaignRow, row.campaign_id, with_for_update=True) if row.campaign_id else None
    if campaign is None or campaign.status != "running":
        return iterations.cancel(session, iteration, actor)
    campaign.status, campaign.reason, campaign.finished_at = "cancelled", f"by {actor}", func.now()
    record(session, actor, "cancel campaign", {"campaign": campaign.id})
    session.refresh(row)
    stoppable = row.status in (*iterations.ACTIVE, *iterations.ON_TRIAL)
    return iterations.cancel(session, iteration, actor) if stoppable else row


def _next(session: Session, campaign: CampaignRow) -> IterationRow:
    profile: Profile = campaign.profile  # type: ignore[assignment]
    settings = iteration_settings(profile, campaign.settings)
    # With the same champion, settings and seed a refused iteration would be repeated to the letter.
    seed = settings.seed + len(members(session, campaign.id))
    row = iterations.start(session, profile, settings.model_copy(update={"seed": seed}), campaign.actor)
    row.campaign_id = campaign.id
    session.flush()
    return row
