"""Real servers for every test package, from their wheels: one Postgres and one Valkey a session."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from judge.store.database import migrate
from stack.processes.postgres import prepare_postgres
from stack.processes.servers import new_home, running
from stack.processes.valkey import prepare_valkey

pytest_plugins = ["tests.fixtures"]

# How long an example takes depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A migrated database. Tests clean up after themselves, or take tables of their own."""
    with new_home() as home:
        server = prepare_postgres(home)
        with running(home, server.program()):
            migrate(server.url)
            yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """An empty queue."""
    with new_home() as home:
        server = prepare_valkey(home)
        with running(home, server.program()):
            yield server.url
