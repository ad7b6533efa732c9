"""`/judge/rank/systems`: systems by what they answered to many instructions."""

import math
import re

import pytest

from judge.judging.scoring import NOT_FINITE
from tests.service.ranked import METHODS, ask, by_worth, captured, stored


@pytest.mark.parametrize("method", METHODS)
def test_a_system_whose_reads_are_not_finite_has_no_rank_and_says_why(scripted_world, method):
    scripted_world.script.margin = lambda prompt, weights: (
        math.nan if "lead" in prompt else by_worth(prompt, weights)
    )
    rounds = [{"x": "gold", "y": "tin", "z": "lead"}, {"x": "lead", "y": "silver", "z": "lead too"}]

    answer = scripted_world.http.post("/judge/rank/systems", json=compared(rounds, method=method)).json()

    assert [(place["system"], place["rank"]) for place in answer["ranking"]] == [
        ("x", 1), ("y", 2), ("z", None),
    ]  # fmt: skip
    assert answer["ranking"][2]["reason"] == NOT_FINITE
    assert answer["ranking"][2]["items"] == 2
    assert answer["ranking"][0]["wins"] == 1


def repeated(world):
    """How many decisions were begun again."""
    return float(re.search(r"decisions_repeated_total ([0-9.]+)", world.http.get("/metrics").text)[1])


def compared(responses, **options):
    items = [{"instruction": f"Question {n}?", "responses": own} for n, own in enumerate(responses)]
    return {"items": items, **options}


@pytest.mark.parametrize("method", METHODS)
def test_systems_are_ranked_with_intervals_and_a_table(scripted_world, method):
    rounds = [
        {"x": "gold", "y": "silver", "z": "tin"},
        {"x": "silver", "y": "gold", "z": "tin"},
        {"x": "gold", "y": "gold", "z": "tin"},
        {"x": "gold", "y": "bronze"},
    ]

    answer = scripted_world.http.post("/judge/rank/systems", json=compared(rounds, method=method)).json()

    best, second, last = answer["ranking"]
    assert [place["system"] for place in answer["ranking"]] == ["x", "y", "z"]
    assert [place["rank"] for place in answer["ranking"]] == [1, 2, 3]
    assert answer["best"] == "x"
    assert (best["items"], second["items"], last["items"]) == (4, 4, 3)
    assert (best["wins"], best["losses"], best["ties"]) == (5, 1, 1)
    assert best["against"]["y"] == {"wins": 2, "losses": 1, "ties": 1}
    assert last["against"] == {rival: {"wins": 0, "losses": 3, "ties": 0} for rival in "xy"}
    assert best["low"] < best["score"] < best["high"]
    # Pointwise: two, three and two different texts in the first three items, two in the last. Each pair of
    # different texts takes two reads in a tournament.
    assert answer["usage"]["completion_tokens"] == (10 if method == "pointwise" else 16)
    (row,) = stored(scripted_world)
    assert (row.kind, row.votes) == ("rank_systems", {"x": 1, "y": 2, "z": 3})
    # What systems are measured on is not taught: the stream holds the instruction of the request after only.
    scripted_world.http.post("/judge/rank", json=ask(["tin", "gold"]))
    assert captured(scripted_world) == 1


def test_mean_rewards_are_those_of_the_judge(scripted_world):
    rounds = [{"x": "gold", "y": "tin"}, {"x": "silver", "y": "tin"}]

    answer = scripted_world.http.post("/judge/rank/systems", json=compared(rounds)).json()

    assert [place["score"] for place in answer["ranking"]] == pytest.approx([1.375, -1.75])
    assert answer["ranking"][1]["low"] == answer["ranking"][1]["high"] == -1.75


def test_systems_that_share_no_instruction_are_refused_by_name(world):
    rounds = [{"x": "gold", "y": "tin"}, {"v": "tin", "w": "tin"}]

    for method in METHODS:
        answer = world.http.post("/judge/rank/systems", json=compared(rounds, method=method))

        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert problem["field"] == "items"
        assert "(v, w); (x, y)" in problem["reason"]
    assert world.script.requests == 0


def test_too_many_reads_are_refused_before_any(world):
    rounds = [{f"system {s}": f"text {s} {n}" for s in range(8)} for n in range(72)]

    answer = world.http.post("/judge/rank/systems", json=compared(rounds, method="tournament"))

    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["field"] == "items"
    assert "takes 4032 reads by the judge and 4000 are allowed" in problem["reason"]
    assert world.script.requests == 0


BAD_SYSTEMS = [
    (compared([]), "items", "at least 1"),
    (compared([{"x": "tin", "y": "gold"}] * 201), "items", "200"),
    (compared([{"x": "tin"}]), "items", "2 to 16 systems"),
    (compared([{f"s{n}": "tin" for n in range(17)}]), "items.0.responses", "16"),
    (compared([{"x": "tin", "y": " "}]), "items.0.responses.y", "empty"),
]


def test_malformed_systems_are_answered_with_the_field(world):
    for body, field, hint in BAD_SYSTEMS:
        answer = world.http.post("/judge/rank/systems", json=body)

        assert answer.status_code == 422
        problem = answer.json()["errors"][0]
        assert problem["field"] == field
        assert hint in problem["reason"]
    assert stored(world) == []
