"""`/judge/rank` and `/judge/rank/systems`: orders, refusals, records, and swaps in the middle."""

import math
import random
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import httpx
import pytest

from judge.judging.scoring import NOT_FINITE
from judge.store.keys import create_key
from tests.service.ranked import METHODS, WORTH, ask, by_worth, captured, stored
from tests.service.test_ranking_systems import compared, repeated


@pytest.mark.parametrize("method", METHODS)
def test_the_order_and_the_scores_follow_the_judge(scripted_world, method):
    answer = scripted_world.http.post(
        "/judge/rank", json=ask(["tin", "gold", "bronze", "silver"], method=method)
    ).json()

    assert [place["index"] for place in answer["ranking"]] == [1, 3, 2, 0]
    assert [place["rank"] for place in answer["ranking"]] == [1, 2, 3, 4]
    # The mean of the worths is 0.125; strengths are centered, rewards are not.
    center = 0.125 if method == "tournament" else 0.0
    scores = [place["score"] + center for place in answer["ranking"]]
    assert scores == pytest.approx(sorted(WORTH.values(), reverse=True), abs=0.02)
    assert (answer["best"], answer["top_k"]) == (1, [1, 3, 2, 0])
    assert (answer["method"], answer["mode"]) == (method, "direct")
    assert answer["model_version"] == scripted_world.versions[0]
    assert len(answer["prompt_hash"]) == 12
    assert answer["usage"]["completion_tokens"] == (4 if method == "pointwise" else 12)
    assert answer["truncated"] is False
    assert answer["latency_ms"] > 0


def test_only_a_tournament_has_intervals(scripted_world):
    texts = ["tin", "gold", "silver"]
    read = scripted_world.http.post("/judge/rank", json=ask(texts)).json()["ranking"]
    fought = scripted_world.http.post("/judge/rank", json=ask(texts, method="tournament")).json()["ranking"]

    assert {(place["low"], place["high"]) for place in read} == {(None, None)}
    assert all(place["low"] - 1e-3 <= place["score"] <= place["high"] + 1e-3 for place in fought)


def test_best_of_n_is_top_k_1(scripted_world):
    answer = scripted_world.http.post("/judge/rank", json=ask(["tin", "silver", "gold"], top_k=1)).json()

    assert answer["top_k"] == [2]
    assert len(answer["ranking"]) == 3


def test_a_conversation_can_be_ranked(scripted_world):
    messages = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Which metal?"}]

    answer = scripted_world.http.post(
        "/judge/rank", json={"messages": messages, "responses": ["tin", "gold"]}
    )

    assert answer.json()["best"] == 1


def test_shuffling_the_input_permutes_the_output_only(world):
    for method, count in product(METHODS, (5, 12)):
        texts = [f"Answer number {n}." for n in range(count)]
        order = random.Random(count).sample(range(count), count)
        body = ask(texts, method=method, seed=5)

        plain = world.http.post("/judge/rank", json=body).json()
        shuffled = world.http.post(
            "/judge/rank", json=body | {"responses": [texts[index] for index in order]}
        ).json()

        moved = [place | {"index": order[place["index"]]} for place in shuffled["ranking"]]
        assert moved == plain["ranking"]
        assert plain["usage"] == shuffled["usage"]


def test_equal_texts_share_a_rank_and_are_judged_once(scripted_world):
    for method in METHODS:
        answer = scripted_world.http.post(
            "/judge/rank", json=ask(["tin", "gold", "tin", "gold", "tin"], method=method)
        ).json()

        places = [(place["index"], place["rank"]) for place in answer["ranking"]]
        assert places == [(1, 1), (3, 1), (0, 3), (2, 3), (4, 3)]
        assert answer["usage"]["completion_tokens"] == 2


def test_one_text_many_times_is_a_ranking_too(scripted_world):
    answer = scripted_world.http.post("/judge/rank", json=ask(["tin", "tin"], method="tournament")).json()

    assert [place["rank"] for place in answer["ranking"]] == [1, 1]
    assert answer["model_version"] == scripted_world.versions[0]


