"""`/review` and `/admin/reviews`: from live decisions and files to people, from their answers to figures."""

import base64
import hashlib
import json
import re
import time

import pytest
from sqlalchemy import select

from judge.evaluation.anchors import load_anchors
from judge.gathering import tenants
from judge.store import keys
from judge.store.tables import DecisionRow, ReviewItemRow, ReviewRow, ReviewVerdictRow

PAIR = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
JSONL = {"content-type": "application/jsonl"}


def file(count=5, **more):
    rows = [
        {**PAIR, "instruction": f"Name color number {n}.", "id": f"item-{n}", **more} for n in range(count)
    ]
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def bring(world, content, **query):
    answer = world.http.post("/admin/reviews/items", content=content, headers=JSONL, params=query)
    answer.raise_for_status()
    return answer.json()


def rows(world, table):
    with world.sessions() as session:
        return list(session.scalars(select(table)))


def after(world, count):
    """The review items, once there are so many."""
    for _ in range(200):
        found = rows(world, ReviewItemRow)
        if len(found) >= count:
            return found
        time.sleep(0.02)
    return found


def header(world, name, tenant, *scopes):
    with world.sessions.begin() as session:
        return {"authorization": f"Bearer {keys.create_key(session, name, scopes, tenant, 'test')}"}


def work(world, said, order="random", **options):
    """Answer everything that there is; `said` makes the answer from the item."""
    count = 0
    while item := world.http.post("/review/next", json={"order": order}, **options).json()["item"]:
        answer = {"answer": said(item)}
        world.http.post(f"/review/items/{item['id']}/answer", json=answer, **options).raise_for_status()
        count += 1
    return count


def test_live_decisions_are_asked_about_with_the_probability_of_the_sample(make_world):
    world = make_world(review_rate=1.0)

    made = world.http.post("/judge/pairwise", json=PAIR).json()
    (item,) = after(world, 1)

    assert (item.source, item.decision_id, item.probability) == ("live", made["id"], 1.0)
    (verdict,) = rows(world, ReviewVerdictRow)
    assert (verdict.model_version, verdict.verdict) == (made["model_version"], made["verdict"])
    assert verdict.probability_a == pytest.approx(made["probability_a"])


def test_disagreement_between_the_orders_brings_a_decision_to_people(make_world):
    world = make_world(review_disagreeing=1.0)
    world.script.margin = lambda prompt, weights: 3.0  # whatever stands first
    ask = {**PAIR, "mode": "direct", "strategy": "pairwise"}

    made = world.http.post("/judge/pairwise", json=ask).json()
    (item,) = after(world, 1)
    (decision,) = rows(world, DecisionRow)

    assert {order["verdict"] for order in made["orders"]} == {"a", "b"}
    assert (item.orders_differ, item.probability, decision.flipped) == (True, None, True)


def test_without_consent_and_with_criteria_of_ones_own_nothing_is_kept(make_world):
    world = make_world(review_rate=1.0, auth="keys")
    agreed, silent = header(world, "a", "agreed", "judge"), header(world, "s", "silent", "judge")
    with world.sessions.begin() as session:
        terms = {"daily_instructions": None, "retention_days": None, "actor": "test"}
        tenants.set_policy(session, "agreed", capture=True, **terms)

    for headers, more in (
        (silent, {}),
        (agreed, {"rubric": "Blue is bad."}),
        (agreed, {"reference": "Red."}),
    ):
        world.http.post("/judge/pairwise", json=PAIR | more, headers=headers).raise_for_status()
    last = {**PAIR, "instruction": "Write to ann@example.org about blue."}
    world.http.post("/judge/pairwise", json=last, headers=agreed).raise_for_status()
    (item,) = after(world, 1)

    assert item.tenant == "agreed"
    assert item.messages[0]["content"] == "Write to <EMAIL> about blue."
    metrics = world.http.get("/metrics").text
    assert 'judgesmith_review_items_total{outcome="left out"} 1.0' in metrics


def test_a_reviewer_sees_two_texts_and_neither_verdict_nor_version(world):
    bring(world, file(1), source="file")

    answer = world.http.post("/review/next", json={"order": "random"}).json()

    assert set(answer["item"]) == {"id", "messages", "response_a", "response_b", "lease_s"}
    assert {answer["item"]["response_a"], answer["item"]["response_b"]} == {"Blue.", "Seven."}
    assert answer["progress"] == {"priority": 0, "random": 1, "answered": 0, "skipped": 0}


