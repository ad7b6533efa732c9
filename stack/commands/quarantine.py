"""`judgesmith quarantine`: instructions kept apart; read the reasons, then release or delete them."""

from typing import Annotated, Any

import typer

from judge.errors import Fault, InvalidInput
from stack.terminal.caller import console, gateway
from stack.terminal.options import Url

app = typer.Typer(help="Instructions kept apart, with the reasons.", no_args_is_help=True)
Ids = Annotated[list[int] | None, typer.Argument(help="Their ids: see `judgesmith quarantine list`.")]
Kind = Annotated[str | None, typer.Option("--kind", help="All of a kind: contaminated, flood or planted.")]


@app.command("list")
def listed(
    kind: Kind = None,
    after: Annotated[int, typer.Option(help="Begin after this id.")] = 0,
    limit: Annotated[int, typer.Option(help="How many, at most 1000.")] = 20,
    url: Url = None,
) -> None:
    """The oldest ones, with their reasons."""
    from stack.terminal.show import quarantine

    chosen = {"kind": kind} if kind else {}
    console().print(quarantine(gateway(url).get("/admin/quarantine", after=after, limit=limit, **chosen)))


@app.command()
def release(ids: Ids = None, kind: Kind = None, url: Url = None) -> None:
    """Put them into the pool, for good."""
    print(f"{_send('release', ids, kind, url)} released")


@app.command()
def delete(ids: Ids = None, kind: Kind = None, url: Url = None) -> None:
    """Delete them."""
    print(f"{_send('delete', ids, kind, url)} deleted")


def _send(act: str, ids: list[int] | None, kind: str | None, url: str | None) -> int:
    if bool(ids) == bool(kind):
        raise InvalidInput(Fault("ids", "give ids, or all of a kind with --kind"))
    body: dict[str, Any] = {"ids": ids} if ids else {"kind": kind}
    return int(gateway(url).post(f"/admin/quarantine/{act}", body)["count"])
