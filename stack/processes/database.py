"""The database as an operator's commands use it: migrated, opened, and complained about in one line."""

from alembic.util import CommandError
from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from judge.store import database
from judge.store.database import Sessions
from stack.errors import StackError


def migrate(url: str) -> None:
    """Bring the schema up to date.

    Raises:
        StackError: the database cannot be used, has a schema of another release, or refuses a step.
    """
    open_database(url)
    try:
        database.migrate(url)
    except CommandError as error:
        raise StackError(
            f"the schema of {_where(url)} is of a release that this one does not know ({error}): install "
            "that release, or set JUDGESMITH_DATABASE_URL or JUDGESMITH_HOME to begin with another database"
        ) from error
    except DBAPIError as error:
        raise StackError(
            f"the schema of {_where(url)} could not be brought up to date, and is what it was: "
            f"{reason(error)}"
        ) from error


def open_database(url: str) -> Sessions:
    """Sessions of a database that answers.

    Raises:
        StackError: it does not, or the URL is none.
    """
    try:
        engine = database.connect(url, pool_size=1)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except (ArgumentError, NoSuchModuleError) as error:
        raise StackError(f"JUDGESMITH_DATABASE_URL should be postgresql+psycopg://…: {error}") from error
    except OperationalError as error:
        raise StackError(f"the database {_where(url)} cannot be used: {reason(error)}") from error
    return database.sessions(engine)


def _where(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def reason(error: DBAPIError) -> str:
    """What the database says, without the statement and its values."""
    return str(error.orig).strip().splitlines()[0]
