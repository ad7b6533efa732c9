"""The schema: the migrations make exactly the tables that the code knows, and can be undone."""

from alembic import command
from sqlalchemy import create_engine, inspect, text

from judge.store.database import alembic_config, migrate


def test_migrations_make_what_the_tables_say(postgres_url):
    command.check(alembic_config(postgres_url))


def test_migrating_again_changes_nothing(postgres_url):
    migrate(postgres_url)

    command.check(alembic_config(postgres_url))


def test_the_first_migration_can_be_undone_and_done_again(postgres_url):
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS undone"))
        connection.execute(text("CREATE DATABASE undone"))
    url = admin.url.set(database="undone").render_as_string(hide_password=False)
    migrate(url)
    command.downgrade(alembic_config(url), "base")
    engine = create_engine(url)

    assert inspect(engine).get_table_names() == ["alembic_version"]
    migrate(url)
    assert "iterations" in inspect(engine).get_table_names()
    engine.dispose()
    admin.dispose()
