"""`judgesmith schedule` and `judgesmith iterate --times`, against a small real gateway."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.stack.test_main import gateway, run

DAILY = {
    "cron": "0 3 * * *", "every": None, "profile": "small", "settings": {"samples": 2},
    "next_at": "2026-03-01T03:00:00Z", "new_instructions": 0,
}  # fmt: skip


def test_a_schedule_is_set_shown_and_turned_off():
    asked = []

    def answer(request: Request, body: bytes) -> Response:
        asked.append((request.method, json.loads(body or b"null")))
        assert request.url.path == "/admin/schedule"
        return Response(status_code=204) if request.method == "DELETE" else JSONResponse(DAILY)

    with gateway(answer) as url:
        options = ("--cron", "0 3 * * *", "--profile", "small", "--set", "samples=2")
        put = run("schedule", *options, "--url", url)
        shown = run("schedule", "--url", url)
        off = run("schedule", "--off", "--url", url)

    assert put.stdout == "at 0 3 * * * (UTC), next 2026-03-01 03:00\nsize small, samples=2\n"
    assert shown.stdout == put.stdout
    assert off.stdout == "no schedule\n"
    body = {"cron": "0 3 * * *", "profile": "small", "settings": {"samples": 2}}
    assert asked == [("PUT", body), ("GET", None), ("DELETE", None)]


def test_without_a_schedule_it_says_so():
    with gateway(lambda request, body: JSONResponse({"title": "Not found"}, 404)) as url:
        shown = run("schedule", "--url", url)

    assert (shown.returncode, shown.stdout) == (0, "no schedule\n")


def test_a_schedule_that_has_stopped_says_why():
    stopped = {**DAILY, "next_at": None, "stopped": "its iterations 4 and 5 promoted nothing"}
    with gateway(lambda request, body: JSONResponse(stopped)) as url:
        assert run("schedule", "--url", url).stdout == (
            "stopped: its iterations 4 and 5 promoted nothing\nwas at 0 3 * * * (UTC)\n"
            "size small, samples=2\n"
        )


def test_progress_towards_every_so_many_is_shown():
    counted = {**DAILY, "cron": None, "next_at": None, "every": 500, "new_instructions": 120, "settings": {}}
    with gateway(lambda request, body: JSONResponse(counted)) as url:
        assert run("schedule", "--url", url).stdout == (
            "with every 500 new instructions, 120 so far\nsize small\n"
        )


@pytest.mark.parametrize("options", [("--cron", "0 3 * * *", "--off"), ("--cron", "x", "--every", "5")])
def test_only_one_of_the_options_is_taken(options):
    refused = run("schedule", *options, "--url", "http://127.0.0.1:1")

    assert refused.returncode == 1
    assert "give one of them" in refused.stderr


def test_waiting_for_several_in_a_row_shows_each_until_the_campaign_is_over():
    first_asked = []

    def state(number: int, status: str) -> dict[str, object]:
        campaign = {"id": 4, "status": status, "times": 3, "ordinal": number - 6, "reason": "why"}
        return {"id": number, "status": "refused", "stages": [], "counts": {}, "campaign": campaign}

    def answer(request: Request, body: bytes) -> Response:
        if request.method == "POST":
            # The profile is left to the gateway, which knows the seed model's size.
            assert json.loads(body) == {"settings": {}, "times": 3}
            return JSONResponse({"id": 7, "status": "queued", "profile": "full"}, 202)
        if request.url.path == "/admin/iterations":
            first_asked.append(request.url.path)
            rows = (
                [state(7, "running")] if len(first_asked) == 1 else [state(8, "stopped"), state(7, "stopped")]
            )
            return JSONResponse({"iterations": rows})
        number = int(request.url.path.rsplit("/", 1)[1])
        return JSONResponse(state(number, "running" if number == 7 else "stopped"))

    with gateway(answer) as url:
        done = run("iterate", "--times", "3", "--wait", "--url", url)

    assert done.returncode == 0, done.stderr
    assert "campaign   1 of 3, running" in done.stdout
    assert done.stdout.rstrip().endswith("campaign   2 of 3, stopped: why")
