"""Runs the migrations on the database that `judge.store.database.migrate` names."""

from alembic import context
from sqlalchemy import create_engine

from judge.store.database import Lock
from judge.store.tables import Base

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        # Several processes may start at once: the first migrates, the others wait and find it done.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({Lock.MIGRATE:d})")
        context.run_migrations()
engine.dispose()
