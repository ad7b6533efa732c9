"""Fixtures that several packages of tests share."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from judge.store import database, queue
from judge.store.database import Sessions
from judge.store.tables import Base


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[Sessions]:
    """A sessionmaker on an empty database."""
    engine = database.connect(postgres_url)
    names = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    yield database.sessions(engine)
    engine.dispose()


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    """An empty Valkey."""
    with queue.connect(redis_url) as client:
        client.flushall()
    return redis_url
