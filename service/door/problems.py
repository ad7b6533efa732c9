"""Errors as RFC 9457 problem documents, with a stable `type` for each kind."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from judge import errors
from judge.errors import Fault, InvalidInput, JudgesmithError

logger = logging.getLogger(__name__)
TYPE = "urn:judgesmith:problem:"
MEDIA_TYPE = "application/problem+json"
_AWAY = "Something this service needs is not available"


class Unauthorized(JudgesmithError):
    """No key, or one that is not known."""

    slug = "unauthorized"


class Forbidden(JudgesmithError):
    """The key lacks the scope."""

    slug = "forbidden"


class Overloaded(errors.Unavailable):
    """Too much is in progress here; `retry_after_s` is when it may be less."""

    slug = "overloaded"

    def __init__(self, detail: str, retry_after_s: int = 2) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class OverShare(Overloaded):
    """This tenant has as much waiting as it may; others may still be served."""

    slug = "over-share"


# The first class that fits decides, so subclasses stand before their parents.
_STATUS: tuple[tuple[type[JudgesmithError], int, str], ...] = (
    (errors.PromptTooLong, 422, "The texts do not fit the model's context"),
    (errors.InvalidInput, 422, "The request is not valid"),
    (errors.NotFound, 404, "Not found"),
    (errors.PinLapsed, 410, "The pin has run out and its version is gone"),
    (errors.Conflict, 409, "The present state does not allow this"),
    (OverShare, 429, "Too much of yours is waiting"),
    (errors.Unavailable, 503, _AWAY),
    (errors.BackendRefused, 502, "The model's server does not accept the request"),
    (errors.BadModel, 422, "The model version fails its checks"),
    (errors.SwapFailed, 502, "The version was not put into service"),
)


def problem(
    slug: str, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A problem document as an answer."""
    return _answer(document(slug, status, title, detail), headers)


def document(
    slug: str, status: int, title: str, detail: str, faults: tuple[Fault, ...] = ()
) -> dict[str, Any]:
    """A problem document."""
    body: dict[str, Any] = {"type": TYPE + slug, "title": title, "status": status, "detail": detail}
    if faults:
        body["errors"] = [{"field": fault.field, "reason": fault.reason} for fault in faults]
    return body


def problem_of(error: Exception) -> dict[str, Any]:
    """The problem document of an error that comes when an answer has begun, or in a batch's line."""
    found = _found(error)
    if found is None:
        logger.error("failed in the middle of an answer", exc_info=error)
        return _unexpected_document()
    return found


def invalid(errors: Sequence[Any]) -> dict[str, Any]:
    """The problem document of a request that its model refuses; `errors` are Pydantic's."""
    faults = faults_of(errors)
    detail = "; ".join(f"{fault.field}: {fault.reason}" for fault in faults[:3])
    return document(InvalidInput.slug, 422, "The request is not valid", detail, faults)


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    app.add_exception_handler(JudgesmithError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for kind in (OperationalError, InterfaceError, PoolTimeout, RedisError):
        app.add_exception_handler(kind, _dependency)
    app.add_exception_handler(Exception, _unexpected)


async def _known(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Unauthorized):
        return problem(error.slug, 401, "A key is needed", str(error), headers={"WWW-Authenticate": "Bearer"})
    if isinstance(error, Forbidden):
        return problem(error.slug, 403, "The key may not do this", str(error))
    found = _found(error)
    if found is None:
        return await _unexpected(request, error)
    if found["status"] not in (429, 503):
        return _answer(found)
    seconds = error.retry_after_s if isinstance(error, Overloaded) else 2
    return _answer(found, {"Retry-After": str(seconds)})


def _found(error: Exception) -> dict[str, Any] | None:
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            faults = error.faults if isinstance(error, InvalidInput) else ()
            return document(error.slug, status, title, str(error), faults)
    return None


def _answer(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body, body["status"], headers=dict(headers or {}), media_type=MEDIA_TYPE)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _answer(invalid(error.errors()))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
    return problem(slug, error.status_code, str(error.detail), f"{request.method} {request.url.path}")


async def _dependency(request: Request, error: Exception) -> JSONResponse:
    logger.warning("%s %s: %s", request.method, request.url.path, error)
    what = "the queue" if isinstance(error, RedisError) else "the database"
    detail = f"{what} cannot be reached; try again"
    return problem("unavailable", 503, _AWAY, detail, headers={"Retry-After": "2"})


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(_unexpected_document())


def _unexpected_document() -> dict[str, Any]:
    return document("error", 500, "Unexpected error", "this is a defect; the log has the details")


def faults_of(errors: Sequence[Any], lead: str = "") -> tuple[Fault, ...]:
    """Pydantic's error dictionaries as faults; `lead` goes before each field."""
    return tuple(
        Fault(lead + field_path(item["loc"]), item["msg"].removeprefix("Value error, ")) for item in errors
    )


def field_path(location: tuple[int | str, ...]) -> str:
    """`messages.0.content` for a validation error's location; the leading `body` says nothing."""
    parts = [str(part) for part in location if part not in ("body", "query", "path")]
    return ".".join(parts) or "body"
