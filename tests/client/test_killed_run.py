"""kill -9 of a trainer and of the gateway with rewards in flight, and a swap: all are real processes.

Only the backends are scripted: one that serves the champion, and an engine for pinned versions.
"""

import json
import os
import subprocess
import sys
import time

import httpx
import pytest
from sqlalchemy import select
from tokenizers import Tokenizer

from judge.backend.engine import free_port
from judge.store.tables import DecisionRow
from judge.versions.pointer import move_champion
from judge.versions.version import VersionStore
from judgesmith_client import Client
from stack.processes.spawn import CODE
from tests.client.trainer_process import BATCH, ITEMS, items_of
from tests.scripted_vllm import Script, ScriptedVLLM
from tests.versions import register

pytestmark = pytest.mark.timeout(300)
STEPS = 150
# Long enough that a kill meets rewards in flight.
DELAY_S = 0.1


class Process:
    """A program that can be killed and started again."""

    def __init__(self, *command: str, env: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", *command]
        self._env = {**os.environ, **env}

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, cwd=CODE, env=self._env)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def models(sessions, tmp_path):
    """The store, and two versions of which the first is the champion."""
    store = VersionStore(tmp_path / "models")
    versions = [register(sessions, store, tmp_path, seed) for seed in (0, 1)]
    with sessions.begin() as session:
        move_champion(session, versions[0], 0, actor="test", act="seed", details={})
    return store, versions


@pytest.fixture
def backends(models):
    """The champion's backend, and an engine that waits for a pinned version."""
    store, versions = models
    folder = store.path(versions[0])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    serving = ScriptedVLLM(Script(tokenizer, folder, label=versions[0], delay_s=DELAY_S))
    pinned = ScriptedVLLM(Script(tokenizer, folder, delay_s=DELAY_S))
    with serving.serve(), pinned.serve():
        yield serving, pinned


@pytest.fixture
def gateway(backends, clean_redis, postgres_url, tmp_path):
    """The gateway in a process, always at the same address."""
    serving, pinned = backends
    port = free_port()
    settings = {
        "HOME": str(tmp_path), "DATABASE_URL": postgres_url, "REDIS_URL": clean_redis, "AUTH": "off",
        "PORT": str(port), "BACKEND_URLS": json.dumps([serving.url]), "LOG_LEVEL": "ERROR",
        "PINNED_URLS": json.dumps([pinned.url]),
    }  # fmt: skip
    process = Process("service", env={f"JUDGESMITH_{name}": value for name, value in settings.items()})
    process.url = f"http://127.0.0.1:{port}"
    process.start()
    yield process
    process.kill()


@pytest.fixture
def trainer(gateway, tmp_path):
    """The trainer, not yet started; `log` has a line for each of its steps."""
    log = tmp_path / "run.jsonl"
    arguments = (gateway.url, "run-7", str(log), str(STEPS))
    process = Process("tests.client.trainer_process", *arguments, env={"PYTHONPATH": str(CODE / "client")})
    process.log = log
    yield process
    process.kill()


def until(condition, seconds=60):
    for _ in range(seconds * 50):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came true")


def ready(http):
    """Whether the gateway answers that it is ready; while it starts, nobody answers."""
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def recorded(sessions):
    with sessions() as session:
        return list(session.scalars(select(DecisionRow).where(DecisionRow.kind == "reward")))


def test_kills_and_a_swap_in_mid_run_lose_double_and_mix_no_reward(
    sessions, models, backends, gateway, trainer
):
    first, second = models[1]
    serving, pinned = backends

    def steps():
        return len(trainer.log.read_text().splitlines()) if trainer.log.exists() else 0

    def gone_on():
        """Wait for five more steps, then for rewards in flight."""
        begun = steps()
        until(lambda: steps() >= begun + 5)
        until(lambda: serving.running + pinned.running > 0)
        assert steps() < STEPS

    with httpx.Client(base_url=gateway.url, timeout=60) as http:
        until(lambda: ready(http))
        trainer.start()
        gone_on()
        trainer.kill()
        trainer.start()
        gone_on()
        gateway.kill()
        gateway.start()
        until(lambda: ready(http))
        gone_on()
        until(lambda: pinned.script.label == first)
        http.post(f"/admin/models/{second}/promote").raise_for_status()
        gone_on()
        assert serving.script.label == second
        assert trainer.process.wait(120) == 0

    rows = [json.loads(line) for line in trainer.log.read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert {row["version"] for row in rows} == {first}
    calls = recorded(sessions)
    assert len(calls) == STEPS * ITEMS // BATCH
    assert {call.model_version for call in calls} == {first}
    with Client(gateway.url, pin="run-7") as pinned_client, Client(gateway.url) as free:
        everything = [item for step in range(STEPS) for item in items_of(step)]
        expected = pinned_client.reward(everything).numbers
        assert [number for row in rows for number in row["rewards"]] == expected
        assert free.reward(everything).numbers != expected
