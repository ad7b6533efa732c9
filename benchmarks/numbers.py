"""Two builds in turn on this machine, or on it as an older CPU: label reads, generation, training.

    python -m benchmarks.numbers MODEL_FOLDER --before CHECKOUT [--older-cpu] [--pairs N]

CHECKOUT is an earlier commit's tree (`git worktree add`); it runs with this environment's packages. Reads are
of some 190 tokens and 16 at once; training is the pointwise lesson on so many pairs of 2 times 130 tokens.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx

from benchmarks import sft
from benchmarks.neighbours import measure, prompt
from benchmarks.older_cpu import VARIABLES
from judge.backend.engine import free_port
from judge.backend.processor import openmp
from judge.backend.vllm import Backends
from judge.judging.judge import Judge
from judge.teaching.profiles import iteration_settings
from judge.versions.version import VersionStore
from stack.processes.spawn import CODE, die_with_parent

NAMES = ("reads/s", "tokens/s", "trained tokens/s")


def main() -> None:
    """A row for each build, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--older-cpu", action="store_true", help="AVX2 at most: benchmarks/older_cpu")
    parser.add_argument("--pairs", type=int, default=16, help="to train on")
    parser.add_argument("--seconds", type=float, default=10.0, help="of reads and of generation, a round")
    parser.add_argument("--rounds", type=int, default=4, help="of both builds in turn")
    options = parser.parse_args()
    if options.older_cpu:
        os.environ.update(VARIABLES)
    print("| build | " + " | ".join(NAMES) + " |")
    print("|---" * (1 + len(NAMES)) + "|", flush=True)
    trees = {"before": options.before.resolve(), "now": CODE}
    figures: dict[str, list[list[float]]] = {name: [] for name in trees}
    with ExitStack() as stack:
        urls = {name: stack.enter_context(engine(tree, options.model)) for name, tree in trees.items()}
        for number in range(options.rounds):
            for name, url in urls.items():
                # Other prompts in each round: those of the one before are in the prefix cache.
                rates = asyncio.run(measure(url, [0], options.seconds, 1000 * number))
                figures[name].append([rate for (rate,) in rates])
                print(name, *(f"{rate:.2f}" for (rate,) in rates), file=sys.stderr)
    rows = {
        name: [*map(median, zip(*figures[name], strict=True)), trained(tree, options.model, options.pairs)]
        for name, tree in trees.items()
    }
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{figure:.1f}" for figure in row) + " |")
    ratios = [now / old for old, now in zip(*rows.values(), strict=True)]
    print("| ratio | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


@contextmanager
def engine(tree: Path, model: Path) -> Iterator[str]:
    """A server as that build starts it."""
    port = free_port()
    # As that build has it.
    entry = "judge.versions.serve" if (tree / "judge" / "versions").is_dir() else "judge.engine"
    command = [sys.executable, "-m", entry, "--model", str(model.resolve()), "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=tree,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        try:
            url = f"http://127.0.0.1:{port}"
            while not _answers(url):
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(log.read().decode()[-2000:])
                time.sleep(0.5)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def trained(tree: Path, model: Path, pairs: int) -> float:
    """Tokens a second of the lesson in that build's training process."""
    rows = [
        {"chosen_ids": prompt(2 * n)[:130], "rejected_ids": prompt(2 * n + 1)[:130]} for n in range(pairs)
    ]
    settings = iteration_settings("small", {"sft_epochs": 0})
    judge = Judge.load(VersionStore(model.parent), model.name, Backends([]), 4096)
    with tempfile.TemporaryDirectory() as folder:
        path = sft.write(judge, model.resolve(), {"pointwise": rows}, settings, Path(folder), "benchmark")
        if "dtype" not in (tree / "workers" / "train" / "config.py").read_text():
            config = json.loads(path.read_text())
            del config["dtype"]  # of which that build knows nothing
            path.write_text(json.dumps(config))
        variables = openmp() if tree == CODE else {}
        return 260 * pairs / sft.seconds("workers.train", path, "pointwise", tree=tree, variables=variables)


if __name__ == "__main__":
    main()
