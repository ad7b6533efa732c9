"""`POST /reward`: what is answered, what each form means, what is refused, what is recorded."""

import json
import math

import pytest

from judge.store.tables import ModelVersion
from tests.scripted_vllm import prefers
from tests.service.reward_calls import BAD, GOOD, ask, numbers, rows
from tests.tiny_model import make_tiny_model
from tests.versions import probe_of


def test_rewards_come_in_the_order_of_the_items_from_one_named_version(world):
    world.script.margin = prefers("Blue")

    answer = ask(world, GOOD, BAD, GOOD)

    assert numbers(answer) == [2.0, -2.0, 2.0]
    assert {one["outcome"] for one in answer["rewards"]} == {"rewarded"}
    assert answer["model_version"] == world.versions[0]
    assert len(answer["prompt_hash"]) == 12
    assert answer["usage"]["completion_tokens"] == 3


def test_a_probability_is_that_of_yes(world):
    world.script.margin = prefers("Blue")

    answer = ask(world, GOOD, BAD, form="probability")

    assert numbers(answer) == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])
    assert [one["share"] for one in answer["rewards"]] == numbers(answer)


def test_a_rating_is_the_mean_of_the_points_under_their_probabilities(world):
    world.script.scale = lambda prompt, points: [0.0 if point == 4 else -50.0 for point in points]

    answer = ask(world, GOOD, form="rating")
    wider = ask(world, GOOD, form="rating", scale={"low": 0, "high": 9})

    assert numbers(answer) == pytest.approx([4.0])
    assert answer["rewards"][0]["share"] == pytest.approx(0.75)
    assert numbers(wider) == pytest.approx([4.0])
    assert "from 1 (useless) to 5" in world.script.prompts[0]


def test_an_even_rating_is_the_middle_of_the_scale(world):
    world.script.scale = lambda prompt, points: [-1.0] * len(points)

    assert numbers(ask(world, GOOD, form="rating")) == pytest.approx([3.0])


def test_against_a_rival_it_is_how_much_better_the_response_is(world):
    world.script.margin = prefers("Blue")

    answer = ask(world, GOOD | {"rival": "Seven."}, BAD | {"rival": "Blue."}, against="reference")
    even = ask(world, GOOD | {"rival": "Also Blue."}, against="reference", form="probability")

    assert numbers(answer) == [3.0, -3.0]
    assert numbers(even) == [0.5]


def test_against_the_group_it_is_the_distance_to_the_others_mean(world):
    margins = {"one": 3.0, "two": 1.0, "three": -1.0}
    world.script.margin = lambda prompt, _: next(
        value for word, value in margins.items() if word in prompt.split("[Response]")[1]
    )
    items = [{"instruction": "Count.", "response": f"{word} it is"} for word in margins]

    answer = ask(world, *items, against="group")

    assert numbers(answer) == pytest.approx([3.0, -0.0, -3.0])


def test_groups_are_kept_apart_and_a_group_of_one_has_no_reward(world):
    world.script.margin = prefers("Blue")
    items = [GOOD | {"group": "g1"}, BAD | {"group": "g1"}, GOOD | {"group": "g2"}]

    answer = ask(world, *items, against="group")

    assert numbers(answer) == [4.0, -4.0, None]
    assert answer["rewards"][2]["outcome"] == "invalid"
    assert "no other response" in answer["rewards"][2]["reason"]


def test_by_criterion_the_reward_is_the_weighted_mean(world):
    world.script.margin = lambda prompt, _: 2.0 if "Rhyme" in prompt else -1.0
    rubric = [
        {"name": "Rhyme", "description": "Lines rhyme.", "weight": 2},
        {"name": "Length", "description": "Short."},
    ]

    answer = ask(world, GOOD, rubric=rubric, per_criterion=True)

    (one,) = answer["rewards"]
    assert one["reward"] == pytest.approx(1.0)
    assert [(part["name"], part["reward"]) for part in one["criteria"]] == [("Rhyme", 2.0), ("Length", -1.0)]
    assert answer["rubric"] == "custom"


