"""A client of one vLLM server: token ids in, token ids and log-probabilities out.

It uses vLLM's token-in-token-out route (`/inference/v1/generate`, `--enable-scale-out`), because there
every answer names the weights that made it (`weight_versions`): that is how a decision proves that it
comes from one model version, whatever happens to the server meanwhile.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from judge.backend.answers import LabelRead, Usage
from judge.backend.connection import Connection, Retryable, persistently
from judge.errors import BackendError

_GENERATE = "/inference/v1/generate"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample a completion. Defaults are the judge's of Self-Taught Evaluators (0.7, 0.9).

    With `choices` the completion is one of them, with `pattern` it matches the regular expression (vLLM's
    structured outputs). Requests of different `salt`
    share no cached prefix, so nobody can time what another tenant has asked.
    """

    max_tokens: int
    temperature: float = 0.7
    top_p: float = 0.9
    seed: int | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    salt: str | None = None


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


# Given a text as it is written: None where it begins, also when it begins anew and what was given before is
# void, and then each piece.
OnText = Callable[[str | None], None]


class VLLM:
    """One vLLM server. Safe to share between tasks of one event loop; close it with `aclose`."""

    def __init__(self, url: str, *, timeout_s: float = 300.0) -> None:
        self.url = url
        self._connection = Connection(url, timeout_s)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def read_labels(
        self, token_ids: Sequence[int], labels: Sequence[int], *, salt: str | None = None
    ) -> Labels:
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
            salt=salt,
        )
        choice = answer["choices"][0]
        found = {
            entry["token_id"]: entry["logprob"] for entry in choice["logprobs"]["content"][0]["top_logprobs"]
        }
        # JSON has no word for what is not finite.
        logprobs = tuple(math.nan if found[label] is None else found[label] for label in labels)
        return Labels(LabelRead(logprobs), _weights(choice), _usage(answer))

    async def sample(
        self, token_ids: Sequence[int], sampling: Sampling, on_text: OnText | None = None
    ) -> Completion:
        """Sample one completion; `finished` is False where it was cut off at `max_tokens`.

        `on_text` is given the text as it comes, and again from its beginning where it has to be made anew.
        """
        parameters: dict[str, Any] = {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            parameters["seed"] = sampling.seed
        if constraint := _constraint(sampling):
            parameters["structured_outputs"] = constraint
        answer = await self._generate(
            token_ids, parameters, output_mode="text", salt=sampling.salt, on_text=on_text
        )
        choice = answer["choices"][0]
        return Completion(
            text=choice["text"],
            finished=choice["finish_reason"] == "stop",
            weights=_weights(choice),
            usage=_usage(answer),
        )

    async def chat(self, model: str, messages: Sequence[Mapping[str, str]], sampling: Sampling) -> Completion:
        """Sample one answer of a model that is not ours, by the ordinary chat route; `weights` is its name.

        `finished` is False where the answer was cut off at `max_tokens`.
        """
        body: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if constraint := _constraint(sampling):
            body["structured_outputs"] = constraint
        answer = await persistently(lambda: self._connection.send("POST", "/v1/chat/completions", body=body))
        choice = answer["choices"][0]
        text, finished = choice["message"].get("content") or "", choice["finish_reason"] == "stop"
        return Completion(text, finished, model, _usage(answer))

    async def healthy(self) -> bool:
        """Whether the server answers and its engine lives."""
        return await self._connection.healthy()

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
        await self._control("POST", "/collective_rpc", body=body)
        await self._control("POST", "/reset_prefix_cache")

    async def label_weights(self, label: str) -> None:
        """Name the weights in service; every answer from now on carries the name."""
        await self._control("POST", "/update_weight_version", body={"new_version": label})

    async def _generate(
        self,
        token_ids: Sequence[int],
        sampling: dict[str, Any],
        *,
        output_mode: str = "tokens",
        salt: str | None = None,
        on_text: OnText | None = None,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "token_ids": list(token_ids),
            "sampling_params": sampling,
            "output_mode": output_mode,
        }
        if salt:
            body["cache_salt"] = salt
        return await persistently(lambda: self._ask(body, on_text))

    async def _ask(self, body: dict[str, Any], on_text: OnText | None) -> dict[str, Any]:
        if on_text is None:
            answer = await self._connection.send("POST", _GENERATE, body=body, may_refuse=True)
        else:
            answer = await self._streamed(body, on_text)
        if answer["choices"][0]["finish_reason"] == "abort":
            raise Retryable(f"{self.url} aborted the request")
        return answer

    async def _control(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        # A failed control call closes the connection: a pooled one would break the next call.
        return await self._connection.send(method, path, headers={"Connection": "close"}, **options)

    async def _streamed(self, body: dict[str, Any], on_text: OnText) -> dict[str, Any]:
        """The same answer, put together from server-sent events."""
        on_text(None)
        body = body | {"stream": True, "stream_options": {"include_usage": True}}
        text = ""
        last: dict[str, Any] = {}
        usage: dict[str, Any] = {}
        async with self._connection.call("POST", _GENERATE, body=body, may_refuse=True) as response:
            async for line in response.content:
                data = line.removeprefix(b"data: ").strip()
                if not line.startswith(b"data: ") or data == b"[DONE]":
                    continue
                event = msgspec.json.decode(data)
                if "error" in event:
                    raise BackendError(f"{self.url}{_GENERATE} failed while writing: {event['error']}")
                for choice in event["choices"]:
                    text, last = text + choice["text"], choice
                    if choice["text"]:
                        on_text(choice["text"])
                usage = event.get("usage") or usage
        if not last.get("finish_reason"):
            raise Retryable(f"{self.url}{_GENERATE} stopped in the middle of its answer")
        return {"choices": [last | {"text": text}], "usage": usage}


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


def _constraint(sampling: Sampling) -> dict[str, Any] | None:
    """What the completion has to be, as vLLM's structured outputs."""
    if sampling.choices:
        return {"choice": list(sampling.choices)}
    return {"regex": sampling.pattern} if sampling.pattern else None


def _weights(choice: dict[str, Any]) -> str:
    """The one weight version of a completion; `mixed` where it was swapped in the middle."""
    versions = {span["version"] for span in choice.get("weight_versions") or []}
    return str(versions.pop()) if len(versions) == 1 else "mixed"


def _usage(answer: dict[str, Any]) -> Usage:
    usage = answer["usage"]
    return Usage(usage["prompt_tokens"], usage["completion_tokens"], answer.get("retries", 0))
