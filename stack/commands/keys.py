"""`judgesmith keys`: in the database itself, so that there is a way to the first key."""

from typing import Annotated

import typer

from stack.terminal.caller import console, database_url

app = typer.Typer(help="Make, list and revoke API keys, in the database itself.", no_args_is_help=True)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option(help="judge, reward, ingest, review or admin; repeatable.")],
    tenant: Annotated[str, typer.Option(help="Tenant of what it brings in.")] = "default",
) -> None:
    """Make a key and print it; it is shown only now."""
    from judge.store import keys
    from stack.processes.database import open_database

    with open_database(database_url()).begin() as session:
        key = keys.create_key(session, name, scope, tenant, actor="command line")
    print(key)


@app.command("list")
def list_keys() -> None:
    """All keys, without their secrets."""
    from sqlalchemy import select

    from judge.store.tables import ApiKey
    from stack.processes.database import open_database
    from stack.terminal.show import keys

    with open_database(database_url())() as session:
        rows = session.scalars(select(ApiKey).order_by(ApiKey.created_at)).all()
    console().print(keys(rows))


@app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="Its id: see `judgesmith keys list`.")]) -> None:
    """Make a key useless. Gateways remember a good key for ten seconds."""
    from judge.store import keys
    from stack.processes.database import open_database

    with open_database(database_url()).begin() as session:
        keys.revoke_key(session, key_id, actor="command line")
    print(f"{key_id} is revoked")
