"""`judgesmith schedule`: when iterations begin by themselves."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from judge.errors import Fault, InvalidInput
from stack.errors import Problem
from stack.terminal.caller import gateway, parse_changes
from stack.terminal.options import Url

PATH = "/admin/schedule"


def schedule(
    cron: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", help='At these times, UTC: "0 3 * * *" is daily at 3.')
    ] = None,
    every: Annotated[int | None, typer.Option(metavar="N", help="With every N new instructions.")] = None,
    off: Annotated[bool, typer.Option("--off", help="No more by themselves.")] = False,
    profile: Annotated[
        str | None, typer.Option(help="Size of the iterations. Default: by the seed model's.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of them; repeatable."),
    ] = None,
    url: Url = None,
) -> None:
    """Have iterations begin by themselves; without an option, show when they do."""
    asked: dict[str, Any] = {"cron": cron} if cron is not None else {}
    asked |= {"every": every} if every is not None else {}
    if len(asked) + off > 1:
        raise InvalidInput(Fault("--cron, --every, --off", "give one of them"))
    client = gateway(url)
    if off:
        client.delete(PATH)
        print("no schedule")
        return
    if asked:
        body = {**asked, "settings": parse_changes(changes or [])}
        body |= {"profile": profile} if profile else {}
        print(*lines(client.put(PATH, body)), sep="\n")
        return
    try:
        print(*lines(client.get(PATH)), sep="\n")
    except Problem as problem:
        if problem.status != 404:
            raise
        print("no schedule")


def lines(answer: dict[str, Any]) -> Iterator[str]:
    """What there is, and how near the next one is."""
    if answer.get("stopped"):
        yield f"stopped: {answer['stopped']}"
    if answer["cron"] and not answer["next_at"]:
        yield f"was at {answer['cron']} (UTC)"
    elif answer["cron"]:
        yield f"at {answer['cron']} (UTC), next {answer['next_at'][:16].replace('T', ' ')}"
    else:
        yield f"with every {answer['every']} new instructions, {answer['new_instructions']} so far"
    settings = ", ".join(f"{name}={value}" for name, value in answer["settings"].items())
    yield f"size {answer['profile']}{', ' if settings else ''}{settings}"
