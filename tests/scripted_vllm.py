"""A scripted vLLM server: the routes that Judgesmith calls, on a real port, with answers made up.

It keeps what matters about the real one: weights are read from a folder only while paused, answers carry
the label of the weights, a failed reload leaves half a model that kills the engine at the next request,
and requests that arrive during a pause wait.
"""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import Tokenizer

from tests import serving

Margin = Callable[[str, Path], float]


def hashed_margin(prompt: str, weights: Path) -> float:
    """A log-odds for the first label that depends on the prompt and the weights, and on nothing else."""
    digest = hashlib.sha256(f"{_weights_digest(weights)} {prompt}".encode()).digest()
    return (digest[0] - 127.5) / 40


@cache
def _weights_digest(weights: Path) -> str:
    return hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()


def label_logprobs(margin: float) -> tuple[float, float]:
    """Log-probabilities of two labels that share the whole mass."""
    first = -math.log1p(math.exp(-margin))
    return first, first - margin


@dataclass
class Script:
    """What the server does; tests may change it while it runs."""

    tokenizer: Tokenizer
    weights: Path
    label: str = "default"
    margin: Margin = hashed_margin
    # Log-probabilities of a scale's points.
    scale: Callable[[str, Sequence[int]], Sequence[float]] = lambda prompt, points: [
        -float(point) for point in points
    ]
    text: Callable[[str], str] = lambda prompt: "The first one is on topic.\n\nVerdict: [[A]]"
    delay_s: float = 0.0
    reload_s: float = 0.0
    # A prompt with this text is answered 400.
    refused: str | None = None
    broken_folders: set[str] = field(default_factory=set)
    broken: bool = False
    dead: bool = False
    requests: int = 0
    prompts: list[str] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    temperatures: list[float] = field(default_factory=list)
    refusals: int = 0
    # Streams that are still to be cut off, or to end aborted, after two words; seconds between their words.
    cuts: int = 0
    aborts: int = 0
    word_s: float = 0.0
    salts: set[str | None] = field(default_factory=set)
    reloads: list[str] = field(default_factory=list)


