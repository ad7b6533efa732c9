"""How an iteration's progress is shown."""

import io

import httpx
import pytest
from rich.console import Console

from judge.store.tables import IterationRow
from stack.terminal.gateway import Gateway
from stack.terminal.watch import bar, clock, figures, follow, lines, table, unfinished


def stage(name: str, status: str, done: int = 0, total: int = 0, **more: object) -> dict[str, object]:
    return {"name": name, "status": status, "done": done, "total": total, "note": None, "eta_s": None} | more


STATES = [
    {"id": 4, "status": "queued", "stages": [stage("select", "due")]},
    {"id": 4, "status": "running", "stages": [stage("select", "running", 0, 10)]},
    {"id": 4, "status": "running", "stages": [stage("select", "running", 3, 10, eta_s=65.0)]},
    {
        "id": 4,
        "status": "running",
        "stages": [stage("select", "done", 10, 10), stage("pair", "running", 1, 100)],
    },
    {
        "id": 4,
        "status": "failed",
        "stages": [stage("select", "done", 10, 10), stage("pair", "failed", error="x")],
    },
]


def test_in_a_log_each_change_is_one_line_and_an_absent_gateway_is_waited_for():
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) == 3:
            raise httpx.ConnectError("restarting")
        if len(asked) == 4:
            return httpx.Response(503, json={"title": "Not available"})
        return httpx.Response(200, json=STATES[min(len(asked) - 1, len(STATES) - 1)])

    out = io.StringIO()
    gateway = Gateway("http://gateway", transport=httpx.MockTransport(handle))

    state = follow(gateway, 4, Console(file=out))

    assert state == STATES[-1]
    assert out.getvalue().splitlines() == [
        "  select: begun",
        "  select: done",
        "  pair: failed: x",
        "  iteration 4: failed",
    ]


def test_it_stops_watching_when_told():
    gateway = Gateway(
        "http://gateway", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=STATES[1]))
    )

    assert follow(gateway, 4, Console(file=io.StringIO()), stopped=lambda: True)["status"] == "queued"


def test_lines_of_a_running_stage_come_with_each_tenth():
    assert list(lines(STATES[1]).values()) == ["  select: begun"]
    assert list(lines(STATES[2]).values()) == ["  select: 30 %, 1:05 left"]
    slower = {**STATES[2], "stages": [stage("select", "running", 3, 10, eta_s=80.0)]}
    assert lines(slower).keys() == lines(STATES[2]).keys()


def test_a_log_that_has_been_silent_says_how_far_the_running_stage_is():
    half = {"id": 4, "status": "running", "stages": [stage("pair", "running", 4, 100, eta_s=600.0)]}
    loading = {"id": 4, "status": "running", "stages": [stage("pair", "running", note="loading the model")]}
    over = {"id": 4, "status": "refused", "stages": [stage("pair", "done", 100, 100)]}
    answers = iter([loading, loading, half, half, over])
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=next(answers)))
    out = io.StringIO()

    follow(Gateway("http://gateway", transport=transport), 4, Console(file=out), silent_s=0.0)

    assert out.getvalue().splitlines() == [
        "  pair: begun",
        "  pair: 0 %, loading the model",
        "  pair: 4 %, 10:00 left",
        "  pair: 4 %, 10:00 left",
        "  pair: done",
        "  iteration 4: refused",
    ]


def test_all_seven_stages_are_on_the_screen():
    out = io.StringIO()
    Console(file=out, width=100).print(table(STATES[2]))

    text = out.getvalue()
    assert "3/10 (30 %), 1:05 left" in text
    for name in ("select", "pair", "judge", "filter", "finetune", "evaluate", "promote"):
        assert name in text


def test_a_bar_is_never_longer_than_full():
    assert bar(stage("x", "running", 0, 0)) == ""
    assert bar(stage("x", "running", 5, 10)) == "━" * 12 + "─" * 12
    assert bar(stage("x", "running", 30, 10)) == "━" * 24
    assert figures(stage("x", "running", 5, 10)) == "5/10 (50 %)"


def test_a_clock_has_hours_only_where_there_are_any():
    assert [clock(value) for value in (0, 59.6, 125, 3725)] == ["0:00", "1:00", "2:05", "1:02:05"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("running", "Iteration 4 is running, at its stage pair, and goes on: judgesmith watch"),
        ("cancelling", "Iteration 4 is being cancelled."),
        ("canary", "The candidate of iteration 4 is on trial (canary): judgesmith shadow 4"),
    ],
)
def test_a_start_says_how_it_stands_with_an_iteration_that_is_not_over(status, said):
    assert unfinished(IterationRow(id=4, status=status, stage="pair")) == said