def test_by_criterion_against_the_group_all_numbers_are_against_it(world):
    world.script.margin = lambda prompt, _: (2.0 if "Rhyme" in prompt else -1.0) + ("Blue" in prompt)
    rubric = [
        {"name": "Rhyme", "description": "Lines rhyme.", "weight": 2},
        {"name": "Length", "description": "…"},
    ]

    answer = ask(world, GOOD, BAD, rubric=rubric, per_criterion=True, against="group")

    assert [[part["reward"] for part in one["criteria"]] for one in answer["rewards"]] == [[1, 1], [-1, -1]]
    assert numbers(answer) == pytest.approx([1.0, -1.0])


def test_a_calibrated_reward_is_divided_by_the_versions_temperature(world, tmp_path):
    calibration = {"pointwise": {"temperature": 2.5, "tie_band": 0.0, "pairs": 60}}
    draft = make_tiny_model(tmp_path / "calibrated", 7)
    manifest = world.store.add(draft, origin="calibrated", probe=probe_of(draft), calibration=calibration)
    with world.sessions.begin() as session:
        session.add(ModelVersion(id=manifest.id, origin="calibrated", manifest=manifest.model_dump()))
    world.http.post(f"/admin/models/{manifest.id}/promote").raise_for_status()
    world.script.margin = prefers("Blue")

    odds = ask(world, GOOD, BAD, calibrated=True)
    shares = ask(world, GOOD, calibrated=True, form="probability")

    assert odds["model_version"] == manifest.id
    assert numbers(odds) == pytest.approx([2 / 2.5, -2 / 2.5])
    assert numbers(shares) == pytest.approx([1 / (1 + math.exp(-2 / 2.5))])
    assert numbers(ask(world, GOOD)) == [2.0]


def test_thousands_of_long_items_come_in_one_call(make_world):
    """More than any other route takes."""
    world = make_world(max_body_bytes=200_000, max_reward_bytes=4_000_000)
    world.script.margin = prefers("Blue")
    long = "Blue. " * 100
    chat = {"messages": [{"role": "user", "content": long * 500}]}

    answer = ask(world, *({"instruction": "Name a color.", "response": long} for _ in range(500)))
    scored = world.http.post("/score", json={"text_1": "Color?", "text_2": [long] * 500})
    too_much = world.http.post("/reward", json={"items": [GOOD | {"response": long * 8000}]})

    assert numbers(answer) == [2.0] * 500
    assert len(scored.json()["data"]) == 500
    assert too_much.status_code == 413
    assert world.http.post("/v1/chat/completions", json=chat).status_code == 413


def test_a_reference_is_shown_to_the_judge(world):
    ask(world, GOOD | {"reference": "Green is one."})

    assert "[Reference answer]\nGreen is one." in world.script.prompts[-1]


def test_calibrated_rewards_need_a_calibrated_version(world):
    answer = world.http.post("/reward", json={"items": [GOOD], "calibrated": True})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "calibrated"
    assert rows(world) == []


def test_a_response_that_holds_no_answer_is_worst_without_asking_the_judge(world):
    asked = world.script.requests
    items = [{"instruction": "Name a color.", "response": text} for text in ("", "  \n", "...", "Solution:")]

    forms = [ask(world, *items, form=form) for form in ("log_odds", "probability", "rating")]
    own = ask(world, *items, empty=-3.5)

    assert [numbers(answer) for answer in forms] == [[-10.0] * 4, [0.0] * 4, [1.0] * 4]
    assert {one["outcome"] for answer in forms for one in answer["rewards"]} == {"empty"}
    assert numbers(own) == [-3.5] * 4
    assert world.script.requests == asked


def test_what_a_policy_may_write_is_rewarded_nevertheless(world):
    body = json.dumps({"items": [{"instruction": "Say.", "response": "a\x00b \ud800 c"}]})

    answer = world.http.post("/reward", content=body, headers={"content-type": "application/json"})

    assert answer.json()["rewards"][0]["outcome"] == "rewarded"
