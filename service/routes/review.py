"""`/review`: people judge comparisons, blind. `GET /review` is a page that does it with a key."""

import asyncio
import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from judge.review import figures, queue
from judge.store.keys import Principal
from service.door.auth import allow
from service.schemas.reviews import (
    AgreementAnswer,
    AnswerRequest,
    ClaimAnswer,
    ClaimRequest,
    Items,
    Progress,
    ReviewItem,
)
from service.state import State, state

router = APIRouter(prefix="/review", tags=["review"])
Reviewer = Annotated[Principal, Depends(allow("review"))]
App = Annotated[State, Depends(state)]
_PAGE = Path(__file__).with_name("review.html")


@router.get("", response_class=HTMLResponse, include_in_schema=False)
async def page() -> HTMLResponse:
    """The page. It holds no data; what it shows comes with the reviewer's key."""
    html, policy = _page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(html, headers=headers)


@router.post("/next")
async def claim(request: ClaimRequest, caller: Reviewer, app: App) -> ClaimAnswer:
    """The next comparison for this reviewer, theirs for a while; the one they hold, if they hold one."""
    return await asyncio.to_thread(_claim, app, caller, request)


def _claim(app: State, caller: Principal, request: ClaimRequest) -> ClaimAnswer:
    with app.sessions.begin() as session:
        found = queue.claim(session, caller.tenant, caller.name, request.order)
        progress = queue.progress(session, caller.tenant, caller.name)
    item = None
    if found:
        one = found.comparison
        item = ReviewItem(
            id=found.id,
            messages=one.instruction.to_json(),
            response_a=one.response_a,
            response_b=one.response_b,
            lease_s=found.seconds,
        )
    return ClaimAnswer(item=item, progress=Progress(**progress))


@router.post("/items/{item}/answer")
async def answer(item: str, request: AnswerRequest, caller: Reviewer, app: App) -> Progress:
    """Keep an answer; it cannot be taken back."""
    return await asyncio.to_thread(_answer, app, caller, item, request)


def _answer(app: State, caller: Principal, item: str, request: AnswerRequest) -> Progress:
    with app.sessions.begin() as session:
        queue.answer(session, caller.tenant, caller.name, item, request.answer)
        session.flush()
        return Progress(**queue.progress(session, caller.tenant, caller.name))


@router.get("/agreement")
def agreement(
    caller: Reviewer, app: App, source: str | None = None, items: Items = "random"
) -> AgreementAnswer:
    """How far the tenant's people agree with each other and with each version."""
    with app.sessions() as session:
        seen = figures.seen(session, caller.tenant, source=source, sample=items == "random")
    return AgreementAnswer.model_validate(figures.agreement(seen))


@cache
def _page() -> tuple[str, str]:
    """The page and a policy that lets its own script and style run, and nothing else."""
    html = _PAGE.read_text(encoding="utf-8")
    script, style = (_hash_of(tag, html) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def _hash_of(tag: str, html: str) -> str:
    (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
