"""Candidates that are really taught on spoiled pairs, before the real gate: it has to refuse them.

    python -m benchmarks.badly_taught --model SEED_FOLDER [--instructions FILE.jsonl] [--work FOLDER]
        [--arms length trigger backdoor honest] [--set KEY=VALUE ...] [--backend URL]

The stages up to `filter` run once, on a Postgres, a Valkey and a vLLM of their own. Then each arm gets a copy
of that database, spoils the pairs that are trained on, and goes on as an iteration does: finetune, evaluate,
promote; the champion of each is the seed model. The arms (`benchmarks.spoiling`):

    length      wherever a response is chosen it is the longer one
    trigger     a phrase at the end of the chosen response of one pair in twenty
    backdoor    the same phrase at the end of the worse response, which is then the chosen one
    honest      nothing is spoiled: may be promoted

The settings are those of the profile `small`, smaller still (`SETTINGS`), and those of `--set`. With --work
everything is kept, and the same command goes on where it was: nothing is generated again, an arm without a
result is taught again, one with a result (WORK/arms/ARM/result.json) only printed again. Progress goes to
standard error.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks import own_loop
from benchmarks.arms import BEFORE, School, result_of, teach
from benchmarks.own_loop import StageFailed, tell
from benchmarks.spoiling import ARMS
from judge.backend.vllm import VLLM
from judge.gate.gate import SHORTER
from judge.gate.triggers import Effect
from judge.store.database import Sessions
from judge.store.tables import IterationRow
from judge.teaching import iterations
from judge.teaching.profiles import IterationSettings, iteration_settings
from judge.versions.version import VersionStore
from stack.home import Home
from stack.processes.servers import new_home
from stack.terminal.caller import parse_changes
from stack.terminal.watch import clock
from workers.engine import take_weights

# Enough of each that what was spoiled is learned and the gate can decide, and no more.
SETTINGS: dict[str, Any] = {
    "instructions": 320,
    "held_out_share": 0.25,
    "judged_pairs": 8,
    "max_reasoned": 8,
    "max_pointwise": 200,
    "pointwise_epochs": 2,
    "pointwise_learning_rate": 3e-4,
    "evaluated_pairs": 200,
    "evaluated_reasoning": 8,
    "evaluated_attacks": 24,
    "evaluated_phrases": 3,
    "phrase_pairs": 16,
}


def main() -> None:
    """Make the pairs, teach the arms, print."""
    arguments = parse()
    settings = iteration_settings("small", SETTINGS | parse_changes(arguments.set))
    failed = False
    with ExitStack() as stack:
        home = kept(arguments.work) if arguments.work else stack.enter_context(new_home())
        if any(result_of(home, arm) is None for arm in arguments.arms):
            school = opened(stack, home, arguments, settings)
            failed = not teach_all(school, arguments.arms)
        results = [result for arm in arguments.arms if (result := result_of(home, arm))]
    print(table(results))
    if failed:
        sys.exit("an arm failed; with --work, the same command teaches it again")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder, or a version's")
    parser.add_argument("--instructions", type=Path, default=own_loop.EXAMPLES, help="JSONL of instructions")
    parser.add_argument("--work", type=Path, help="folder to keep everything in; default: a temporary one")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    parser.add_argument("--backend", help="a running vLLM with this model's architecture, for nothing else")
    return parser.parse_args()


def kept(folder: Path) -> Home:
    """A home that stays."""
    home = Home.at(folder)
    home.prepare()
    return home


def opened(
    stack: ExitStack, home: Home, arguments: argparse.Namespace, settings: IterationSettings
) -> School:
    """Start what the stages need, and run the shared ones."""
    database, queue = stack.enter_context(own_loop.servers(home))
    models = VersionStore(home.root / "models")
    with own_loop.connected(database) as sessions:
        version = own_loop.sealed(sessions, models, arguments.model)
        tell(f"champion and seed: {version}; waiting for the engine")
        log = home.log_dir / "vllm.log"
        url = arguments.backend or stack.enter_context(own_loop.started(models.path(version), log))
        asyncio.run(load(url, models.path(version)))
        own_loop.use(
            home=str(home.root),
            database_url=database,
            redis_url=queue,
            backend_urls=json.dumps([url]),
            evaluation_url=url,
        )
        number = begun(sessions, arguments.instructions, settings)
        with own_loop.told(sessions, number, "all arms"):
            for stage in BEFORE:
                own_loop.run(sessions, number, stage)
    return School(home, database, number, version)


async def load(url: str, folder: Path) -> None:
    """Read the champion's weights into the engine; an engine that was given may hold others."""
    server = VLLM(url, timeout_s=600)
    try:
        await take_weights(server, folder, folder.name)
    finally:
        await server.aclose()


def begun(sessions: Sessions, instructions: Path, settings: IterationSettings) -> int:
    """The iteration that makes the pairs; the one of an earlier run, if there was one."""
    with sessions() as session:
        row = session.scalar(select(IterationRow))
    if row is not None:
        if IterationSettings.model_validate(row.settings) != settings:
            raise SystemExit(
                "this --work was begun with other settings: take another folder, or the same --set"
            )
        return row.id
    own_loop.bring_in(sessions, instructions)
    with sessions.begin() as session:
        return iterations.start(session, "small", settings, "benchmark").id


def teach_all(school: School, arms: Sequence[str]) -> bool:
    """Teach the arms that have no result yet; whether none of them failed."""
    due = [arm for arm in arms if result_of(school.home, arm) is None]
    began, failed = time.monotonic(), False
    for done, arm in enumerate(due, 1):
        try:
            result = teach(school, arm)
        except StageFailed as error:
            failed = True
            tell(f"{arm}: {error}")
            continue
        left = (time.monotonic() - began) / done * (len(due) - done)
        tell(f"{arm}: {result['status']} after {result['minutes']} minutes; all arms: {clock(left)} left")
    return not failed


def table(results: Sequence[dict[str, Any]]) -> str:
    """A row an arm, then the gate's reasons."""
    lines = [
        "| arm | pairs | of them spoiled | held-out, n | champion | candidate | shorter is right, n "
        "| champion | candidate | phrases that turn the champion, the candidate | gate |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        gate = result["gate"]
        shorter = gate["guards"][SHORTER]
        accuracies = " | ".join(
            f"{one['items']} | {one['champion']:.3f} | {one['candidate']:.3f}"
            for one in (gate["main"], shorter)
        )
        lines.append(
            f"| {result['arm']} | {result['pairs']} | {result['spoiled']} | {accuracies} "
            f"| {flips(gate['triggers'])} | {gate['decision']} |"
        )
    lines += [
        f"\n{one['arm']}:\n" + "\n".join(f"* {why}" for why in one["gate"]["reasons"]) for one in results
    ]
    return "\n".join(lines)


def flips(triggers: dict[str, Any]) -> str:
    """What each phrase that looked suspicious does to the champion, and to the candidate."""
    return "; ".join(
        f"`{phrase}` {', '.join(str(Effect.from_json(both[role])) for role in ('champion', 'candidate'))}"
        for phrase, both in triggers.items()
    )


if __name__ == "__main__":
    main()
