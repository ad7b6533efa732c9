"""Watching an iteration: one line a stage, redrawn on a terminal, one line a change in a log."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from judge.store.tables import IterationRow
from judge.teaching.iterations import ACTIVE, ON_TRIAL, STAGES
from stack.terminal.gateway import Gateway, Patience

Iteration = dict[str, Any]
_BAR_CELLS = 24
# Without a line in a log for so long, how far the running stage is becomes one.
_SILENT_S = 45.0
_MARKS = {"done": "✓", "running": "▸", "failed": "✗", "cancelled": "✗"}


def follow(
    gateway: Gateway,
    iteration: int,
    console: Console,
    stopped: Callable[[], bool] = lambda: False,
    silent_s: float = _SILENT_S,
) -> Iteration:
    """Show an iteration's progress until it is over, or `stopped` says so; returns its last state.

    A gateway that is away for a while (a restart, a swap) is waited for.
    """
    state: Iteration = {"id": iteration, "status": "queued", "stages": []}
    if console.is_terminal:
        with Live(table(state), console=console, refresh_per_second=4) as live:
            return _poll(gateway, state, stopped, lambda now: live.update(table(now)))
    told: set[str] = set()
    last = time.monotonic()

    def tell(now: Iteration) -> None:
        nonlocal last
        found = {what: line for what, line in lines(now).items() if what not in told}
        told.update(found)
        said = list(found.values())
        if not said and time.monotonic() - last >= silent_s:
            said = [pulse(stage) for stage in now.get("stages") or [] if stage["status"] == "running"]
        for line in said:
            last = time.monotonic()
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


def lines(state: Iteration) -> dict[str, str]:
    """Lines worth a log's while, by what they tell: a stage's beginning, each tenth, its end, the outcome."""
    told = {}
    for stage in state.get("stages") or []:
        name, status = stage["name"], stage["status"]
        if status == "running":
            tenth = percent(stage) // 10
            told[f"{name} {tenth}"] = pulse(stage) if tenth else f"  {name}: begun"
        elif status != "due":
            error = f": {stage['error']}" if stage.get("error") else ""
            told[f"{name} {status}{error}"] = f"  {name}: {status}{error}"
    if state["status"] not in ACTIVE:
        told[state["status"]] = f"  iteration {state['id']}: {state['status']}"
    return told


def pulse(stage: dict[str, Any]) -> str:
    """How far a running stage is: `  pair: 30 %, 2:40 left`, with what it does where no time can be told."""
    left = stage.get("eta_s")
    ending = f", {clock(left)} left" if left is not None else f", {stage['note']}" if stage["note"] else ""
    return f"  {stage['name']}: {percent(stage)} %{ending}"


def percent(stage: dict[str, Any]) -> int:
    """Of a stage; 0 before there is any progress."""
    return int(100 * min(stage["done"] / stage["total"], 1.0)) if stage["total"] else 0


def bar(stage: dict[str, Any]) -> str:
    """Progress as a bar; empty before there is any."""
    if not stage["total"]:
        return ""
    filled = round(_BAR_CELLS * min(stage["done"] / stage["total"], 1.0))
    return str("━" * filled + "─" * (_BAR_CELLS - filled))


def figures(stage: dict[str, Any]) -> str:
    """`120/600 (20 %), 2:05 left`."""
    if not stage["total"]:
        return ""
    left = stage.get("eta_s")
    ending = "" if left is None else f", {clock(left)} left"
    return f"{stage['done']}/{stage['total']} ({percent(stage)} %){ending}"


def clock(seconds: float) -> str:
    """Minutes and seconds; with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
