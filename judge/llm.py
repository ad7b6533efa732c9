"""A client of one vLLM server: token ids in, token ids and log-probabilities out.

It uses vLLM's token-in-token-out route (`/inference/v1/generate`, `--enable-scale-out`), because there
every answer names the weights that made it (`weight_versions`): that is how a decision proves that it
comes from one model version, whatever happens to the server meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from judge.errors import BackendError
from judge.scoring import LabelRead
from judge.voting import Usage


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample a completion. Defaults are the judge's of Self-Taught Evaluators (0.7, 0.9).

    With `choices` the completion is one of them (vLLM's structured outputs).
    """

    max_tokens: int
    temperature: float = 0.7
    top_p: float = 0.9
    seed: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled completion and the weights that wrote it."""

    text: str
    finished: bool
    weights: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Labels:
    """One read of label log-probabilities and the weights that gave it."""

    read: LabelRead
    weights: str
    usage: Usage


class _Retryable(BackendError):
    """A failure that another attempt may not meet: a closed connection, overload, an aborted request."""


class VLLM:
    """One vLLM server. Safe to share between tasks of one event loop; close it with `aclose`."""

    def __init__(
        self, url: str, *, timeout_s: float = 300.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            # vLLM closes idle connections after 5 s: give them up earlier, or a request may meet one closing.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2.0),
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def read_labels(self, token_ids: Sequence[int], labels: Sequence[int]) -> Labels:
        """Log-probabilities of the label tokens as the next token.

        Sampling is limited to the labels, the log-probabilities are those before that limit.
        """
        answer = await self._generate(
            token_ids,
            {
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": len(labels),
                "logprob_token_ids": list(labels),
                "allowed_token_ids": list(labels),
                "detokenize": False,
            },
        )
        choice = answer["choices"][0]
        found = {
            entry["token_id"]: entry["logprob"] for entry in choice["logprobs"]["content"][0]["top_logprobs"]
        }
        return Labels(LabelRead(tuple(found[label] for label in labels)), _weights(choice), _usage(answer))

    async def sample(self, token_ids: Sequence[int], sampling: Sampling) -> Completion:
        """Sample one completion; `finished` is False where it was cut off at `max_tokens`."""
        parameters: dict[str, Any] = {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            parameters["seed"] = sampling.seed
        if sampling.choices:
            parameters["structured_outputs"] = {"choice": list(sampling.choices)}
        answer = await self._generate(token_ids, parameters, output_mode="text")
        choice = answer["choices"][0]
        return Completion(
            text=choice["text"],
            finished=choice["finish_reason"] == "stop",
            weights=_weights(choice),
            usage=_usage(answer),
        )

    async def healthy(self) -> bool:
        """Whether the server answers and its engine lives."""
        try:
            return (await self._http.get("/health", timeout=5.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def weights(self) -> str:
        """Label of the weights in service; `default` after a start."""
        return str((await self._control("GET", "/weight_info"))["weight_version"])

    async def pause(self) -> None:
        """Let the requests in progress finish and hold new ones back."""
        await self._control("POST", "/pause", params={"mode": "wait"})

    async def resume(self) -> None:
        """Let requests through again."""
        await self._control("POST", "/resume")

    async def reload(self, folder: Path) -> None:
        """Read other weights of the same architecture into the engine, and forget cached prefixes.

        Only while paused. After a failure the engine holds half a model: reload a good folder before
        `resume`, or the engine dies at the next request.
        """
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        await self._control("POST", "/collective_rpc", json=body)
        await self._control("POST", "/reset_prefix_cache")

    async def label_weights(self, label: str) -> None:
        """Name the weights in service; every answer from now on carries the name."""
        await self._control("POST", "/update_weight_version", json={"new_version": label})

    async def _generate(
        self, token_ids: Sequence[int], sampling: dict[str, Any], output_mode: str = "tokens"
    ) -> dict[str, Any]:
        body = {"token_ids": list(token_ids), "sampling_params": sampling, "output_mode": output_mode}
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Retryable),
            stop=stop_after_attempt(4),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                answer = await self._send("POST", "/inference/v1/generate", json=body)
                if answer["choices"][0]["finish_reason"] == "abort":
                    raise _Retryable(f"{self.url} aborted the request")
        return answer

    async def _control(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        # A failed control call closes the connection: a pooled one would break the next call.
        return await self._send(method, path, headers={"Connection": "close"}, **options)

    async def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise BackendError(f"{self.url} did not answer {path} in time") from error
        except httpx.TransportError as error:
            raise _Retryable(f"{self.url} cannot be reached: {error}") from error
        if response.status_code in (502, 503):
            raise _Retryable(f"{self.url} is overloaded or starting ({response.status_code})")
        if response.status_code >= 400:
            raise BackendError(f"{self.url}{path} answered {response.status_code}: {response.text[:300]}")
        return dict(response.json()) if response.content else {}


class Backends:
    """The vLLM servers that serve the champion, taken in turn."""

    def __init__(self, servers: Sequence[VLLM]) -> None:
        self.servers = list(servers)
        self._next = 0

    @classmethod
    def connect(cls, urls: Sequence[str], timeout_s: float) -> "Backends":
        """Clients of the servers at these URLs."""
        return cls([VLLM(url, timeout_s=timeout_s) for url in urls])

    def pick(self) -> VLLM:
        """The next server in turn."""
        self._next = (self._next + 1) % len(self.servers)
        return self.servers[self._next]

    async def aclose(self) -> None:
        """Close all of them."""
        await asyncio.gather(*(server.aclose() for server in self.servers))


def _weights(choice: dict[str, Any]) -> str:
    """The one weight version of a completion; `mixed` where it was swapped in the middle."""
    versions = {span["version"] for span in choice.get("weight_versions") or []}
    return str(versions.pop()) if len(versions) == 1 else "mixed"


def _usage(answer: dict[str, Any]) -> Usage:
    return Usage(answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"])
