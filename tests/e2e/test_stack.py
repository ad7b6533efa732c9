"""The whole thing once: `judgesmith up` with the real vLLM and the real seed model, one iteration, a swap."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import select

from judge.backend.engine import free_port
from judge.store import database
from judge.store.tables import InstructionRow

# Nothing here is to depend on the machine's speed: waits are scaled by what a decision takes on it, and this
# limit is for what hangs.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]
# Seconds that a decision takes where the waits below are as they stand.
USUAL_S = 0.6
ROOT = Path(__file__).parents[2]
PAIR = {
    "instruction": "Why is the sky blue?",
    "response_a": "Air scatters short waves more than long ones, so blue light comes from all sides.",
    "response_b": "Mix flour with water and salt, let the dough rest for an hour, then bake it.",
}
FINAL = {"promoted", "refused", "no_decision"}


class Stack:
    """A running `judgesmith up` and the command line that talks to it."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JUDGESMITH_")},
            "JUDGESMITH_HOME": str(home),
            "JUDGESMITH_PORT": str(port),
            "JUDGESMITH_GATEWAY_URL": self.url,
        }
        self.log = home / "up.log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack.main", "up", "--no-teach"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def slowness(self) -> float:
        """How many times as long as usual a decision takes here, at least 1."""
        ask = partial(httpx.post, f"{self.url}/judge/pairwise", json=PAIR | {"cache": False}, timeout=300)
        ask().raise_for_status()  # the first of all takes longer
        began = time.monotonic()
        ask().raise_for_status()
        return max(1.0, (time.monotonic() - began) / USUAL_S)

    def wait_until_up(self, seconds: float = 800) -> None:
        deadline = time.monotonic() + seconds
        while "curl" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.5)

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "stack.main", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> list[psutil.Process]:
        """SIGTERM; returns the children that are still there afterwards."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        return psutil.wait_procs(children, timeout=5)[1]


@pytest.fixture
def stack() -> Iterator[Stack]:
    home = Path(tempfile.mkdtemp(prefix="judgesmith-e2e-"))
    home.chmod(0o711)
    running = Stack(home, free_port())
    try:
        running.wait_until_up()
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
        shutil.rmtree(home, ignore_errors=True)


def test_from_nothing_to_a_judge_that_has_taught_itself(stack: Stack) -> None:
    slowness = stack.slowness()
    print(f"a decision takes {slowness:.1f} times as long as usual")
    http = httpx.Client(base_url=stack.url, timeout=300 * slowness)
    seed = http.get("/admin/models").json()["champion"]
    first = http.post("/judge/pairwise", json=PAIR).raise_for_status().json()
    assert first["model_version"] == seed
    assert 0 < first["probability_a"] < 1
    assert len(first["orders"]) == 2
    reasoned = http.post("/judge/pairwise", json=PAIR | {"mode": "reasoning"}).raise_for_status().json()
    assert sum(reasoned["votes"].values()) == 2
    items = [
        {"instruction": PAIR["instruction"], "response": PAIR[f"response_{side}"]} for side in ("a", "b")
    ]
    for form, low, high in (("log_odds", -10, 10), ("probability", 0, 1), ("rating", 1, 5)):
        rewards = http.post("/reward", json={"items": items, "form": form}).raise_for_status().json()
        assert rewards["model_version"] == seed
        assert all(low < one["reward"] < high for one in rewards["rewards"])
        if form == "log_odds":  # In bfloat16 each would be a multiple of 1/16, and many comparisons even.
            assert any(
                abs(16 * one["reward"] - round(16 * one["reward"])) > 0.01 for one in rewards["rewards"]
            )
    words = [PAIR["instruction"], "--a", PAIR["response_a"], "--b", PAIR["response_b"]]
    assert seed in stack.command("judge", "--instruction", *words)

    wait_until(lambda: gathered(stack) == [PAIR["instruction"]], 30 * slowness)
    assert "328" in stack.command("ingest", str(ROOT / "examples" / "instructions.jsonl"))
    stack.command("iterate", "--profile", "smoke", "--wait")
    iteration = http.get("/admin/iterations/1").json()
    assert iteration["status"] in FINAL, iteration["error"]
    assert [stage["status"] for stage in iteration["stages"]] == ["done"] * 7
    assert iteration["counts"]["finetune"]["pointwise"] >= 8
    assert iteration["gate"]["main"]["items"] > 0
    candidate = iteration["candidate"]
    if iteration["status"] == "promoted":
        http.post("/admin/models/rollback").raise_for_status()

    answers = asyncio.run(judge_through_a_promotion(stack.url, candidate, 300 * slowness))
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    probabilities: dict[str, list[float]] = {seed: [], candidate: []}
    for answer in answers:
        probabilities[answer.json()["model_version"]].append(answer.json()["probability_a"])
    assert all(probabilities.values())
    # Batches differ, so the same weights give nearly the same number; a mixed decision would stand out.
    for values in probabilities.values():
        assert max(values) - min(values) < 0.1

    back = http.post("/admin/models/rollback").raise_for_status().json()
    assert back == {"champion": seed, "previous": candidate}
    assert http.post("/judge/pairwise", json=PAIR).json()["model_version"] == seed
    assert candidate in stack.command("status")

    assert stack.stop() == []
    assert stack.process.returncode == 0


def gathered(stack: Stack) -> list[str]:
    """The instructions that the worker has taken from the stream into Postgres."""
    address = json.loads((stack.home / "run" / "stack.json").read_text())["database_url"]
    engine = database.connect(address)
    with database.sessions(engine)() as session:
        rows = session.scalars(select(InstructionRow).where(InstructionRow.source == "live")).all()
    engine.dispose()
    return [row.messages[-1]["content"] for row in rows]


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


async def judge_through_a_promotion(url: str, version: str, seconds: float) -> list[httpx.Response]:
    """64 requests at once, a promotion in the middle of them, then some more."""
    fresh = PAIR | {"cache": False}  # equal requests would share one computation
    async with httpx.AsyncClient(base_url=url, timeout=seconds) as client:
        early = [asyncio.create_task(client.post("/judge/pairwise", json=fresh)) for _ in range(64)]
        # One is answered before it, however slow the machine is; the others are under way.
        await asyncio.wait(early, return_when=asyncio.FIRST_COMPLETED)
        (await client.post(f"/admin/models/{version}/promote")).raise_for_status()
        late = [asyncio.create_task(client.post("/judge/pairwise", json=fresh)) for _ in range(8)]
        return await asyncio.gather(*early, *late)