def test_from_a_file_to_labels_anchors_and_a_file_again(make_world):
    world = make_world(reviewers=1)
    assert bring(world, file(), source="file") == {"added": 5, "left_out": 0}
    assert bring(world, file(6), source="file") == {"added": 1, "left_out": 5}

    done = work(world, lambda item: "a" if item["response_a"] == "Blue." else "b")
    anchors = {"name": "people", "reviewers": 1}
    stored = world.http.post("/admin/reviews/anchors", json=anchors).json()
    exported = world.http.get("/admin/reviews/export").text.splitlines()

    assert done == 6
    assert stored == {"name": "people", "pairs": 6}
    with world.sessions() as session:
        assert {pair.label for pair in load_anchors(session)["people"]} == {"a"}
    read = [json.loads(line) for line in exported]
    assert {row["id"] for row in read} == {f"item-{n}" for n in range(6)}
    assert {(row["label"], row["source"], row["response_a"]) for row in read} == {("a", "file", "Blue.")}
    assert read[0]["meta"]["answers"] == [{"reviewer": "local", "answer": "a"}]
    assert bring(world, "\n".join(exported), source="again", tenant="other") == {"added": 6, "left_out": 0}


def test_the_version_in_service_judges_the_items_and_is_measured_on_few_labels(make_world):
    world = make_world(reviewers=1)
    bring(world, file(60), source="file")

    judged = world.http.post("/admin/reviews/judge", json={"limit": 100}).json()
    work(world, lambda item: "both_bad", headers={})
    version = world.versions[0]
    accuracy = world.http.get("/admin/reviews/accuracy", params={"version": version}).json()
    agreement = world.http.get("/review/agreement").json()

    assert judged == {"version": version, "judged": 60, "more": False}
    assert rows(world, DecisionRow) == []
    assert (accuracy["items"], accuracy["labeled"]) == (60, 60)
    ties = sum(row.verdict == "tie" for row in rows(world, ReviewVerdictRow))
    assert accuracy["accuracy"][0] == pytest.approx(ties / 60, abs=1e-4)
    assert agreement["versions"][version]["agreement"][0] == pytest.approx(ties / 60, abs=1e-4)
    assert agreement["reviewed"] == 60


def test_too_few_labels_are_said_to_be_too_few(world):
    bring(world, file(3, meta={"verdicts": {"v1": {"verdict": "a"}}}), source="file")

    answer = world.http.get("/admin/reviews/accuracy", params={"version": "v1"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "labels"


def test_people_of_one_tenant_work_on_their_own_items_under_their_own_names(make_world):
    world = make_world(auth="keys")
    admin = header(world, "op", "ops", "admin")
    for tenant in ("one", "two"):
        query = {"tenant": tenant, "source": "file"}
        world.http.post(
            "/admin/reviews/items", content=file(2), headers=JSONL | admin, params=query
        ).raise_for_status()
    ann, bob = (header(world, name, "one", "review") for name in ("ann", "bob"))
    eve = header(world, "eve", "two", "review")

    counts = [work(world, lambda item: "tie", headers=who) for who in (ann, bob, eve)]
    agreed = world.http.get("/review/agreement", headers=ann).json()

    assert counts == [2, 2, 2]
    assert agreed["people"]["items"] == 2
    assert world.http.get("/review/agreement", headers=eve).json()["people"]["items"] == 0
    assert {row.reviewer for row in rows(world, ReviewRow)} == {"ann", "bob", "eve"}


def test_somebody_elses_item_is_not_found(make_world):
    world = make_world(auth="keys")
    admin, eve = header(world, "op", "ops", "admin"), header(world, "eve", "two", "review")
    world.http.post("/admin/reviews/items", content=file(1), headers=JSONL | admin).raise_for_status()
    (item,) = rows(world, ReviewItemRow)

    answer = world.http.post(f"/review/items/{item.id}/answer", json={"answer": "a"}, headers=eve)

    assert answer.status_code == 404


def test_a_bad_line_is_named_and_nothing_of_the_file_is_stored(world):
    content = file(2) + '{"instruction": "x", "response_a": "y"}\n'

    answer = world.http.post("/admin/reviews/items", content=content, headers=JSONL)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "line 3: response_b"
    assert rows(world, ReviewItemRow) == []


def test_the_page_runs_its_own_script_and_style_and_nothing_else(world):
    page = world.http.get("/review")
    policy = page.headers["content-security-policy"]

    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=|https?://|innerHTML|\son\w+=|style=", page.text)
