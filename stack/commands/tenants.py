"""`judgesmith tenants`: what each tenant has agreed to."""

from typing import Annotated
from urllib.parse import quote

import typer

from stack.terminal.caller import console, gateway
from stack.terminal.options import Url

app = typer.Typer(help="What each tenant has agreed to.", no_args_is_help=True)


@app.command("list")
def listed(url: Url = None) -> None:
    """The tenants with terms of their own."""
    from stack.terminal.show import tenants

    console().print(tenants(gateway(url).get("/admin/tenants")))


@app.command("set")
def set_terms(
    name: Annotated[str, typer.Argument(help="The tenant: see `judgesmith keys list`.")],
    capture: Annotated[bool, typer.Option(help="Gather the instructions of its requests.")] = False,
    daily: Annotated[int | None, typer.Option(help="Instructions in 24 hours; 0: any number.")] = None,
    keep_days: Annotated[int | None, typer.Option(help="Days they are kept; 0: until deleted.")] = None,
    url: Url = None,
) -> None:
    """Set a tenant's terms, in place of earlier ones; what is left out is as the gateway is set."""
    terms = {"capture": capture, "daily_instructions": daily, "retention_days": keep_days}
    gateway(url).put(f"/admin/tenants/{quote(name, safe='')}", terms)
    print(f"{name}: its requests are {'gathered' if capture else 'not gathered'}")
