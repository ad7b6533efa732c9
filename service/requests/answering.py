"""From admission to record: what every kind of judgment goes through, and what all their answers say."""

import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from judge.backend.answers import Usage
from judge.comparison import Instruction
from judge.gathering.instructions import Gathered
from judge.judging.judge import Judge
from judge.judging.voting import Decision, Mode
from judge.store.keys import Principal
from service.schemas.base import UsageAnswer
from service.state import State


class Made(Protocol):
    """What every judgment knows of its making."""

    @property
    def mode(self) -> Mode: ...
    @property
    def model_version(self) -> str: ...
    @property
    def prompt_hash(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def truncated(self) -> bool: ...


Judgment = TypeVar("Judgment", bound=Made)


@dataclass(frozen=True, slots=True)
class Answered(Generic[Judgment]):
    """A judgment that is recorded under an id."""

    id: str
    made: Judgment
    elapsed: float

    def tail(self) -> dict[str, Any]:
        """The fields of `service.schemas.base.Traced`."""
        made, usage = self.made, self.made.usage
        return {
            "mode": made.mode,
            "model_version": made.model_version,
            "prompt_hash": made.prompt_hash,
            "usage": UsageAnswer(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                retries=usage.retries,
            ),
            "truncated": made.truncated,
            "latency_ms": round(self.elapsed * 1000, 3),
        }


async def answered(
    app: State,
    caller: Principal,
    kind: str,
    version: str | None,
    work: Callable[[Judge], Awaitable[Judgment]],
    *,
    digest: str,
    columns: Callable[[Judgment], dict[str, Any]],
    capture: Instruction | None,
    pin: str | None = None,
    twin: Callable[[Judge], Awaitable[Decision]] | None = None,
) -> Answered[Judgment]:
    """Do `work` with one model version, record it, count it.

    `columns` are those of its row that depend on the kind, `verdict` and `votes` at least; `capture` is the
    instruction that may be gathered for teaching. `pin` names the version, as for rewards. `twin` makes the
    same decision anew, without the cache, for a candidate on trial (`service.serving.trial`); without one
    nothing is tried.
    """
    number = uuid.uuid4().hex
    with app.admission.enter():
        started = time.perf_counter()
        if twin is None or version is not None or pin is not None:
            made = await app.pinned.decide(caller.tenant, version, pin, work)
        else:
            made = await app.trial.decide(number, work, twin)
        elapsed = time.perf_counter() - started
        row = {
            "id": number,
            "kind": kind,
            "tenant": caller.tenant,
            "mode": made.mode,
            "strategy": None,
            "model_version": made.model_version,
            "prompt_hash": made.prompt_hash,
            "instruction_digest": digest,
            "reason": None,
            "probability_a": None,
            "rating": None,
            "prompt_tokens": made.usage.prompt_tokens,
            "completion_tokens": made.usage.completion_tokens,
            "latency_ms": elapsed * 1000,
        } | columns(made)
        gathered = Gathered(capture, "live", caller.tenant) if capture and app.settings.capture else None
        await app.recorder.record(row, gathered)
    metrics = app.metrics
    metrics.decisions.labels(kind, made.mode, row["verdict"]).inc()
    metrics.seconds.labels(kind, made.mode).observe(elapsed)
    metrics.tokens.labels("prompt").inc(made.usage.prompt_tokens)
    metrics.tokens.labels("completion").inc(made.usage.completion_tokens)
    metrics.retries.inc(made.usage.retries)
    return Answered(row["id"], made, elapsed)
