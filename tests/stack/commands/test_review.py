"""`judgesmith review` and `judgesmith drift`: what is asked of the gateway and what is told."""

import json

import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from typer.testing import CliRunner

from stack.main import app
from stack.terminal import show
from tests.stack.terminal.test_show import drawn
from tests.stack.test_main import gateway

STREAM = {"version": "v1", "kind": "pairwise", "mode": "direct", "windows": [{"ordinal": 1}, {"ordinal": 2}]}
TIES = {"figure": "tie", "before": 0.08, "now": 0.25, "p_value": 1e-9, "alarm": True}
CALM = {"figure": "flip", "before": 0.1, "now": 0.11, "p_value": 0.4, "alarm": False}
SINCE = {"version": "v1", "kind": "pairwise", "mode": "direct", "since": "2026-01-05T03:20:00+00:00"}


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")


def run(*arguments):
    """What a command prints, which must go well."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def scripted(asked, answers):
    """A gateway that answers by path and notes what it was asked."""

    def answer(request, body):
        asked.append((request.method, request.url.path, dict(request.query_params), body.decode()))
        found = answers[request.url.path]
        found = found.pop(0) if isinstance(found, list) else found
        return PlainTextResponse(found) if isinstance(found, str) else JSONResponse(found)

    return answer


def test_a_file_is_brought_in_under_its_own_name(tmp_path):
    file, asked = tmp_path / "hard-ones.jsonl", []
    file.write_text('{"instruction": "x", "response_a": "y", "response_b": "z"}\n')

    answers = {"/admin/reviews/items": {"added": 1, "left_out": 0}}
    with gateway(scripted(asked, answers)) as url:
        done = run("review", "add", str(file), "--share", "0.5", "--reviewer", "experts", "--url", url)

    assert done == "1 pairs added, 0 left out\n"
    query = {"source": "hard-ones", "share": "0.5", "reviewer": "experts"}
    assert asked == [("POST", "/admin/reviews/items", query, file.read_text())]


def test_the_champion_is_asked_until_nothing_is_left():
    asked = []
    parts = [{"version": "v1", "judged": 50, "more": True}, {"version": "v1", "judged": 7, "more": False}]

    with gateway(scripted(asked, {"/admin/reviews/judge": parts})) as url:
        done = run("review", "judge", "--tenant", "one", "--url", url)

    assert done == "v1 has judged 57 pairs\n"
    assert [json.loads(body) for *_, body in asked] == [{"limit": 50, "tenant": "one"}] * 2


def test_figures_are_told_with_their_intervals():
    rater = {"items": 12, "agreement": [0.75, 0.5, 1.0], "kappa": None}
    agreement = {
        "reviewed": 20,
        "people": {"items": 12, "agreement": [0.75, 0.5, 1.0], "alpha": [0.5, 0.1, 0.9]},
        "reviewers": [{**rater, "reviewers": ["ann", "bob"]}],
        "versions": {"v1": rater},
    }
    accuracy = {"accuracy": [0.8, 0.7, 0.9], "labels_alone": [0.7, 0.5, 0.9], "labeled": 40, "items": 400}
    accuracy["undecidable"] = 3
    answers = {"/admin/reviews/agreement": agreement, "/admin/reviews/accuracy": accuracy}

    with gateway(scripted([], answers)) as url:
        done = run("review", "figures", "--version", "v1", "--url", url)

    assert done.splitlines() == [
        "reviewed        20",
        "people          alpha 0.500 (0.100 to 0.900), agreement 0.750 (0.500 to 1.000), 12 by several",
        "ann and bob: kappa —, agreement 0.750 (0.500 to 1.000), 12 items",
        "v1: kappa —, agreement 0.750 (0.500 to 1.000), 12 items",
        "accuracy        0.800 (0.700 to 0.900), 40 of 400 labeled",
        "left out        3, which everybody skipped",
        "labels alone    0.700 (0.500 to 0.900)",
    ]


def test_labels_go_to_a_file_and_to_an_anchor_set(tmp_path):
    out, asked = tmp_path / "labels.jsonl", []
    answers = {
        "/admin/reviews/export": '{"label": "a"}\n',
        "/admin/reviews/anchors": {"name": "people", "pairs": 3},
    }

    with gateway(scripted(asked, answers)) as url:
        run("review", "export", "--out", str(out), "--source", "live", "--url", url)
        stored = run("review", "anchors", "people", "--reviewers", "3", "--url", url)

    assert out.read_text() == '{"label": "a"}\n'
    assert stored == "people: 3 pairs\n"
    assert asked[0][2] == {"undecided": "false", "source": "live"}
    assert json.loads(asked[1][3]) == {"name": "people", "reviewers": 3}


def test_drift_is_a_table_of_changes_with_the_alarms_marked():
    answer = {"alarms": [], "streams": [{**STREAM, "changes": [TIES, CALM]}]}

    with gateway(scripted([], {"/admin/drift": answer})) as url:
        lines = run("drift", "--url", url).splitlines()

    ties, flips = (line.split() for line in lines[-2:])
    assert ties == ["v1", "pairwise", "direct", "2", "tie", "0.080", "0.250", "1e-09", "ALARM"]
    assert flips == ["flip", "0.100", "0.110", "0.4"]


def test_the_status_has_a_line_for_drift():
    alarm = {**SINCE, **TIES}

    assert show.drift_line({"alarms": [], "streams": []}) == "drift: no window is complete yet"
    assert show.drift_line({"alarms": [], "streams": [STREAM]}) == "drift: none"
    assert show.drift_line({"alarms": [alarm], "streams": [STREAM]}) == (
        "drift: tie 0.080 to 0.250 (v1, pairwise direct, since 2026-01-05 03:20)"
    )


def test_a_stream_with_one_window_has_no_changes_yet():
    table = drawn(show.drift({"streams": [{**STREAM, "windows": [{"ordinal": 1}], "changes": []}]}))

    assert table.splitlines()[-1].split() == ["v1", "pairwise", "direct", "1"]
