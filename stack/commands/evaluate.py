"""`judgesmith evaluate`: model versions on a benchmark, and a report of it."""

import enum
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.terminal.caller import gateway
from stack.terminal.options import Url

if TYPE_CHECKING:
    from stack.terminal.gateway import Gateway

PATH = "/admin/evaluations"
OVER = ("done", "failed", "cancelled")
_EVERY_S = 1.0


class Mode(enum.StrEnum):
    """How a judge answers, as a choice on the command line."""

    direct = "direct"
    reasoning = "reasoning"


def evaluate(
    benchmark: Annotated[str, typer.Option(help="pairs, rewardbench, mt-bench, …: docs/evaluation.md.")],
    version: Annotated[
        list[str] | None,
        typer.Option(help="Id of a version, champion or previous; repeat to compare. Default: champion."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="File, folder, or hub data set; repeatable. Default: the benchmark's own on the hub."
        ),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Label probabilities, or written judgments.")] = Mode.direct,
    strategy: Annotated[
        str | None, typer.Option(help="pairwise or pointwise, in direct mode. Default: the version's own.")
    ] = None,
    votes: Annotated[int, typer.Option(min=1, help="Judgments per order, where it reasons.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of placement, sampling and intervals.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many items of each set, drawn by the seed.")
    ] = None,
    rationale_tokens: Annotated[
        int | None, typer.Option(min=16, help="Longest written judgment, where it reasons. Default: 512.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch it and print the figures.")] = True,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write the page here, and its figures beside it as JSON."),
    ] = None,
    url: Url = None,
) -> None:
    """Measure versions on a benchmark, with intervals; side by side if there are several."""
    from judge.evaluation.benchmarks.catalog import load_items
    from judge.evaluation.benchmarks.items import to_lines

    given = {"strategy": strategy, "limit": limit, "rationale_tokens": rationale_tokens}
    asked = {"benchmark": benchmark, "mode": mode.value, "votes": votes, "seed": seed}
    asked |= {name: value for name, value in given.items() if value is not None}
    client = gateway(url)
    sources: list[str | None] = [*data] if data else [None]
    sets = [(set_name(source or benchmark), to_lines(load_items(benchmark, source))) for source in sources]
    begun = [
        client.post_lines(PATH, lines, version=one, name=name, **asked)
        for name, lines in sets
        for one in version or ["champion"]
    ]
    for state in begun:
        print(line(state), flush=True)
    if wait or report:
        _finish(client, begun, report)


def set_name(source: str) -> str:
    """What reports call a file, a folder or a hub's data set: the last part of its path."""
    name = Path(source).name
    stem = Path(name).stem if name.endswith((".jsonl", ".json", ".parquet")) else name
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_.- ") else "-" for sign in stem)
    return kept.lstrip("_.- ")[:64] or "set"


def _finish(client: "Gateway", begun: list[dict[str, Any]], out: Path | None) -> None:
    try:
        over = [follow(client, state) for state in begun]
    except KeyboardInterrupt:
        print("the evaluations go on: the same command finds them again")
        sys.exit(1)
    done = [state["id"] for state in over if state["status"] == "done"]
    if done:
        sys.stdout.flush()
        client.copy(f"{PATH}/report", sys.stdout.buffer, form="table", id=done)
        print()
        if out:
            figures = out.with_suffix(".json")
            client.save(f"{PATH}/report", out, form="html", id=done)
            client.save(f"{PATH}/report", figures, form="json", id=done)
            print(f"report: {out}, {figures}")
    if len(done) < len(over):
        sys.exit(1)


def follow(client: "Gateway", state: dict[str, Any], every_s: float = _EVERY_S) -> dict[str, Any]:
    """Print an evaluation's progress by tenths until it is over; returns its last state."""
    from stack.terminal.gateway import Patience

    patience, told = Patience(client), line(state)
    while state["status"] not in OVER:
        time.sleep(every_s)
        state = patience.get(f"{PATH}/{state['id']}") or state
        now = line(state)
        if now != told:
            told = now
            print(now, flush=True)
    return state


def line(state: dict[str, Any]) -> str:
    """`evaluation 3 running: 37055a on pairs_autoj, 40 %`, in steps of ten."""
    parts = [f"{state['version'][:6]} on {state['name']}"]
    if state["status"] == "running":
        parts.append(f"{10 * (10 * state['done'] // max(state['total'], 1))} %")
    if state["error"]:
        parts.append(state["error"])
    return f"evaluation {state['id']} {state['status']}: {', '.join(parts)}"