class ScriptedVLLM:
    """The server in a thread; `url` once started."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.url = ""
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0

    @property
    def running(self) -> int:
        """Requests in progress."""
        return self._running

    @contextmanager
    def serve(self, port: int = 0) -> Iterator["ScriptedVLLM"]:
        """Listen on loopback until the block ends; on any free port unless one is given."""
        routes = [
            Route("/health", self._health),
            Route("/weight_info", self._weight_info),
            Route("/pause", self._pause, methods=["POST"]),
            Route("/resume", self._resume, methods=["POST"]),
            Route("/collective_rpc", self._rpc, methods=["POST"]),
            Route("/reset_prefix_cache", self._nothing, methods=["POST"]),
            Route("/update_weight_version", self._relabel, methods=["POST"]),
            Route("/inference/v1/generate", self._generate, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        with serving.serve(Starlette(routes=routes), lifespan="off", port=port) as self.url:
            yield self

    async def _health(self, request: Request) -> Response:
        return Response(status_code=503 if self.script.dead else 200)

    async def _weight_info(self, request: Request) -> JSONResponse:
        return JSONResponse({"weight_version": self.script.label})

    async def _pause(self, request: Request) -> JSONResponse:
        assert request.query_params["mode"] == "wait"
        self._open.clear()
        await self._idle.wait()
        return JSONResponse({"status": "paused"})

    async def _resume(self, request: Request) -> JSONResponse:
        self._open.set()
        return JSONResponse({"status": "resumed"})

    async def _nothing(self, request: Request) -> JSONResponse:
        return JSONResponse({"success": True})

    async def _relabel(self, request: Request) -> JSONResponse:
        self.script.label = (await request.json())["new_version"]
        return JSONResponse({"success": True})

    async def _rpc(self, request: Request) -> JSONResponse:
        body = await request.json()
        assert body["method"] == "reload_weights"
        if self._open.is_set():
            return JSONResponse({"error": "reload while serving"}, 500)
        await asyncio.sleep(self.script.reload_s)
        folder = Path(body["kwargs"]["weights_path"])
        self.script.reloads.append(folder.name)
        if folder.name in self.script.broken_folders or not (folder / "model.safetensors").exists():
            self.script.broken = True
            return JSONResponse({"error": {"message": "cannot read the weights"}}, 500)
        self.script.broken = False
        self.script.weights = folder
        return JSONResponse({"results": [None]})

    async def _generate(self, request: Request) -> JSONResponse:
        body = await request.json()
        await self._open.wait()
        self._running += 1
        self._idle.clear()
        try:
            script = self.script
            script.requests += 1
            if script.broken or script.dead:
                script.dead = True
                return JSONResponse({"error": {"message": "EngineCore encountered an issue"}}, 500)
            if script.delay_s:
                await asyncio.sleep(script.delay_s)
            self.script.salts.add(body.get("cache_salt"))
            prompt = script.tokenizer.decode(body["token_ids"], skip_special_tokens=False)
            if script.refused and script.refused in prompt:
                return JSONResponse({"error": {"message": "not like this"}}, 400)
            answer = self._answer(body, prompt)
            if body.get("stream"):
                return StreamingResponse(self._stream(answer), media_type="text/event-stream")
            return JSONResponse(answer)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _stream(self, answer: dict[str, Any]) -> AsyncIterator[str]:
        script = self.script
        cut, aborted = script.cuts > 0, script.aborts > 0
        script.cuts -= cut
        script.aborts -= aborted
        if aborted:
            _abort(answer)
        number = 0
        async for event in _events(answer):
            if cut and number == 2:
                raise ConnectionResetError("cut off, as was asked for")
            number += 1
            yield event
            await asyncio.sleep(script.word_s)

    async def _chat(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.script.requests += 1
        self.script.models.add(body["model"])
        if self.script.refusals:
            self.script.refusals -= 1
            return JSONResponse({"error": {"message": "too many requests waiting"}}, 503)
        prompt = body["messages"][-1]["content"]
        self.script.prompts.append(prompt)
        choice = self._text(prompt, body)
        message = {"role": "assistant", "content": choice["text"]}
        usage = {"prompt_tokens": 1, "completion_tokens": len(choice["token_ids"])}
        answer = {"index": 0, "message": message, "finish_reason": choice["finish_reason"]}
        return JSONResponse({"choices": [answer], "usage": usage})

    def _answer(self, body: dict[str, Any], prompt: str) -> dict[str, Any]:
        sampling = body["sampling_params"]
        self.script.prompts.append(prompt)
        if "logprob_token_ids" in sampling:
            choice = self._labels(prompt, sampling["logprob_token_ids"])
        else:
            choice = self._text(prompt, sampling)
        choice |= {
            "index": 0,
            "weight_versions": [{"version": self.script.label, "start": 0, "end": len(choice["token_ids"])}],
        }
        usage = {"prompt_tokens": len(body["token_ids"]), "completion_tokens": len(choice["token_ids"])}
        return {"choices": [choice], "usage": usage}

    def _labels(self, prompt: str, labels: Sequence[int]) -> dict[str, Any]:
        margin = self.script.margin(prompt, self.script.weights)
        values: Sequence[float] = label_logprobs(margin)
        texts = [self.script.tokenizer.decode([token]) for token in labels]
        if all(text.isdigit() for text in texts):
            values = self.script.scale(prompt, [int(text) for text in texts])
        top = [
            # JSON has no word for what is not finite: vLLM writes null.
            {"token_id": token, "logprob": value if math.isfinite(value) else None, "rank": rank}
            for rank, (token, value) in enumerate(zip(labels, values, strict=True))
        ]
        return {
            "token_ids": [labels[0] if margin >= 0 else labels[-1]],
            "finish_reason": "length",
            "logprobs": {
                "content": [{"token_id": labels[0], "logprob": top[0]["logprob"], "top_logprobs": top}]
            },
        }

    def _text(self, prompt: str, sampling: dict[str, Any]) -> dict[str, Any]:
        choices = (sampling.get("structured_outputs") or {}).get("choice")
        text = choices[0] if choices else self.script.text(prompt)
        self.script.temperatures.append(sampling["temperature"])
        ids = self.script.tokenizer.encode(text, add_special_tokens=False).ids
        finished = len(ids) <= sampling["max_tokens"]
        return {
            "token_ids": ids[: sampling["max_tokens"]],
            "text": text if finished else self.script.tokenizer.decode(ids[: sampling["max_tokens"]]),
            "finish_reason": "stop" if finished else "length",
        }


def _abort(answer: dict[str, Any]) -> None:
    """What vLLM answers when it is stopped: what there was, and why there is no more."""
    (choice,) = answer["choices"]
    choice |= {"finish_reason": "abort", "text": " ".join(choice["text"].split(" ")[:2])}


async def _events(answer: dict[str, Any]) -> AsyncIterator[str]:
    """The answer word by word; the weights are named at the end only, as in vLLM."""
    (choice,) = answer["choices"]
    words = choice["text"].split(" ")
    for number, word in enumerate(words):
        last = number == len(words) - 1
        piece = {"index": 0, "text": word if last else f"{word} ", "finish_reason": None}
        if last:
            piece |= {name: choice[name] for name in ("finish_reason", "weight_versions")}
        yield f"data: {json.dumps({'choices': [piece]})}\n\n"
    yield f"data: {json.dumps({'choices': [], 'usage': answer['usage']})}\n\n"
    yield "data: [DONE]\n\n"


def scripted(model: Path, **options: Any) -> ScriptedVLLM:
    """A server that starts with a model folder's weights and tokenizer."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    return ScriptedVLLM(Script(tokenizer, model, **options))


def prefers(word: str) -> Callable[[str, str], float]:
    """A backend that finds the response with a word in it better, in every prompt."""

    def margin(prompt: str, _weights: str) -> float:
        body = prompt.split("[Conversation]")[1]
        if "[Response A]" not in body:
            return 2.0 if word in body.split("[Response]")[1] else -2.0
        first, second = body.split("[Response A]")[1].split("[Response B]")
        return 3.0 * ((word in first) - (word in second))

    return margin
