"""How busy the loop keeps the engine and the trainer, as ratios to driving both of them by hand.

    python -m benchmarks.loop --model FOLDER [--instructions 120] [--samples 2] [--concurrency 32]
        [--backend URL]

The stages `pair` (which generates) and `judge` run as in an iteration, on a database of their own. Every
request that they send is kept, and then sent again as it was, so many at a time, by an HTTP client alone.
The ratio is that of the tokens generated a second. Then `workers.train` and a bare TRL SFTTrainer learn the
same rows (`benchmarks.sft`).

Without `--backend`, a vLLM is started with the model. One that runs already has to serve this very model.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import select

from benchmarks import own_loop, sft
from judge.backend.vllm import VLLM
from judge.store.database import Sessions
from judge.store.tables import JudgmentRow, PairRow
from judge.teaching import iterations
from judge.teaching.examples import Example
from judge.teaching.planning import judge_of
from judge.teaching.profiles import IterationSettings, iteration_settings
from judge.versions.version import VersionStore
from stack.processes.champion import label_weights
from stack.processes.servers import new_home
from workers.tokens import reasoned_row

_GENERATE = "/inference/v1/generate"
_WARM_UP = 8
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens generated within so many seconds."""

    tokens: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder, or a version's")
    parser.add_argument("--instructions", type=int, default=120)
    parser.add_argument("--samples", type=int, default=2, help="judgments of a pair in each order")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--examples", type=int, default=48, help="rows that the trainers learn")
    parser.add_argument("--backend", help="a running vLLM with this model")
    arguments = parser.parse_args()
    changes = {
        "instructions": arguments.instructions,
        "judged_pairs": arguments.instructions,
        "samples": arguments.samples,
        "concurrency": arguments.concurrency,
    }
    settings = iteration_settings("small", changes)
    with ExitStack() as stack:
        home = stack.enter_context(new_home())
        database, queue = stack.enter_context(own_loop.servers(home))
        sessions = stack.enter_context(own_loop.connected(database))
        models = VersionStore(home.root / "models")
        version = own_loop.sealed(sessions, models, arguments.model)
        log = home.log_dir / "vllm.log"
        url = arguments.backend or stack.enter_context(own_loop.started(models.path(version), log))
        label_weights(url, version)
        own_loop.use(
            home=str(home.root), database_url=database, redis_url=queue, backend_urls=json.dumps([url])
        )
        compare_stages(sessions, url, settings)
        rows = examples(sessions, models, version, settings, arguments.examples)
        print(sft.compare(models.path(version), rows, settings, home.root / "sft"), flush=True)


def compare_stages(sessions: Sessions, url: str, settings: IterationSettings) -> None:
    """Run the stages, each followed by its own requests once more; print a row for each."""
    own_loop.bring_in(sessions, own_loop.EXAMPLES, settings.instructions)
    with sessions.begin() as session:
        number = iterations.start(session, "small", settings, "benchmark").id
    own_loop.run(sessions, number, "select")
    asyncio.run(warm_up(url))
    print("| stage | requests | tokens | tokens/s | by hand | ratio |\n|---|---|---|---|---|---|", flush=True)
    for stage in ("pair", "judge"):
        asyncio.run(forget_prefixes(url))
        with recording() as sent:
            began = time.monotonic()
            own_loop.run(sessions, number, stage)
            seconds = time.monotonic() - began
        if not sent:
            raise SystemExit(f"the stage {stage} had nothing to ask; give it more --instructions")
        asyncio.run(forget_prefixes(url))
        hand = asyncio.run(replay(url, [body for body, _ in sent], settings.concurrency))
        mine = Rate(sum(tokens for _, tokens in sent), seconds)
        print(row(stage, len(sent), mine, hand), flush=True)


def row(stage: str, requests: int, mine: Rate, hand: Rate) -> str:
    """A row of the table."""
    return (
        f"| {stage} | {requests} | {mine.tokens} | {mine.per_second:.0f} | {hand.per_second:.0f} "
        f"| {mine.per_second / hand.per_second:.3f} |"
    )


@contextmanager
def recording() -> Iterator[list[tuple[Body, int]]]:
    """What clients of vLLM send within the block, and how many tokens each request brought."""
    sent: list[tuple[Body, int]] = []
    whole: Callable[..., Any] = VLLM._ask

    async def ask(self: VLLM, body: Body, on_text: Any) -> dict[str, Any]:
        answer = await whole(self, body, on_text)
        sent.append((body, answer["usage"]["completion_tokens"]))
        return dict(answer)

    VLLM._ask = ask  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        VLLM._ask = whole  # type: ignore[method-assign]


async def replay(url: str, bodies: Sequence[Body], concurrency: int) -> Rate:
    """Send the requests in their order, `concurrency` of them at a time."""
    waiting = list(reversed(bodies))
    tokens = 0

    async def client(http: aiohttp.ClientSession) -> None:
        nonlocal tokens
        while waiting:
            async with http.post(f"{url}{_GENERATE}", json=waiting.pop()) as response:
                response.raise_for_status()
                tokens += (await response.json())["usage"]["completion_tokens"]

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(3600)) as http:
        began = time.monotonic()
        await asyncio.gather(*(client(http) for _ in range(concurrency)))
        return Rate(tokens, time.monotonic() - began)


async def warm_up(url: str) -> None:
    """The first requests after a start are slow."""
    sampling = {"max_tokens": 16, "temperature": 0.7}
    body = {"token_ids": list(range(100, 150)), "sampling_params": sampling, "output_mode": "text"}
    await replay(url, [body] * _WARM_UP, _WARM_UP)


async def forget_prefixes(url: str) -> None:
    """What one of the two has computed must not help the other."""
    async with aiohttp.ClientSession() as http, http.post(f"{url}/reset_prefix_cache") as response:
        response.raise_for_status()


def examples(
    sessions: Sessions, models: VersionStore, version: str, settings: IterationSettings, count: int
) -> list[dict[str, list[int]]]:
    """Rows of the reasoned lesson: judgments that were sampled, right or wrong, which costs the same."""
    judge = judge_of(models, version, 4096, settings)
    query = (
        select(PairRow, JudgmentRow)
        .join(JudgmentRow, JudgmentRow.pair_id == PairRow.id)
        .order_by(JudgmentRow.sample, PairRow.id, JudgmentRow.chosen_first)
        .limit(count)
    )
    with sessions() as session:
        found = [
            Example(pair.instruction_id, pair.id, pair.to_pair(), judgment.chosen_first, judgment.text)
            for pair, judgment in session.execute(query)
        ]
    return [reasoned_row(judge, example) for example in found]


if __name__ == "__main__":
    main()
