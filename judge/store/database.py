"""Connections to Postgres: one engine a process, made at its entry point."""

from collections.abc import Callable
from enum import IntEnum, unique
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

Sessions = sessionmaker[Session]
Result = TypeVar("Result")
# A restart with recovery takes seconds.
OUTAGE_S = 60.0


@unique
class Lock(IntEnum):
    """Keys of advisory locks, a key for each thing that is done by one process at a time."""

    MIGRATE = 6020202
    SWAP = 6020203
    SCAN = 6020204
    GATHER = 6020205
    PROTECT = 6020206


def connect(url: str, *, pool_size: int = 5) -> Engine:
    """An engine whose connections are checked before use, so that a restarted Postgres is no error."""
    return create_engine(
        url, pool_pre_ping=True, pool_size=pool_size, max_overflow=10, connect_args={"connect_timeout": 5}
    )


def sessions(engine: Engine) -> Sessions:
    """A sessionmaker; `with sessions.begin() as session:` is one transaction."""
    return sessionmaker(engine, expire_on_commit=False)


def outlasting(act: Callable[[], Result]) -> Result:
    """Do `act`, a whole transaction; while the database is away, again, for up to `OUTAGE_S` seconds.

    Only for what may be done twice: a connection that is lost in a commit does not tell whether it was made.

    Raises:
        OperationalError: the database is away for longer.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(OperationalError),
        stop=stop_after_delay(OUTAGE_S),
        wait=wait_exponential(multiplier=0.1, max=2),
        reraise=True,
    )
    return retrying(act)


def migrate(url: str, revision: str = "head") -> None:
    """Bring the schema to a revision."""
    command.upgrade(alembic_config(url), revision)


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the `migrations` package."""
    spec = find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package `migrations` is not installed")
    config = Config()
    config.set_main_option("script_location", str(Path(spec.submodule_search_locations[0])))
    config.attributes["url"] = url
    return config
