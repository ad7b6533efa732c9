"""Stages run here in the test's own process, as a worker would run them: settings from the environment."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tokenizers import Tokenizer

from judge.comparison import Instruction
from judge.gathering.instructions import Gathered, store
from judge.store.database import Sessions
from judge.store.tables import IterationRow
from judge.teaching import iterations
from judge.teaching.profiles import iteration_settings
from judge.versions.pointer import move_champion
from judge.versions.version import VersionStore
from tests.scripted_vllm import Script, ScriptedVLLM, hashed_margin
from tests.versions import register
from workers.stage import run_stage

SMALL = {
    "instructions": 40,
    "held_out_share": 0.4,
    "response_tokens": 200,
    "concurrency": 8,
    "mix": {"neighbor": 1, "random": 1},
    "judged_pairs": 4,
    "samples": 2,
    "reasoning_tokens": 64,
    "field_tokens": 64,
    "max_reasoned": 4,
    "max_pointwise": 12,
    "batch_pairs": 4,
    "method": "lora",
    "lora_rank": 2,
    "evaluated_reasoning": 2,
    "evaluated_attacks": 24,
    "evaluated_phrases": 2,
    "phrase_pairs": 8,
    "gate_min_items": 10,
}


@dataclass
class Loop:
    """An iteration's surroundings."""

    sessions: Sessions
    store: VersionStore
    serving: ScriptedVLLM
    evaluation: ScriptedVLLM
    version: str
    bring_in: Callable[[int], None]

    def start(self, **overrides: object) -> int:
        with self.sessions.begin() as session:
            settings = iteration_settings("smoke", {**SMALL, **overrides})
            return iterations.start(session, "smoke", settings, "test").id

    def run(self, iteration: int, *stages: str) -> IterationRow:
        for stage in stages or iterations.STAGES:
            run_stage(iteration, stage)
        return self.row(iteration)

    def row(self, iteration: int) -> IterationRow:
        with self.sessions() as session:
            return iterations.get(session, iteration)

    def rows(self, query: object) -> list:
        with self.sessions() as session:
            return list(session.scalars(query))


# Enough of them that no two responses are nearly the same.
WORDS = str.split(
    "amber basin candle delta ember forest granite harbor island jacket kettle lantern marble needle orchard "
    "pepper quarry ribbon saddle timber umbrella valley window yonder anchor bridge copper drawer engine"
)


def on_topic(prompt: str, weights) -> float:
    """A taught judge: right whenever the response speaks of the topic that the instruction names."""
    if weights.name != "candidate" or "topic-" not in prompt:
        return hashed_margin(prompt, weights)
    conversation, _, responses = prompt.split("[Conversation]")[1].partition("[Response")
    topic = conversation.split("topic-")[1].split()[0]
    if "[Response B]" in responses:
        first, second = responses.split("[Response B]")
        return 3.0 * ((f"topic-{topic} " in first) - (f"topic-{topic} " in second))
    return 2.0 if f"topic-{topic} " in responses else -2.0


def respond(prompt: str) -> str:
    """A generator that answers what was asked, and a judge that always finds A better."""
    if "[Response A]" in prompt:
        return "A is on topic.\n\nVerdict: [[A]]"
    topic = prompt.rsplit("topic-", 1)[1].split()[0]
    words = random.Random(topic).sample(WORDS, 10)
    return f"This is all about topic-{topic} and {' '.join(words)}. " + "More of it. " * (int(topic) % 5)


@pytest.fixture
def bring_in(sessions) -> Callable[[int], None]:
    """Store instructions, each about a topic of its own."""

    def bring(count: int) -> None:
        words = ["river", "bread", "chess", "planet", "garden", "engine", "violin", "winter"]
        items = [
            Gathered(
                Instruction.of(f"Tell me about topic-{i} in {words[i % 8]} terms, {words[(i * 3) % 7]} too."),
                "test",
                "local",
                "en",
            )
            for i in range(count)
        ]
        with sessions.begin() as session:
            store(session, items)

    return bring


@pytest.fixture
def loop(sessions, clean_redis, postgres_url, tmp_path, monkeypatch, bring_in) -> Loop:
    """Sixty instructions, a champion, a backend that serves it and one for evaluations."""
    store_ = VersionStore(tmp_path / "models")
    version = register(sessions, store_, tmp_path, 0)
    with sessions.begin() as session:
        move_champion(session, version, 0, actor="test", act="seed", details={})
    bring_in(60)
    folder = store_.path(version)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    serving = ScriptedVLLM(Script(tokenizer, folder, label=version, text=respond))
    evaluation = ScriptedVLLM(Script(tokenizer, folder, text=respond, margin=on_topic))
    with serving.serve(), evaluation.serve():
        environment = {
            "HOME": str(tmp_path),
            "DATABASE_URL": postgres_url,
            "REDIS_URL": clean_redis,
            "BACKEND_URLS": f'["{serving.url}"]',
            "EVALUATION_URL": evaluation.url,
        }
        for name, value in environment.items():
            monkeypatch.setenv(f"JUDGESMITH_{name}", value)
        yield Loop(sessions, store_, serving, evaluation, version, bring_in)


@pytest.fixture
def other(loop, tmp_path):
    """A version that is not the champion."""
    return register(loop.sessions, loop.store, tmp_path, 1)
