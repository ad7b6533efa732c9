"""`/v1/chat/completions` and `/v1/models` for OpenAI's clients: the judge as a generative reward model.

Messages that end with the assistant's are a response to be judged: the judge criticizes it under its own
prompt, and its last line rates it. Messages that end with the user's are the caller's own prompt, and the
judge's model answers it as it stands. What of OpenAI's options is not offered is refused, never ignored.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from judge.backend.answers import Usage
from judge.backend.vllm import Sampling
from judge.comparison import Instruction
from judge.errors import Fault, InvalidInput, NotFound
from judge.judging.judge import Judge, Options
from judge.judging.voting import Mode
from judge.prompts.guide import Scale
from judge.prompts.templates import single_reasoning
from judge.prompts.transcripts import clean
from judge.store.keys import Principal
from judge.verdict import parse_rating
from service.dialects.calls import App, Caller, InUrl, UrlOptions, guide_of
from service.door.hangup import unless_gone
from service.requests.answering import answered
from service.state import State

router = APIRouter(prefix="/v1", tags=["dialects"])
_ALIASES = ("judge", "champion")
_MOST = 16
# In place of a prompt's hash, where the prompt is the caller's.
_THEIRS = "caller"
# Options that change nothing about an answer, values with which any option changes nothing, and others with
# which one does not.
_NO_MATTER = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")
_OFF: tuple[Any, ...] = (None, False, 0, [], {}, {"type": "text"})
_NEUTRAL = {"top_k": -1, "repetition_penalty": 1, "length_penalty": 1, "tool_choice": "none"}


class Part(BaseModel):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class ChatTurn(BaseModel):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(BaseModel):
    """What OpenAI's route takes, as far as it makes sense of a judge."""

    model_config = ConfigDict(extra="forbid")

    model: str = "judge"
    messages: Annotated[list[ChatTurn], Field(min_length=1, max_length=200)]
    max_tokens: int | None = Field(None, ge=1, le=4096)
    max_completion_tokens: int | None = Field(None, ge=1, le=4096)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int = Field(1, ge=1, le=_MOST)
    seed: int | None = Field(None, ge=0, lt=2**31 - _MOST)
    stream: Literal[False] = False

    @model_validator(mode="before")
    @classmethod
    def _without_what_says_nothing(cls, value: Any) -> Any:
        """Clients send some options with values that mean that they are not used."""
        if not isinstance(value, dict):
            return value
        return {
            name: own
            for name, own in value.items()
            if name in cls.model_fields or not _changes_nothing(name, own)
        }

    @property
    def judged(self) -> bool:
        """Whether the last message is a response to be judged."""
        return self.messages[-1].role == "assistant"


@dataclass(frozen=True, slots=True)
class Written:
    """What the judge's model wrote, `n` times; the ratings, where a response was judged."""

    texts: tuple[tuple[str, bool], ...]
    rating: float | None
    model_version: str
    prompt_hash: str
    usage: Usage
    truncated: bool
    mode: Mode = "reasoning"


@router.get("/models")
async def models(caller: Caller, app: App) -> dict[str, Any]:
    """The version in service, under its own name and as `judge`."""
    pointer = app.champion.pointer
    served = [*_ALIASES, *([pointer.champion] if pointer else [])]
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "judgesmith"} for name in served],
    }


@router.post("/chat/completions")
async def chat(request: ChatRequest, http: Request, caller: Caller, app: App, url: InUrl) -> dict[str, Any]:
    """One or more completions of the judge's model."""
    named = None if request.model in _ALIASES else request.model
    if named and url.version and named != url.version:
        raise InvalidInput(Fault("model", f"is {named}, and the URL says {url.version}"))
    _require_meaning(request, url)
    made = await unless_gone(http, _written(request, caller, app, named, url))
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": "stop" if finished else "length",
        }
        for index, (text, finished) in enumerate(made.texts)
    ]
    usage = made.usage
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": made.model_version,
        "system_fingerprint": made.prompt_hash,
        "choices": choices,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }


