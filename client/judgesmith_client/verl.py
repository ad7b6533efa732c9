"""For verl: the reward of one response as its `custom_reward_function`.

    custom_reward_function.path=…/judgesmith_client/verl.py custom_reward_function.name=compute_score

The service is named by JUDGESMITH_URL, JUDGESMITH_KEY and JUDGESMITH_PIN. The instruction is what the dataset
has in `extra_info` under one of `INSTRUCTIONS`; verl hands over no prompt.
"""

from functools import cache
from typing import Any

from judgesmith_client.client import Client
from judgesmith_client.environment import client_of_environment
from judgesmith_client.errors import ClientError
from judgesmith_client.values import Item, Messages

INSTRUCTIONS = ("messages", "raw_prompt", "prompt", "instruction", "question")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any = None,
    extra_info: dict[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """`score` for the advantage; what is beside it verl logs.

    Raises:
        KeyError: `extra_info` has no instruction.
        ClientError: there is no reward. Any number in its place would be learned.
    """
    instruction = _instruction(extra_info or {})
    reference = ground_truth if isinstance(ground_truth, str) and ground_truth.strip() else None
    (one,) = _client().reward([Item(instruction, solution_str, reference=reference)]).rewards
    if one.reward is None:
        raise ClientError(f"no reward for a response to {data_source}: {one.reason}")
    return {"score": one.reward, "judge_share": one.share, "judge_empty": float(one.outcome == "empty")}


def _instruction(extra_info: dict[str, Any]) -> str | Messages:
    for name in INSTRUCTIONS:
        value = extra_info.get(name)
        if value is not None and len(value):
            return value if isinstance(value, str) else list(value)
    raise KeyError(f"extra_info has none of {', '.join(INSTRUCTIONS)}")


@cache
def _client() -> Client:
    # One a process: verl calls this from many threads.
    return client_of_environment()
