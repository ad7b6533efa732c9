"""`judgesmith iterate | watch | cancel`: starting an iteration, watching it, ending it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from judge.errors import Fault, InvalidInput
from stack.terminal.caller import console, gateway, parse_changes
from stack.terminal.options import Size, Url

if TYPE_CHECKING:
    from stack.terminal.gateway import Gateway

app = typer.Typer()


@app.command()
def iterate(
    profile: Annotated[
        Size | None, typer.Option(help="Its size. Default: by the seed model's, paper from 7B on, else full.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of it; repeatable."),
    ] = None,
    times: Annotated[int, typer.Option(help="So many in a row, each judged by the last champion.")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it is over.")] = False,
    url: Url = None,
) -> None:
    """Start an iteration: gather, pair, judge, train, evaluate, and promote what is shown to be better."""
    client = gateway(url)
    body: dict[str, object] = {"settings": parse_changes(changes or [])}
    body |= {"profile": profile.value} if profile else {}
    answer = client.post("/admin/iterations", body | ({"times": times} if times > 1 else {}))
    print(f"iteration {answer['id']} is {answer['status']}, profile {answer['profile']}")
    if wait:
        _watch(client, answer["id"])


@app.command()
def watch(
    iteration: Annotated[int | None, typer.Argument(help="Default: the last one.")] = None,
    url: Url = None,
) -> None:
    """Watch an iteration, and those after it in its campaign, until they are over; then what they came to."""
    client = gateway(url)
    _watch(client, number_of(client, iteration))


def _watch(client: "Gateway", iteration: int) -> None:
    from stack.terminal.show import summary
    from stack.terminal.watch import follow, following

    current: int | None = iteration
    while current is not None:
        iteration = current
        try:
            state = follow(client, iteration, console())
            print(*summary(state), sep="\n", flush=True)
            current = following(client, state)
        except KeyboardInterrupt:
            print(f"iteration {iteration} goes on: see `judgesmith watch`, `judgesmith cancel {iteration}`")
            return
    if state["status"] in ("failed", "cancelled"):
        sys.exit(1)


@app.command()
def cancel(
    iteration: Annotated[int | None, typer.Argument(help="Default: the one in progress.")] = None,
    url: Url = None,
) -> None:
    """Ask an iteration to stop at its next step, and with it the rest of its campaign."""
    client = gateway(url)
    iteration = number_of(client, iteration)
    answer = client.post(f"/admin/iterations/{iteration}/cancel")
    print(f"iteration {iteration} is {answer['status']}")


def number_of(client: "Gateway", iteration: int | None) -> int:
    """The iteration that is named, or the last one."""
    if iteration is not None:
        return iteration
    latest = client.get("/admin/iterations", limit=1)["iterations"]
    if not latest:
        raise InvalidInput(Fault("iteration", "there is none yet"))
    return int(latest[0]["id"])
