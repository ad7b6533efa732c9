"""Windows of drift out of recorded decisions: when they close, what they count, what they show."""

import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from judge.evaluation import drift_windows
from judge.store.tables import DecisionRow, ModelVersion

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
SIZE = 200


@pytest.fixture
def traffic(sessions):
    """A function that records decisions of a version, one a minute."""
    with sessions.begin() as session:
        session.add_all(ModelVersion(id=name, origin="test", manifest={}) for name in ("v1", "v2"))
    rng, clock = np.random.default_rng(21), [BEGIN]

    def record(count, *, version="v1", kind="pairwise", mode="direct", repeat=1, tie=0.1, flip=0.1, high=1.0):
        rows = []
        for _ in range(count):
            digest = uuid.uuid4().hex
            clock[0] += timedelta(minutes=1)
            for _ in range(repeat):
                made = judged(rng, tie, flip) if kind == "pairwise" else rated(rng, high)
                rows.append(decision(version, kind, mode, digest, clock[0], **made))
        with sessions.begin() as session:
            session.add_all(rows)

    return record


def judged(rng, tie, flip):
    verdict = "tie" if rng.random() < tie else str(rng.choice(["a", "b"]))
    return {"verdict": verdict, "flipped": bool(rng.random() < flip), "probability_a": float(rng.random())}


def rated(rng, high):
    level = float(rng.beta(4 * high, 3))
    return {"verdict": "rated", "rating": 1 + 9 * level, "level": level}


def decision(version, kind, mode, digest, at, **columns):
    return DecisionRow(
        id=uuid.uuid4().hex,
        at=at,
        kind=kind,
        mode=mode,
        tenant="t",
        model_version=version,
        prompt_hash="p",
        instruction_digest=digest,
        votes={},
        prompt_tokens=1,
        completion_tokens=1,
        latency_ms=1.0,
        **columns,
    )


def close(sessions, decisions=SIZE, hours=1.0):
    with sessions.begin() as session:
        return drift_windows.close(session, decisions, hours)


def streams(sessions):
    with sessions() as session:
        return {stream.key: stream for stream in drift_windows.streams(session)}


def only(sessions):
    (stream,) = streams(sessions).values()
    return stream


def counts(window):
    return sum(window.counts["verdicts"].values())


def test_a_stable_stream_has_windows_and_no_alarm(sessions, traffic):
    traffic(5 * SIZE)

    assert close(sessions) == 5
    stream = only(sessions)

    assert stream.key == ("v1", "pairwise", "direct")
    assert [counts(window) for window in stream.windows] == [SIZE] * 5
    assert stream.alarms == []
    assert stream.since is None


@pytest.mark.parametrize(
    ("kind", "planted", "figures"),
    [
        ("pairwise", {"tie": 0.4}, {"tie"}),
        ("pairwise", {"flip": 0.4}, {"flip"}),
        ("single", {"high": 6.0}, {"ceiling", "ratings"}),
    ],
)
def test_a_planted_drift_is_an_alarm_since_the_window_in_which_it_began(
    sessions, traffic, kind, planted, figures
):
    traffic(2 * SIZE, kind=kind)
    traffic(2 * SIZE, kind=kind, **planted)
    close(sessions)

    stream = only(sessions)

    assert {change.figure for change in stream.alarms} == figures
    assert stream.since == stream.windows[2].started_at


def test_an_alarm_ends_when_its_cause_does(sessions, traffic):
    for tie in (0.1, 0.5, 0.1):
        traffic(SIZE, tie=tie)
    close(sessions)

    assert only(sessions).alarms == []


def test_closing_again_counts_nothing_twice_and_goes_on_where_it_ended(sessions, traffic):
    traffic(SIZE + 50)
    first, again = close(sessions), close(sessions)
    traffic(SIZE)

    assert (first, again, close(sessions)) == (1, 0, 1)
    one, two = only(sessions).windows
    assert one.ended_at < two.started_at
    assert counts(two) == SIZE


def test_an_instruction_counts_once_in_a_window_however_often_it_is_judged(sessions, traffic):
    traffic(SIZE, repeat=3)

    close(sessions)

    assert counts(only(sessions).first) == SIZE


def test_a_window_is_no_shorter_than_its_hours(sessions, traffic):
    traffic(4 * SIZE)

    close(sessions, hours=10.0)

    (window,) = only(sessions).windows[:1]
    assert window.ended_at - window.started_at == timedelta(hours=10)
    assert counts(window) == 601


def test_too_little_traffic_closes_no_window(sessions, traffic):
    traffic(SIZE - 1)

    assert close(sessions) == 0
    assert streams(sessions) == {}


def test_versions_kinds_and_modes_are_apart(sessions, traffic):
    traffic(SIZE)
    traffic(SIZE, mode="reasoning", tie=0.9)
    traffic(SIZE, version="v2", kind="single")
    close(sessions)

    assert set(streams(sessions)) == {
        ("v1", "pairwise", "direct"),
        ("v1", "pairwise", "reasoning"),
        ("v2", "single", "direct"),
    }
    assert all(not stream.alarms for stream in streams(sessions).values())


def test_what_is_counted_is_what_was_recorded(sessions):
    with sessions.begin() as session:
        session.add(ModelVersion(id="v1", origin="test", manifest={}))
        session.add_all(
            decision("v1", "pairwise", "direct", f"d{n}", BEGIN + timedelta(minutes=n), **columns)
            for n, columns in enumerate(
                [
                    {"verdict": "a", "flipped": False, "probability_a": 1.0},
                    {"verdict": "b", "flipped": False, "probability_a": 0.26},
                    {"verdict": "tie", "flipped": True, "probability_a": 0.5},
                    {"verdict": "invalid"},
                ]
            )
        )
    with sessions.begin() as session:
        drift_windows.close(session, 4, 0.01)

    found = only(sessions).first.counts
    assert found["verdicts"] == {"a": 1, "b": 1, "tie": 1, "invalid": 1}
    assert (found["flips"], found["ordered"]) == (1, 3)
    assert {bin: count for bin, count in enumerate(found["confidence"]) if count} == {0: 1, 9: 1, 19: 1}
    assert sum(found["levels"]) == 0
