"""The lines of batches: stored by the thousand, given one result each, read page by page.

What they are part of, and who may write to them, is `judge.batches.ledger`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, JSON, BigInteger, Text, cast, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.store.tables import BatchLineRow

_GROUP_LINES = 500
_GROUP_CHARS = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to judge. `ordinal` counts from 0 in the file's order; `body` is JSON text."""

    ordinal: int
    custom_id: str
    url: str
    body: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a line's route answers: an HTTP status, and a body as JSON text."""

    ordinal: int
    status_code: int
    answer: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line as its reader sees it; `status_code` and `answer` are None where it was not judged."""

    ordinal: int
    custom_id: str
    status_code: int | None
    answer: str | None


def add(session: Session, batch: str, lines: Iterable[Line]) -> int:
    """Store a batch's lines, as they are read; returns how many."""
    total = 0
    for group in _groups(lines):
        _insert(session, batch, group)
        total += len(group)
    return total


def _groups(lines: Iterable[Line]) -> Iterator[list[Line]]:
    group: list[Line] = []
    size = 0
    for line in lines:
        if group and (len(group) == _GROUP_LINES or size + len(line.body) > _GROUP_CHARS):
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line.body)
    if group:
        yield group


def _insert(session: Session, batch: str, lines: Sequence[Line]) -> None:
    columns = _unnest(
        ordinal=(BigInteger, [line.ordinal for line in lines]),
        custom_id=(Text, [line.custom_id for line in lines]),
        url=(Text, [line.url for line in lines]),
        body=(Text, [line.body for line in lines]),
    )
    values = select(
        literal(batch), columns.c.ordinal, columns.c.custom_id, columns.c.url, cast(columns.c.body, JSON)
    )
    names = ["batch_id", "ordinal", "custom_id", "url", "body"]
    session.execute(insert(BatchLineRow).from_select(names, values))


def _unnest(**columns: tuple[type[Any], list[Any]]) -> Any:
    """Lists as a table, so that one statement writes many rows."""
    arrays = [cast(values, ARRAY(kind)) for kind, values in columns.values()]
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


def unfinished(session: Session, batch: str, after: int, limit: int) -> list[Line]:
    """Lines without a result with an ordinal above `after`, in order."""
    line = BatchLineRow
    rows = session.execute(
        select(line.ordinal, line.custom_id, line.url, cast(line.body, Text))
        .where(line.batch_id == batch, line.ordinal > after, line.status_code.is_(None))
        .order_by(line.ordinal)
        .limit(limit)
    )
    return [Line(*row) for row in rows]


def write(session: Session, batch: str, results: Sequence[Result]) -> list[int]:
    """Give lines their results where they have none; returns the status codes of those written."""
    given = _unnest(
        ordinal=(BigInteger, [result.ordinal for result in results]),
        status_code=(BigInteger, [result.status_code for result in results]),
        answer=(Text, [result.answer for result in results]),
    )
    line = BatchLineRow
    return list(
        session.scalars(
            update(line)
            # The texts have served: like those of a synchronous request, they are not kept.
            .values(status_code=given.c.status_code, answer=cast(given.c.answer, JSON), body=null())
            .where(line.batch_id == batch, line.ordinal == given.c.ordinal, line.status_code.is_(None))
            .returning(line.status_code)
            .execution_options(synchronize_session=False)
        )
    )


def drop_bodies(session: Session, batch: str) -> None:
    """Forget the texts of lines that will not be judged any more."""
    session.execute(
        update(BatchLineRow)
        .where(BatchLineRow.batch_id == batch, BatchLineRow.status_code.is_(None))
        .values(body=null())
        .execution_options(synchronize_session=False)
    )


def outcomes(
    session: Session, batch: str, *, after: int, limit: int, unjudged: bool, errors_only: bool
) -> list[Outcome]:
    """Lines with an ordinal above `after`, in the file's order.

    Args:
        unjudged: also those without a result.
        errors_only: of those with a result, only the ones with a status of 400 or more.
    """
    line = BatchLineRow
    wanted = line.status_code >= 400 if errors_only else line.status_code.is_not(None)
    rows = session.execute(
        select(line.ordinal, line.custom_id, line.status_code, cast(line.answer, Text))
        .where(line.batch_id == batch, line.ordinal > after)
        .where(or_(wanted, line.status_code.is_(None)) if unjudged else wanted)
        .order_by(line.ordinal)
        .limit(limit)
    )
    return [Outcome(*row) for row in rows]
