"""`judgesmith pins`: which versions running trainers hold, and letting one go for them."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer

from stack.terminal.caller import console, gateway
from stack.terminal.options import Url

app = typer.Typer(help="Versions that running trainers hold; without a command, list them.")
PATH = "/admin/pins"


@app.callback(invoke_without_command=True)
def listed(context: typer.Context, url: Url = None) -> None:
    """Versions that running trainers hold; without a command, list them."""
    context.obj = url  # `judgesmith pins --url … release …`
    if context.invoked_subcommand is None:
        from stack.terminal.show import pins

        console().print(pins(gateway(url).get(PATH)["pins"], datetime.now(UTC)))


@app.command()
def release(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Whose run it is.")],
    name: Annotated[str, typer.Argument(help="The pin's name: see `judgesmith pins`.")],
    url: Url = None,
) -> None:
    """Release a pin for a run that is over, or has to give way to a swap."""
    gateway(url or context.obj).delete(f"{PATH}/{quote(tenant, safe='')}/{quote(name, safe='')}")
    print(f"pin {name} of {tenant} is released")
