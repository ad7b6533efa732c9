"""Watching an iteration: one line a stage, redrawn on a terminal, one line a change in a log."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from judge.iterations import ACTIVE, ON_TRIAL, STAGES
from judge.tables import IterationRow
from stack.gateway import Gateway, Patience

Iteration = dict[str, Any]
_BAR_CELLS = 24
_MARKS = {"done": "✓", "running": "▸", "failed": "✗", "cancelled": "✗"}


def follow(
    gateway: Gateway, iteration: int, console: Console, stopped: Callable[[], bool] = lambda: False
) -> Iteration:
    """Show an iteration's progress until it is over, or `stopped` says so; returns its last state.

    A gateway that is away for a while (a restart, a swap) is waited for.
    """
    state: Iteration = {"id": iteration, "status": "queued", "stages": []}
    if console.is_terminal:
        with Live(table(state), console=console, refresh_per_second=4) as live:
            return _poll(gateway, state, stopped, lambda now: live.update(table(now)))
    told: set[str] = set()

    def tell(now: Iteration) -> None:
        for line in lines(now):
            if line not in told:
                told.add(line)
                console.print(line, markup=False, highlight=False, soft_wrap=True)

    return _poll(gateway, state, stopped, tell)


def unfinished(row: IterationRow) -> str:
    """One line on an iteration that is not over, for whoever starts the service it runs in."""
    if row.status in ON_TRIAL:
        return f"The candidate of iteration {row.id} is on trial ({row.status}): judgesmith shadow {row.id}"
    if row.status == "cancelling":
        return f"Iteration {row.id} is being cancelled."
    return f"Iteration {row.id} is {row.status}, at its stage {row.stage}, and goes on: judgesmith watch"


def following(gateway: Gateway, state: Iteration) -> int | None:
    """The next iteration of this one's campaign, once it has begun; None where the campaign is over."""
    patience = Patience(gateway)
    while (campaign := state.get("campaign")) and campaign["status"] == "running":
        latest = patience.get("/admin/iterations?limit=5") or {"iterations": []}
        members = [
            row["id"]
            for row in latest["iterations"]
            if (row.get("campaign") or {}).get("id") == campaign["id"] and row["id"] > state["id"]
        ]
        if members:
            return int(min(members))
        time.sleep(1)
        state = patience.get(f"/admin/iterations/{state['id']}") or state
    return None


def _poll(
    gateway: Gateway, state: Iteration, stopped: Callable[[], bool], show: Callable[[Iteration], None]
) -> Iteration:
    patience = Patience(gateway)
    while state["status"] in ACTIVE and not stopped():
        state = patience.get(f"/admin/iterations/{state['id']}") or state
        show(state)
        if state["status"] in ACTIVE:
            time.sleep(1)
    return state


def table(state: Iteration) -> Table:
    """All seven stages, those to come included."""
    begun = {stage["name"]: stage for stage in state.get("stages") or []}
    grid = Table.grid(padding=(0, 2))
    grid.add_row("", f"iteration {state['id']}", str(state["status"]))
    for name in STAGES:
        stage = begun.get(name, {"status": "", "done": 0, "total": 0})
        cells = (_MARKS.get(stage["status"], "·"), name, bar(stage), figures(stage), stage.get("note") or "")
        grid.add_row(*cells)
    return grid


def lines(state: Iteration) -> list[str]:
    """What is worth a line in a log: each stage's beginning, each tenth of it, its end, and the outcome."""
    told = []
    for stage in state.get("stages") or []:
        name, status = stage["name"], stage["status"]
        if status == "running":
            tenth = 10 * (10 * stage["done"] // stage["total"]) if stage["total"] else 0
            told.append(f"  {name}: {tenth} %" if tenth else f"  {name}: begun")
        elif status != "due":
            error = f": {stage['error']}" if stage.get("error") else ""
            told.append(f"  {name}: {status}{error}")
    if state["status"] not in ACTIVE:
        told.append(f"  iteration {state['id']}: {state['status']}")
    return told


def bar(stage: dict[str, Any]) -> str:
    """Progress as a bar; empty before there is any."""
    if not stage["total"]:
        return ""
    filled = round(_BAR_CELLS * min(stage["done"] / stage["total"], 1.0))
    return str("━" * filled + "─" * (_BAR_CELLS - filled))


def figures(stage: dict[str, Any]) -> str:
    """`120/600, 2:05 left`."""
    if not stage["total"]:
        return ""
    left = stage.get("eta_s")
    ending = "" if left is None else f", {clock(left)} left"
    return f"{stage['done']}/{stage['total']}{ending}"


def clock(seconds: float) -> str:
    """Minutes and seconds; with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
