"""`judgesmith card | shadow | approve | reject`: looking at a candidate, and saying yes or no."""

import json
import sys
from typing import Annotated
from urllib.parse import quote

import typer

from stack.commands.iterate import number_of
from stack.terminal.caller import gateway
from stack.terminal.options import Url

app = typer.Typer()
Iteration = Annotated[int | None, typer.Argument(help="Default: the last one.")]


@app.command()
def card(version: Annotated[str, typer.Argument(help="Id of a model version.")], url: Url = None) -> None:
    """Print the model card of a version: lineage, data, metrics, weaknesses."""
    gateway(url).copy(f"/admin/models/{quote(version, safe='')}/card", sys.stdout.buffer)


@app.command()
def shadow(
    iteration: Iteration = None,
    raw: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    url: Url = None,
) -> None:
    """What a candidate did on live traffic, as shadow or canary, beside the champion."""
    from stack.terminal.show import trial

    client = gateway(url)
    answer = client.get(f"/admin/iterations/{number_of(client, iteration)}/shadow")
    print(json.dumps(answer, ensure_ascii=False, indent=1) if raw else "\n".join(trial(answer)))


@app.command()
def approve(iteration: Iteration = None, url: Url = None) -> None:
    """Put the candidate that waits for approval into service."""
    client = gateway(url)
    answer = client.post(f"/admin/iterations/{number_of(client, iteration)}/approve")
    print(f"champion {answer['champion']}, previous {answer['previous']}")


@app.command()
def reject(
    iteration: Iteration = None,
    reason: Annotated[str, typer.Option(help="For the audit.")] = "",
    url: Url = None,
) -> None:
    """Refuse the candidate that waits for approval."""
    client = gateway(url)
    number = number_of(client, iteration)
    answer = client.post(f"/admin/iterations/{number}/reject", {"reason": reason})
    print(f"iteration {number} is {answer['status']}")
