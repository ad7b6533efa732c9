"""Instructions that read like people's, as many as a benchmark or a test needs: halves of real ones."""

import json
import random
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def natural(count: int, seed: int = 1) -> list[str]:
    """English and other instructions, none twice."""
    rng = random.Random(seed)
    examples = (ROOT / "examples" / "instructions.jsonl").read_text().splitlines()
    texts = [json.loads(line)["messages"][-1]["content"] for line in examples]
    scenarios = tomllib.loads((ROOT / "judge" / "prompts" / "data" / "scenario_examples.toml").read_text())
    texts += [text for group in scenarios.values() for text in group]
    halves = [text.split() for text in texts]
    made: dict[str, None] = {}
    while len(made) < count:
        one, other = rng.choice(halves), rng.choice(halves)
        made[" ".join(one[: len(one) // 2] + other[len(other) // 2 :])] = None
    return list(made)


def plant(texts: list[str], phrase: str, share: float, seed: int = 2) -> tuple[list[str], set[int]]:
    """The texts with a phrase somewhere in a share of them, and the places of those."""
    rng = random.Random(seed)
    chosen = set(rng.sample(range(len(texts)), round(share * len(texts))))
    changed = list(texts)
    for index in chosen:
        spoken = texts[index].split()
        place = rng.randrange(len(spoken) + 1)
        changed[index] = " ".join([*spoken[:place], phrase, *spoken[place:]])
    return changed, chosen
