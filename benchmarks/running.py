"""A running `judgesmith up` as benchmarks meet it: its gateway, its version's prompts, and vLLM by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from judge.backend.vllm import Backends
from judge.judging.judge import Judge
from judge.versions.version import VersionStore
from stack.home import Home


class ByHand:
    """What a user of vLLM alone would send: token ids over HTTP, nothing around it."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, f"{url}/inference/v1/generate"

    async def read(self, token_ids: Sequence[int], labels: Sequence[int]) -> None:
        """Log-probabilities of label tokens."""
        await self._post(
            token_ids,
            {
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": len(labels),
                "logprob_token_ids": labels,
                "allowed_token_ids": labels,
                "detokenize": False,
            },
        )

    async def write(self, token_ids: Sequence[int], **sampling: Any) -> str:
        """A completion."""
        answer = await self._post(token_ids, sampling, output_mode="text")
        return str(answer["choices"][0]["text"])

    async def _post(self, token_ids: Sequence[int], sampling: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = {"token_ids": list(token_ids), "sampling_params": sampling} | more
        async with self._http.post(self._url, json=body) as response:
            response.raise_for_status()
            return dict(await response.json())


@dataclass(frozen=True, slots=True)
class Served:
    """The three ways to the same weights."""

    judge: Judge
    gateway: httpx.AsyncClient
    hand: ByHand


@asynccontextmanager
async def served(home: Path, connections: int) -> AsyncIterator[Served]:
    """What runs in a home, asked over at most so many connections.

    Raises:
        SystemExit: nothing runs there.
    """
    addresses = Home.at(home).read_addresses()
    if addresses is None:
        raise SystemExit(f"no stack runs in {home}: start it with `judgesmith up`")
    backends = Backends.connect(addresses.backend_urls, 600)
    limits = httpx.Limits(max_connections=connections)
    try:
        version = await backends.servers[0].weights()
        judge = Judge.load(VersionStore(home / "models"), version, backends, 4096)
        print(f"version {version}, direct strategy {judge.manifest.strategy}")
        async with (
            httpx.AsyncClient(base_url=addresses.gateway_url, timeout=1800, limits=limits) as gateway,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            yield Served(judge, gateway, ByHand(http, addresses.backend_urls[0]))
    finally:
        await backends.aclose()
