"""A call for rewards as it is driven, without any I/O."""

import pytest

from judgesmith_client import Item, OutOfReach, calls

ITEMS = [Item(f"Say {n}.", f"It is {n}.") for n in range(3)]


def answer(version: str, reward: float) -> dict[str, object]:
    return {
        "model_version": version,
        "prompt_hash": "0123",
        "rewards": [{"reward": reward, "outcome": "rewarded"}],
    }


def test_what_came_from_the_older_version_is_asked_for_again_from_the_newer():
    driven = calls.reward_steps(ITEMS, 1, {"form": "rating"}, "step-1", None)
    first = next(driven)

    again = driven.send([answer("old", 1.0), answer("new", 2.0), answer("new", 3.0)])
    with pytest.raises(StopIteration) as end:
        driven.send([answer("new", 4.0)])

    assert [request.body["items"] for request in first] == [[item.to_json()] for item in ITEMS]
    assert [request.body for request in again] == [{**first[0].body, "version": "new"}]
    # Under its own key the service would answer what it made the first time.
    keys = [request.headers["Idempotency-Key"] for request in [*first, *again]]
    assert len(set(keys)) == 4
    assert end.value.value.numbers == [4.0, 2.0, 3.0]
    assert end.value.value.model_version == "new"


def test_a_service_that_is_swapped_in_every_round_is_out_of_reach():
    driven = calls.reward_steps(ITEMS, 1, {}, None, None)
    requests = next(driven)
    answers = [answer("v0", 0.0), answer("v0", 0.0), answer("v1", 0.0)]

    with pytest.raises(OutOfReach, match="pin a version"):  # noqa: PT012
        for number in range(2, 20):
            requests = driven.send(answers)
            answers = [answer(f"v{number}", 0.0)] * len(requests)


def test_nothing_is_asked_for_no_items():
    with pytest.raises(StopIteration) as end:
        next(calls.reward_steps([], 256, {}, None, None))

    assert end.value.value.numbers == []
