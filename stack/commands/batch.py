"""`judgesmith batch`: a file of judgments, sent at once and done in the background."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from stack.terminal.caller import console, gateway
from stack.terminal.options import Url

if TYPE_CHECKING:
    from stack.terminal.gateway import Gateway

Batch = dict[str, Any]
app = typer.Typer(help="Many judgments at once, done in the background.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id of a batch.")]
OVER = ("completed", "cancelled", "expired", "failed")
_EVERY_S = 1.0


@app.command("submit")
def submit_batch(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help='Lines {"custom_id": …, "method": "POST", "url": …, "body": …}.'
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it is over.")] = False,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Wait, then write the results to this file.")
    ] = None,
    url: Url = None,
) -> None:
    """Send a file of up to 50,000 judgments, in the format of OpenAI's Batch API."""
    client = gateway(url)
    state = client.post_file("/judge/batches", file)
    print(f"{state['id']}: {state['request_counts']['total']} lines")
    if wait or out:
        _wait(client, state, out)


@app.command("status")
def show_batch(batch: Id, url: Url = None) -> None:
    """How far a batch is."""
    print(line(gateway(url).get(_path(batch))))


@app.command("results")
def save_results(
    batch: Id,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="File. Default: standard output.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only lines that failed.")] = False,
    url: Url = None,
) -> None:
    """The results so far, in the order of the file that was sent."""
    query = {"only": "errors"} if errors else {}
    client = gateway(url)
    if out:
        client.save(f"{_path(batch)}/results", out, **query)
    else:
        client.copy(f"{_path(batch)}/results", sys.stdout.buffer, **query)


@app.command("cancel")
def cancel_batch(batch: Id, url: Url = None) -> None:
    """Ask a batch to stop; results that it has stay."""
    print(line(gateway(url).post(f"{_path(batch)}/cancel")))


def _path(batch: str) -> str:
    return f"/judge/batches/{quote(batch, safe='')}"


def _wait(client: "Gateway", state: Batch, out: Path | None) -> None:
    try:
        state = follow(client, state)
    except KeyboardInterrupt:
        print(f"{state['id']} goes on: see `judgesmith batch status`, `results` and `cancel`")
        sys.exit(1)
    if out:
        client.save(f"{_path(state['id'])}/results", out)
        print(f"results: {out}")
    if state["status"] != "completed" or state["request_counts"]["failed"]:
        sys.exit(1)


def follow(client: "Gateway", state: Batch, every_s: float = _EVERY_S) -> Batch:
    """Show a batch's progress until it is over; returns its last state.

    On a terminal one line is redrawn, in a log each tenth is a line. A gateway that is away for a while is
    waited for.
    """
    terminal = console()
    if terminal.is_terminal:
        with terminal.status(line(state)) as shown:
            state = _poll(client, state, every_s, lambda now: shown.update(line(now)))
        print(line(state))
        return state
    told: set[tuple[str, int]] = set()

    def tell(now: Batch) -> None:
        counts = now["request_counts"]
        tenth = 10 * (counts["completed"] + counts["failed"]) // max(counts["total"], 1)
        if (now["status"], tenth) not in told:
            told.add((now["status"], tenth))
            print(line(now), flush=True)

    return _poll(client, state, every_s, tell)


def _poll(client: "Gateway", state: Batch, every_s: float, show: Callable[[Batch], None]) -> Batch:
    from stack.terminal.gateway import Patience

    patience = Patience(client)
    show(state)
    while state["status"] not in OVER:
        time.sleep(every_s)
        state = patience.get(_path(state["id"])) or state
        show(state)
    return state


def line(state: Batch) -> str:
    """`batch_… in_progress: 120 of 600, 3 failed, 2:05 left`."""
    from stack.terminal.watch import clock

    counts = state["request_counts"]
    parts = [f"{counts['completed'] + counts['failed']} of {counts['total']}"]
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    if state["eta_s"] is not None:
        parts.append(f"{clock(state['eta_s'])} left")
    return f"{state['id']} {state['status']}: {', '.join(parts)}"
