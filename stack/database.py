"""The database as an operator's commands use it: migrated, opened, and complained about in one line."""

from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from judge import database
from judge.database import Sessions
from stack.errors import StackError


def migrate(url: str) -> None:
    """Bring the schema up to date.

    Raises:
        StackError: the database cannot be used.
    """
    open_database(url)
    database.migrate(url)


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
        where = make_url(url).render_as_string(hide_password=True)
        reason = str(error.orig).strip().splitlines()[0]
        raise StackError(f"the database {where} cannot be used: {reason}") from error
    return database.sessions(engine)
