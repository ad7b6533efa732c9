"""Drift over HTTP and as gauges: nothing at first, the alarm once a window shows it."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from judge.evaluation.drift import Counts
from judge.store.tables import DecisionRow, DriftWindowRow

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


def window(world, ordinal, ties):
    verdicts = {"a": 400 - ties, "b": 400 - ties, "tie": 2 * ties}
    begun = BEGIN + timedelta(hours=ordinal)
    with world.sessions.begin() as session:
        session.add(
            DriftWindowRow(
                model_version=world.versions[0],
                kind="pairwise",
                mode="direct",
                ordinal=ordinal,
                started_at=begun,
                ended_at=begun + timedelta(hours=1),
                counts=Counts(verdicts).to_json(),
            )
        )


def gauge(world, name, figure):
    lines = world.http.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{") and f'figure="{figure}"' in line]
    return float(found[0].rsplit(" ", 1)[1]) if found else None


def test_without_windows_there_is_no_drift(world):
    assert world.http.get("/admin/drift").json() == {"alarms": [], "streams": []}


def test_an_alarm_is_told_with_its_version_figure_and_beginning(world):
    for ordinal, ties in ((1, 20), (2, 22), (3, 120), (4, 130)):
        window(world, ordinal, ties)

    answer = world.http.get("/admin/drift").json()

    (alarm,) = answer["alarms"]
    assert (alarm["version"], alarm["figure"], alarm["alarm"]) == (world.versions[0], "tie", True)
    assert (alarm["before"], alarm["now"]) == (pytest.approx(0.05), pytest.approx(0.325))
    assert alarm["since"] == "2026-01-05T03:00:00+00:00"
    (stream,) = answer["streams"]
    assert [one["figures"]["tie"] for one in stream["windows"]] == [0.05, 0.055, 0.3, 0.325]
    assert world.http.get("/admin/drift", params={"version": "other"}).json()["alarms"] == []


def test_the_gauges_follow_the_windows(make_world, monkeypatch):
    monkeypatch.setattr("service.serving.drift._EVERY_S", 0.05)
    world = make_world()
    window(world, 1, 20)
    window(world, 2, 120)

    for _ in range(200):
        if gauge(world, "judgesmith_drift_alarm", "tie") == 1.0:
            break
        time.sleep(0.05)

    assert gauge(world, "judgesmith_drift_alarm", "tie") == 1.0
    assert gauge(world, "judgesmith_drift_alarm", "invalid") == 0.0
    assert gauge(world, "judgesmith_drift_figure", "tie") == pytest.approx(0.3)


def test_what_drift_is_seen_by_is_recorded_with_every_answer(world):
    pair = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
    world.script.margin = lambda prompt, weights: 3.0  # whatever stands first
    ask = {**pair, "mode": "direct", "strategy": "pairwise"}
    world.http.post("/judge/pairwise", json=ask).raise_for_status()
    rated = world.http.post(
        "/judge/single",
        json={"instruction": "Name a color.", "response": "Blue.", "scale": {"low": 1, "high": 5}},
    ).json()

    with world.sessions() as session:
        found = {row.kind: row for row in session.query(DecisionRow)}
    assert (found["pairwise"].flipped, found["pairwise"].level) == (True, None)
    assert found["single"].level == pytest.approx((rated["rating"] - 1) / 4)
