"""One iteration on a running Judgesmith, and what came of it, as Markdown tables.

    python -m benchmarks.iteration --instructions real.jsonl --anchors autoj=pairs.jsonl --profile full

The gateway is at `JUDGESMITH_GATEWAY_URL` (default http://127.0.0.1:8080), the key in `JUDGESMITH_KEY`.
With `--show N` nothing is started: the tables of iteration N are printed again.
"""

import argparse
import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from benchmarks import iteration_pairs
from stack.terminal.caller import parse_changes

OVER = {"promoted", "refused", "no_decision", "awaiting_approval", "failed", "cancelled"}


def main() -> None:
    """Bring in, iterate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--instructions", type=Path, help="JSONL of instructions")
    parser.add_argument("--anchors", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--profile", default="full")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    parser.add_argument("--show", type=int, help="print an earlier iteration")
    parser.add_argument("--database", help="its URL: what was learned, and candidate against champion, too")
    arguments = parser.parse_args()
    key = os.environ.get("JUDGESMITH_KEY", "")
    http = httpx.Client(
        base_url=os.environ.get("JUDGESMITH_GATEWAY_URL", "http://127.0.0.1:8080"),
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=60,
    )
    wanted = {"profile": arguments.profile, "settings": parse_changes(arguments.set)}
    number = arguments.show or run(http, arguments.instructions, arguments.anchors, wanted)
    print(report(http.get(f"/admin/iterations/{number}").raise_for_status().json()))
    if arguments.database:
        with Session(create_engine(arguments.database)) as session:
            print(
                f"\n{iteration_pairs.learned(session, number)}\n\n{iteration_pairs.paired(session, number)}"
            )


def run(http: httpx.Client, instructions: Path, anchors: list[str], wanted: dict[str, Any]) -> int:
    """Start an iteration on the given data and wait for its end; returns its number."""
    for pair in anchors:
        name, _, file = pair.partition("=")
        http.put(f"/admin/anchors/{name}", content=Path(file).read_bytes()).raise_for_status()
    lines = [json.loads(line) for line in instructions.read_text().splitlines()]
    kept = [{k: row[k] for k in ("messages", "language", "source") if k in row} for row in lines]
    for start in range(0, len(kept), 500):
        http.post("/instructions", json={"instructions": kept[start : start + 500]}).raise_for_status()
    number = int(http.post("/admin/iterations", json=wanted).raise_for_status().json()["id"])
    while http.get(f"/admin/iterations/{number}").raise_for_status().json()["status"] not in OVER:
        time.sleep(5)
    return number


def report(iteration: dict[str, Any]) -> str:
    """The stages with their minutes, the evaluations with their intervals, the gate's answer."""
    lines = [
        f"Iteration {iteration['id']}, profile {iteration['profile']}: **{iteration['status']}**"
        + (f" ({iteration['error']})" if iteration["error"] else ""),
        f"judged by {iteration['judged_by']}, candidate {iteration['candidate']}",
        "",
        "| stage | minutes | counts |",
        "|---|---|---|",
    ]
    for stage in iteration["stages"]:
        counts = {
            k: v
            for k, v in iteration["counts"].get(stage["name"], {}).items()
            if not isinstance(v, dict | list)
        }
        shown = ", ".join(f"{name} {value}" for name, value in counts.items())
        lines.append(f"| {stage['name']} | {minutes(stage['started_at'], stage['finished_at'])} | {shown} |")
    lines.append(f"| all | {minutes(iteration['created_at'], iteration['finished_at'])} | |")
    lines += ["", "| step | came in | kept | left out |", "|---|---|---|---|"]
    for step in iteration["funnel"]:
        dropped = ", ".join(f"{reason} {count}" for reason, count in step["dropped"].items())
        lines.append(f"| {step['step']} | {step['came_in']} | {step['kept']} | {dropped} |")
    lines += [
        "",
        "| pairs | strategy | version | n | right in both orders | position-consistent | shorter is right "
        "| a text was cut |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in iteration["evaluations"]:
        metrics = row["metrics"]
        # Attacks and phrases have figures of their own, which the gate's reasons name.
        if "items" not in metrics:
            continue
        names = (
            "consistent_accuracy",
            "position_consistency",
            "accuracy_shorter_right",
            "accuracy_truncated",
        )
        cells = " | ".join(share(metrics.get(name)) for name in names)
        name = (
            row["role"]
            if row["role"] != "champion" or iteration["judged_by"] != iteration["seed_version"]
            else "seed"
        )
        lines.append(f"| {row['dataset']} | {row['strategy']} | {name} | {metrics['items']} | {cells} |")
    if iteration["gate"]:
        lines += ["", f"Gate: **{iteration['gate']['decision']}**"]
        lines += [f"* {reason}" for reason in iteration["gate"]["reasons"]]
    return "\n".join(lines)


def share(value: list[float] | None) -> str:
    """`.81 [.74, .86]`."""
    return "" if value is None else f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def minutes(start: str | None, end: str | None) -> str:
    """Between two ISO times."""
    if not start or not end:
        return ""
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() / 60:.1f}"


if __name__ == "__main__":
    main()
