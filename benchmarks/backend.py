"""What the backend does on this machine: its start, generation, label reads, a reload.

    python -m benchmarks.backend MODEL_FOLDER

Starts a vLLM of its own on a free port and stops it at the end. Each figure is printed twice; the first
round warms up.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from judge.backend.engine import Engine, free_port
from judge.backend.vllm import VLLM, Sampling

ROUNDS = 2


def main(folder: Path) -> None:
    """Start, measure, stop."""
    with tempfile.TemporaryDirectory() as logs:
        began = time.monotonic()
        engine = Engine.start(folder, Path(logs) / "vllm.log", port=free_port(), max_model_len=4096)
        try:
            for _ in engine.wait_ready():
                pass
            print(f"start: {time.monotonic() - began:.0f} s", flush=True)
            asyncio.run(measure(engine.url, folder))
        finally:
            engine.stop()


async def measure(url: str, folder: Path) -> None:
    """32 generations of 64 tokens at once, 64 label reads of 180 tokens at once, one reload."""
    server = VLLM(url)
    for number in range(ROUNDS):
        began = time.monotonic()
        prompts = [list(range(1000 + index, 1150 + index)) for index in range(32)]
        answers = await asyncio.gather(*(server.sample(ids, Sampling(64, seed=1)) for ids in prompts))
        tokens = sum(answer.usage.completion_tokens for answer in answers)
        print(f"generation: {tokens / (time.monotonic() - began):.0f} tokens/s")
        began = time.monotonic()
        first = 2000 + 500 * number
        prompts = [list(range(first + index, first + index + 180)) for index in range(64)]
        await asyncio.gather(*(server.read_labels(ids, [49, 50]) for ids in prompts))
        print(f"label reads: {64 / (time.monotonic() - began):.1f} per second")
        await server.pause()
        began = time.monotonic()
        await server.reload(folder)
        print(f"reload: {time.monotonic() - began:.2f} s", flush=True)
        await server.resume()
    await server.aclose()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
