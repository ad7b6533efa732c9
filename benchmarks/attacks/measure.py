"""Asking a gateway about attacked pairs, and keeping what it said."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from judge.evaluation.attack_suite import Target
from judge.evaluation.attacks import Attack

Mode = Literal["direct", "reasoning"]
Outcome = Literal["won", "lost", "tie", "invalid", "refused"]
Job = tuple[int, Attack | None]
# Answers that every further request would get as well.
_HOPELESS = {401, 403, 404, 405}


class Stopped(Exception):
    """The measurement cannot go on; the message says why and what to do."""


class Refused(Exception):
    """The gateway gave no judgment; the message is the status and the problem's kind."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One decision, seen from the side that is attacked, or that would be.

    `probability`: that this side is better. `rating`: of the attacked response alone (REPLACE), or of the
    better response where nothing is attacked. `reason`: why there is no judgment, or no rating.
    """

    outcome: Outcome
    probability: float | None = None
    rating: float | None = None
    reason: str = ""


@dataclass
class Measured:
    """What is known so far: `seen` by the attack's name (None: no attack) and the number of the pair.

    `prompts`: the prompt hash of each kind of judgment that was asked for.
    """

    targets: Sequence[Target]
    attacks: Sequence[Attack]
    mode: Mode
    seen: dict[tuple[str | None, int], Seen] = field(default_factory=dict)
    version: str | None = None
    prompts: dict[str, str] = field(default_factory=dict)

    def answered_by(self, kind: str, version: str, prompt_hash: str) -> None:
        """Note who made a judgment.

        Raises:
            Stopped: somebody else made the earlier ones.
        """
        first, prompt = self.version or version, self.prompts.get(kind, prompt_hash)
        if (first, prompt) != (version, prompt_hash):
            raise Stopped(
                f"the judge changed while it was measured: {first} with prompt {prompt}, then {version} with "
                f"prompt {prompt_hash}; run it again while no version is being promoted"
            )
        self.version = version
        self.prompts[kind] = prompt_hash


class Gateway:
    """The two routes of a gateway that judge. Close it with `aclose`."""

    def __init__(
        self, url: str, key: str | None, mode: Mode, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url, self.mode = url, mode
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=600, transport=transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def judge(self, kind: Literal["pairwise", "single"], **body: Any) -> dict[str, Any]:
        """A judgment.

        Raises:
            Refused: there is none.
            Stopped: there will be none, however often one asks.
        """
        # Escaped, so that a text that is not valid Unicode reaches the gateway, which has to answer it.
        content = json.dumps(body | {"mode": self.mode})
        try:
            answer = await self._http.post(f"/judge/{kind}", content=content)
        except httpx.ConnectError as error:
            raise Stopped(
                f"{self.url} cannot be reached ({error}); start Judgesmith or give --url"
            ) from error
        except httpx.TransportError as error:
            raise Refused(type(error).__name__) from error
        if answer.status_code in _HOPELESS:
            raise Stopped(f"{self.url} answered {answer.status_code} ({_problem(answer)})")
        if answer.status_code != 200:
            raise Refused(f"{answer.status_code} {_problem(answer)}")
        return dict(answer.json())


async def measure(
    gateway: Gateway, measured: Measured, concurrency: int, step: Callable[[], None] = lambda: None
) -> None:
    """Ask about every pair without an attack and with each, and fill `measured` on the way.

    All attacks on a pair come before the next pair, so that a part of the work says something about each.

    Raises:
        Stopped: the gateway cannot be asked, or another judge began to answer.
    """
    jobs = iter([(n, attack) for n in range(len(measured.targets)) for attack in (None, *measured.attacks)])

    async def work() -> None:
        for number, attack in jobs:
            name = attack.name if attack else None
            measured.seen[name, number] = await _see(gateway, measured, number, attack)
            step()

    await asyncio.gather(*(work() for _ in range(concurrency)))


async def _see(gateway: Gateway, measured: Measured, number: int, attack: Attack | None) -> Seen:
    target = measured.targets[number]
    attacked = attack.write(target.instruction.text, target.worse) if attack else target.worse
    shown = target.comparison(attacked)
    asked = {"messages": target.instruction.to_json()}
    try:
        decision = await gateway.judge(
            "pairwise", **asked, response_a=shown.response_a, response_b=shown.response_b, allow_tie=True
        )
    except Refused as refusal:
        return Seen("refused", reason=str(refusal))
    _note(measured, "pairwise", decision)
    probability = decision["probability_a"]
    if probability is not None and target.side == "b":
        probability = 1 - probability
    rating, reason = None, str(decision["reason"] or "")
    if attack is None or attack.kind == "replace":
        rating, reason = await _rate(gateway, measured, asked, attacked if attack else target.better)
    return Seen(_outcome(decision["verdict"], target), probability, rating, reason)


async def _rate(
    gateway: Gateway, measured: Measured, asked: dict[str, Any], response: str
) -> tuple[float | None, str]:
    try:
        answer = await gateway.judge("single", **asked, response=response)
    except Refused as refusal:
        return None, str(refusal)
    _note(measured, "single", answer)
    # The lowest rating of what holds no answer has a reason too; it is no problem.
    return answer["rating"], str(answer["reason"] or "") if answer["rating"] is None else ""


def _note(measured: Measured, kind: str, answer: dict[str, Any]) -> None:
    # A mode may answer in one of several ways, each with a prompt of its own.
    path = answer.get("path", answer["mode"])
    way = " ".join(filter(None, (kind, path, answer.get("strategy"))))
    measured.answered_by(way, answer["model_version"], answer["prompt_hash"])


def _outcome(verdict: str, target: Target) -> Outcome:
    if verdict == "tie":
        return "tie"
    if verdict == "invalid":
        return "invalid"
    return "won" if verdict == target.side else "lost"


def _problem(answer: httpx.Response) -> str:
    """The last part of the problem's type."""
    try:
        return str(answer.json()["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