def _changes_nothing(option: str, value: Any) -> bool:
    return option in _NO_MATTER or value in _OFF or (option in _NEUTRAL and value == _NEUTRAL[option])


def _require_meaning(request: ChatRequest, url: UrlOptions) -> None:
    """Raise `InvalidInput` where the URL asks for what a text cannot have."""
    asked = {"form": url.form, "empty": url.empty, "single_turn": url.single_turn or None}
    faults = [
        Fault(name, "is of rewards; this route writes") for name, own in asked.items() if own is not None
    ]
    if url.preset and not request.judged:
        faults.append(Fault("preset", "is to judge by; messages that end with the user's are not judged"))
    if faults:
        raise InvalidInput(*faults)


async def _written(
    request: ChatRequest, caller: Principal, app: State, named: str | None, url: UrlOptions
) -> Written:
    turns = [{"role": _role(turn.role), "content": turn.text} for turn in request.messages]
    response = clean(turns.pop()["content"]) if request.judged else None
    instruction = Instruction.from_json(turns)
    options = Options(
        guide_of(url), cut=True, salt=app.cache.salt(caller.tenant), rationale_tokens=_longest(request)
    )

    async def work(judge: Judge) -> Written:
        if response is None:
            return await _pass_through(judge, instruction, request, options)
        return await _judged(judge, instruction, response, request, options)

    try:
        done = await answered(
            app, caller, "chat", named or url.version, work,
            digest=instruction.digest, columns=_columns, capture=None, pin=url.pin,
        )  # fmt: skip
    except NotFound as error:
        if named is None:
            raise
        raise NotFound(f"the model {request.model!r} does not exist: {error}") from error
    return done.made


async def _judged(
    judge: Judge, instruction: Instruction, response: str, request: ChatRequest, options: Options
) -> Written:
    """Critiques of the response, each ending in a rating."""
    scale = Scale()
    template = single_reasoning(options.guide.form, scale)
    prompt = judge.response_prompt(template, instruction, response, judge.reserve(options), options)
    judgments = await asyncio.gather(
        *(
            judge.write(prompt, template, _sampling(request, judge.longest(options), index, options.salt))
            for index in range(request.n)
        )
    )
    ratings = [parse_rating(one.text, low=scale.low, high=scale.high).rating for one in judgments]
    return Written(
        tuple((one.text, one.finished) for one in judgments),
        next((rating for rating in ratings if rating is not None), None),
        judge.version,
        judge.prompt_hash(template),
        sum((one.usage for one in judgments), Usage()),
        prompt.truncated,
    )


async def _pass_through(
    judge: Judge, instruction: Instruction, request: ChatRequest, options: Options
) -> Written:
    """The model's own answer to the caller's prompt."""
    ids = judge.assembler.chat(instruction)
    room = judge.assembler.context_tokens - len(ids)
    if room < 1:
        raise InvalidInput(Fault("messages", f"take {len(ids)} tokens, and the context has less"))
    longest = min(judge.longest(options), room)
    completions = await asyncio.gather(
        *(
            judge.backends.pick().sample(ids, _sampling(request, longest, index, options.salt))
            for index in range(request.n)
        )
    )
    for one in completions:
        judge.same(one.weights)
    return Written(
        tuple((one.text, one.finished) for one in completions),
        None,
        judge.version,
        _THEIRS,
        sum((one.usage for one in completions), Usage()),
        False,
    )


def _sampling(request: ChatRequest, longest: int, index: int, salt: str | None) -> Sampling:
    # As OpenAI: a temperature of 1 where nothing is said.
    temperature = 1.0 if request.temperature is None else request.temperature
    seed = None if request.seed is None else request.seed + index
    return Sampling(longest, temperature, request.top_p or 1.0, seed, salt=salt)


def _longest(request: ChatRequest) -> int | None:
    return request.max_completion_tokens or request.max_tokens


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _columns(made: Written) -> dict[str, Any]:
    return {"verdict": "written" if made.rating is None else "rated", "rating": made.rating, "votes": {}}
