"""The shapes of `/judge/batches`, named as in OpenAI's Batch API. Times are Unix seconds."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from judge.batches.ledger import Status, eta_seconds, window_hours
from judge.store.tables import BatchRow
from service.schemas.base import Strict, Text

Metadata = Annotated[
    dict[Annotated[Text, Field(max_length=64)], Annotated[Text, Field(max_length=512)]], Field(max_length=16)
]


_LONGEST_H = 720


def _within_a_month(window: str) -> str:
    if int(window.removesuffix("h")) > _LONGEST_H:
        raise ValueError(f"must be at most {_LONGEST_H}h")
    return window


# Hours in which a batch has to be done.
Window = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}h$"), AfterValidator(_within_a_month)]


class BatchLine(Strict):
    """One line of a batch's file. What its body must be, the route of its `url` says."""

    custom_id: Annotated[Text, Field(max_length=512)]
    method: Literal["POST"]
    url: str
    body: Any


class RequestCounts(BaseModel):
    """Lines of a batch: `failed` ones were answered with a status of 400 or more."""

    total: int
    completed: int
    failed: int


class BatchAnswer(BaseModel):
    """A batch."""

    id: str
    object: Literal["batch"] = "batch"
    status: Status
    request_counts: RequestCounts
    eta_s: float | None = Field(description="seconds left at the rate so far")
    results_url: str = Field(description="results in the file's order, as far as there are any")
    errors_url: str = Field(description="the same, of failed lines only")
    errors: None = Field(None, description="always null: a file with faults is refused, not stored")
    completion_window: str = Field(description="such as `24h`; then it expires")
    created_by: str
    created_at: int
    expires_at: int
    in_progress_at: int | None
    cancelling_at: int | None
    completed_at: int | None
    cancelled_at: int | None
    expired_at: int | None
    metadata: dict[str, str]

    @classmethod
    def of(cls, row: BatchRow, now: datetime) -> Self:
        """A row as its tenant sees it."""
        results = f"/judge/batches/{row.id}/results"
        eta = eta_seconds(row, now)
        ended: dict[str, int | None] = {
            f"{status}_at": None for status in ("completed", "cancelled", "expired")
        }
        if row.finished_at:
            ended[f"{row.status}_at"] = _unix(row.finished_at)
        return cls.model_validate(
            {
                "id": row.id,
                "status": row.status,
                "request_counts": {"total": row.total, "completed": row.completed, "failed": row.failed},
                "eta_s": None if eta is None else round(eta, 1),
                "results_url": results,
                "errors_url": f"{results}?only=errors",
                "completion_window": f"{window_hours(row)}h",
                "created_by": row.created_by,
                "created_at": _unix(row.created_at),
                "expires_at": _unix(row.expires_at),
                "in_progress_at": _unix(row.started_at),
                "cancelling_at": _unix(row.cancelling_at),
                "metadata": row.labels,
                **ended,
            }
        )


class BatchesAnswer(BaseModel):
    """A page of batches, newest first; `last_id` is the next page's `after`."""

    object: Literal["list"] = "list"
    data: list[BatchAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


def _unix(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