@pytest.mark.parametrize("method", METHODS)
def test_what_says_nothing_is_never_the_best_and_is_not_read(scripted_world, method):
    scripted_world.script.margin = lambda prompt, weights: -30.0  # a judge who despises them all

    answer = scripted_world.http.post("/judge/rank", json=ask([":", "tin", "Answer:"], method=method)).json()

    assert answer["best"] == 1
    assert [(place["index"], place["rank"]) for place in answer["ranking"]] == [(1, 1), (0, 2), (2, 2)]
    assert answer["usage"]["completion_tokens"] == (1 if method == "pointwise" else 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_response_whose_reads_are_not_finite_has_no_rank_and_says_why(scripted_world, method):
    scripted_world.script.margin = lambda prompt, weights: (
        math.nan if "lead" in prompt else by_worth(prompt, weights)
    )

    texts = ["tin", "lead", "gold", "lead"]
    answer = scripted_world.http.post("/judge/rank", json=ask(texts, method=method)).json()
    none = scripted_world.http.post("/judge/rank", json=ask(["lead", "lead too"], method=method)).json()

    assert [(place["index"], place["rank"]) for place in answer["ranking"]] == [
        (2, 1), (0, 2), (1, None), (3, None),
    ]  # fmt: skip
    assert {place["score"] for place in answer["ranking"][2:]} == {None}
    assert {place["reason"] for place in answer["ranking"][2:]} == {NOT_FINITE}
    assert (answer["best"], answer["top_k"]) == (2, [2, 0])
    assert (none["best"], none["top_k"]) == (None, [])
    rows = {row.id: row for row in stored(scripted_world)}
    assert (rows[answer["id"]].verdict, rows[none["id"]].verdict) == ("ranked", "invalid")
    assert rows[none["id"]].reason == NOT_FINITE


@pytest.mark.parametrize("path", ["/judge/rank", "/judge/rank/systems"])
@pytest.mark.parametrize("method", METHODS)
def test_no_tenant_shares_the_backends_cache_of_prefixes_with_another(make_world, path, method):
    world = make_world(auth="keys")
    body = ask(["tin", "gold"]) if path == "/judge/rank" else compared([{"x": "tin", "y": "gold"}])
    with world.sessions.begin() as session:
        made = [create_key(session, tenant, ["judge"], tenant, "test") for tenant in ("one", "two")]

    for key in made:
        headers = {"Authorization": f"Bearer {key}"}
        world.http.post(path, json=body | {"method": method}, headers=headers).raise_for_status()

    assert len(world.script.salts) == 2
    assert None not in world.script.salts


def test_a_large_tournament_plays_four_comparisons_a_response(scripted_world):
    texts = [f"{word} {n}" for n in range(5) for word in WORTH]

    answer = scripted_world.http.post("/judge/rank", json=ask(texts, method="tournament")).json()

    assert answer["usage"]["completion_tokens"] == 2 * 4 * len(texts)
    best = {texts[place["index"]].split()[0] for place in answer["ranking"][:5]}
    assert best == {"gold"}


def test_rankings_need_a_key(make_world):
    world = make_world(auth="keys")

    for path, body in (("", ask(["tin", "gold"])), ("/systems", compared([{"x": "tin", "y": "gold"}]))):
        assert world.http.post(f"/judge/rank{path}", json=body).status_code == 401
    assert stored(world) == []


BAD = [
    ({"responses": [f"text {n}" for n in range(65)]}, "responses", "64"),
    ({"responses": ["alone"]}, "responses", "at least 2"),
    ({"responses": ["tin", "  \n"]}, "responses.1", "empty"),
    ({"top_k": 0}, "top_k", "1"),
    ({"top_k": 3}, "top_k", "there are 2"),
    ({"method": "guess"}, "method", "pointwise"),
    ({"votes": 3}, "votes", "not permitted"),
    ({"instruction": None}, "body", "either"),
]


def test_a_malformed_request_is_answered_with_the_field(world):
    for change, field, hint in BAD:
        answer = world.http.post("/judge/rank", json=ask(["tin", "gold"]) | change)

        assert answer.status_code == 422
        problem = answer.json()["errors"][0]
        assert problem["field"] == field
        assert hint in problem["reason"]
    assert stored(world) == []


def test_a_text_that_does_not_fit_is_named(world):
    long = "long " * 9000
    rounds = [{"x": "tin", "y": "gold"}, {"x": "tin", "y": long}]

    for method in METHODS:
        asked = ask(["tin", "gold", long], method=method, long_texts="refuse")
        one = world.http.post("/judge/rank", json=asked)
        many = world.http.post("/judge/rank/systems", json=compared(rounds, method=method))

        assert (one.status_code, many.status_code) == (422, 422)
        assert one.json()["errors"][0]["field"] == "responses.2"
        assert many.json()["errors"][0]["field"] == "items.1.responses.y"
    assert stored(world) == []


def test_the_ranking_is_recorded_captured_and_counted(scripted_world):
    answer = scripted_world.http.post("/judge/rank", json=ask(["tin", "gold", "tin"])).json()

    (row,) = stored(scripted_world)
    assert (row.id, row.kind, row.verdict, row.strategy) == (answer["id"], "rank", "ranked", "pointwise")
    assert row.votes == {"1": 1, "0": 2, "2": 2}
    assert (row.model_version, row.prompt_hash) == (answer["model_version"], answer["prompt_hash"])
    assert row.completion_tokens == 2
    metrics = scripted_world.http.get("/metrics").text
    assert 'judgesmith_decisions_total{kind="rank",mode="direct",outcome="ranked"} 1.0' in metrics
    assert captured(scripted_world) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_promotion_in_mid_ranking_never_mixes_versions(world, method):
    """A ranking that is half done when the weights change is made again by the new ones alone."""
    body = ask([f"Answer number {n}." for n in range(40 if method == "pointwise" else 9)], method=method)
    old, new, _ = world.versions
    before = world.http.post("/judge/rank", json=body).json()
    begun = world.script.requests

    with ThreadPoolExecutor() as pool:
        # Slow, so that the pause comes between the first reads and the last.
        world.script.delay_s = 0.5
        ranking = pool.submit(httpx.post, f"{world.url}/judge/rank", json=body, timeout=60)
        while world.script.requests == begun:
            time.sleep(0.01)
        world.http.post(f"/admin/models/{new}/promote").raise_for_status()
        world.script.delay_s = 0.0
        answer = ranking.result()

    assert answer.status_code == 200
    during, after = answer.json(), world.http.post("/judge/rank", json=body).json()
    assert repeated(world) > 0
    assert (before["model_version"], during["model_version"], after["model_version"]) == (old, new, new)
    assert before["ranking"] != during["ranking"] == after["ranking"]
    assert during["usage"] == after["usage"]
    assert [row.model_version for row in stored(world)].count(new) == 2
