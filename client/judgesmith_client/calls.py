"""Calls as requests, and answers as values, without any I/O: what both clients share."""

import hashlib
import json
import uuid
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from judgesmith_client.errors import Malformed, OutOfReach
from judgesmith_client.retrying import Request
from judgesmith_client.values import Decision, Item, Messages, Pin, Reward, Rewards, asked

# How often a call is asked for again in part, because the service was swapped meanwhile.
_ROUNDS = 5

# A step is requests to send, which may be sent at the same time; their answers, in order, are sent back.
RewardSteps = Generator[list[Request], Any, Rewards]


def reward_steps(
    items: Sequence[Item], size: int, options: Mapping[str, Any], key: str | None, pin: str | None
) -> RewardSteps:
    """Rewarding items, in chunks of `size`; returns the rewards once all are from one version.

    A swap in the middle leaves chunks of two versions: the older one's are asked for again.

    Raises:
        OutOfReach: the service was swapped again and again.
        Malformed: the answers are no rewards.
    """
    if not items:
        return Rewards([], "", "")
    requests = reward_requests(items, size, options, key, pin)
    answers = list((yield requests))
    for _ in range(_ROUNDS):
        version = answers[-1]["model_version"]
        other = [n for n, answer in enumerate(answers) if answer["model_version"] != version]
        if not other:
            return to_rewards(answers)
        found = yield [again(requests[number], version) for number in other]
        for number, answer in zip(other, found, strict=True):
            answers[number] = answer
    raise OutOfReach("the model was swapped again and again during this call; pin a version")


def reward_requests(
    items: Sequence[Item],
    size: int,
    options: Mapping[str, Any],
    key: str | None,
    pin: str | None,
) -> list[Request]:
    """The items in chunks, each under an idempotency key of its own.

    Without a `key`, a pinned call's follows from what is asked: a run that was killed and asks again is given
    what was made the first time. Unpinned, it is drawn anew, since another version may serve by then.
    """
    drawn = uuid.uuid4().hex
    requests = []
    for number in range(0, len(items), size):
        chunk = [item.to_json() for item in items[number : number + size]]
        body = {"items": chunk, **options} | ({"pin": pin} if pin else {})
        if key is None and pin:
            own = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        else:
            own = f"{key or drawn}-{number // size}"
        requests.append(Request("POST", "/reward", body, {"Idempotency-Key": own}))
    return requests


def again(request: Request, version: str) -> Request:
    """The same chunk of a call of which other chunks came from `version`."""
    body = {**(request.body or {}), "version": version}
    return Request("POST", "/reward", body, {"Idempotency-Key": uuid.uuid4().hex})


def to_rewards(answers: Sequence[Any]) -> Rewards:
    """The chunks' answers, all from one version, as one."""
    try:
        rewards = [Reward.from_json(entry) for answer in answers for entry in answer["rewards"]]
        return Rewards(rewards, answers[-1]["model_version"], answers[-1]["prompt_hash"])
    except (KeyError, TypeError) as error:
        raise Malformed(f"these are no rewards: {error}") from error


def compare_request(
    instruction: str | Messages, response_a: str, response_b: str, options: Mapping[str, Any]
) -> Request:
    """A pairwise judgment."""
    texts = {"response_a": response_a, "response_b": response_b}
    return Request("POST", "/judge/pairwise", {**asked(instruction), **texts, **options})


def to_decision(answer: Any) -> Decision:
    """Its answer."""
    names = ("verdict", "probability_a", "model_version", "rationale", "reason")
    return Decision(*(answer.get(name) for name in names))


def rank_request(
    instruction: str | Messages, responses: Sequence[str], options: Mapping[str, Any]
) -> Request:
    """A ranking."""
    return Request("POST", "/judge/rank", {**asked(instruction), "responses": list(responses), **options})


def to_order(answer: Any) -> list[int]:
    """Indexes of the responses from the best down."""
    return [int(index) for index in answer["top_k"]]


def pin_request(name: str, version: str | None, ttl_s: int) -> Request:
    """Making a pin."""
    body = {"name": name, "ttl_s": ttl_s} | ({"version": version} if version else {})
    return Request("POST", "/reward/pins", body)


def to_pin(answer: Any) -> Pin:
    """Its answer."""
    return Pin(answer["name"], answer["version"], answer["served"], answer["expires_at"])
