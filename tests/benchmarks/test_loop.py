"""The benchmark of the loop: real stages and training on a tiny model, a scripted backend."""

import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

from tests.scripted_vllm import scripted
from tests.tiny_model import make_tiny_model
from tests.workers.conftest import WORDS

ROOT = Path(__file__).parents[2]


def text(prompt: str) -> str:
    """Another response to each request, so that pairs can be made; judgments that find A better."""
    if "[Response A]" in prompt:
        return "A does what was asked.\n\nVerdict: [[A]]"
    words = random.Random(hashlib.sha256(prompt.encode()).hexdigest()).sample(WORDS, 6)
    return f"The {words[0]} and the {words[1]}. Or the {words[2]}."


def test_it_prints_a_ratio_for_each_stage_and_for_the_training(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    with scripted(model, text=text, delay_s=0.02).serve() as backend:
        options = ["--model", str(model), "--backend", backend.url, "--instructions", "40", "--examples", "8"]
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.loop", *options, "--concurrency", "4"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("JUDGESMITH_")}
            | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    assert ran.returncode == 0, ran.stderr[-3000:]
    rows = [re.findall(r"[\w.]+", line) for line in ran.stdout.splitlines()]
    found = {row[0]: row for row in rows if len(row) > 1}
    for stage in ("pair", "judge"):
        requests, tokens, mine, hand, ratio = map(float, found[stage][1:])
        assert requests >= 8
        assert tokens > requests
        assert 0 < ratio < 2
        assert abs(ratio - mine / hand) < 0.05
    assert float(found["8"][-1]) > 0
    # Each request of the stages once more, and no other but those that warm up.
    sent = sum(float(found[stage][1]) for stage in ("pair", "judge"))
    assert backend.script.requests == 8 + 2 * sent
