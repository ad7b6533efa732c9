"""The benchmark of rewards on a gateway whose judge is scripted: what it counts, not how fast it is."""

import argparse
import asyncio
import json

import aiohttp
import httpx
import pytest

from benchmarks import rewards
from benchmarks.running import ByHand, Served
from judge.backend.vllm import Backends
from judge.judging.judge import Judge
from tests.scripted_vllm import prefers


@pytest.fixture
def pairs(tmp_path):
    """40 pairs whose better response holds the word Blue."""
    file = tmp_path / "pairs.jsonl"
    lines = []
    for number in range(40):
        texts = [f"Blue {number}.", f"Seven {number}."]
        label = "a" if number % 2 else "b"
        first, second = texts if label == "a" else texts[::-1]
        instruction = f"Name color {number}."
        lines.append({"id": str(number), "instruction": instruction, "label": label}
                     | {"response_a": first, "response_b": second})  # fmt: skip
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return file


def test_candidates_begin_with_the_right_one_and_its_own_rival(pairs):
    labeled = rewards.sample(pairs)

    found = rewards.candidates(labeled, 0, 8)

    assert len(set(found)) == 8
    assert found[0].startswith("Blue")
    assert found[1] == found[0].replace("Blue", "Seven")
    assert rewards.candidates(labeled, 0, 8) == found


def test_best_of_n_counts_the_right_choice(world, pairs, capsys):
    # The right response's own number is in the instruction as well: a judge that reads both finds it.
    def margin(prompt, _):
        asked = prompt.split("Name color ")[1].split(".")[0]
        return prefers("Blue")(prompt, _) if f" {asked}." in prompt.split("[Response]")[1] else -3.0

    world.script.margin = margin

    async def run():
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as http:
            await rewards.best(pairs, 5, http)

    asyncio.run(run())

    assert [line.split("|")[2].strip() for line in capsys.readouterr().out.splitlines()[-3:]] == ["1.000"] * 3


def test_speed_prints_both_ratios(world, pairs, capsys):
    async def run():
        served = Backends.connect(world.settings.backend_urls, 60)
        judge = Judge.load(world.store, world.versions[0], served, 4096)
        options = argparse.Namespace(pairs=[pairs], limit=13, rounds=2)
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as http, aiohttp.ClientSession() as hand:
            by_hand = ByHand(hand, world.settings.backend_urls[0])
            await rewards.speed(options, Served(judge, http, by_hand))
        await served.aclose()

    asyncio.run(run())

    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("together / vLLM:")
    assert float(second.split()[-1]) > 0


def test_the_median_of_an_even_number_of_ratios_is_between_the_middle_two():
    assert rewards.ratio([1.0, 2.0, 3.0, 8.0], [1.0, 1.0, 1.0, 1.0]) == 2.5
