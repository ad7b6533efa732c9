"""Connections to Postgres: one engine a process, made at its entry point."""

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

Sessions = sessionmaker[Session]


def connect(url: str, *, pool_size: int = 5) -> Engine:
    """An engine whose connections are checked before use, so that a restarted Postgres is no error."""
    return create_engine(
        url, pool_pre_ping=True, pool_size=pool_size, max_overflow=10, connect_args={"connect_timeout": 5}
    )


def sessions(engine: Engine) -> Sessions:
    """A sessionmaker; `with sessions.begin() as session:` is one transaction."""
    return sessionmaker(engine, expire_on_commit=False)


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
