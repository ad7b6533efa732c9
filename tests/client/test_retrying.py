"""What is tried again, how soon, and when it is over: no network, no clock."""

import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgesmith_client.errors import Malformed, OutOfReach, Refused, VersionGone
from judgesmith_client.retrying import PASSING, Request, Retries, steps

REQUEST = Request("POST", "/reward", {})


def response(status, body=None, **headers):
    request = httpx.Request("POST", "http://judge/reward")
    return httpx.Response(status, json=body or {}, headers=headers, request=request)


def drive(outcomes, retries=None):
    """The waits before each try, and the answer."""
    driven = steps(REQUEST, retries or Retries(rng=random.Random(0)))
    waits = [next(driven)]
    for outcome in outcomes:
        try:
            waits.append(driven.send(outcome))
        except StopIteration as done:
            return waits, done.value
    raise AssertionError("it goes on")


@pytest.mark.parametrize("status", sorted(PASSING))
def test_what_passes_is_tried_again(status):
    waits, answer = drive([response(status), httpx.ConnectError("no"), response(200, {"ok": 1})])

    assert answer == {"ok": 1}
    assert waits[0] == 0
    assert 0 <= waits[1] <= 0.5
    assert 0 <= waits[2] <= 1.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 500, 502 - 1])
def test_what_would_come_again_is_not(status):
    with pytest.raises(Refused) as caught:
        drive([response(status, {"detail": "no", "errors": [{"field": "items.0", "reason": "bad"}]})])

    assert caught.value.status == status
    assert caught.value.fields == {"items.0": "bad"}


@pytest.mark.parametrize("kind", ["version-not-served", "pin-lapsed"])
def test_a_version_that_is_gone_has_an_error_of_its_own(kind):
    with pytest.raises(VersionGone):
        drive([response(409, {"type": f"urn:judgesmith:problem:{kind}"})])


@given(st.integers(0, 20), st.integers(0, 100), st.integers(0, 2**32))
def test_pauses_are_bounded_and_never_shorter_than_asked_for(attempt, retry_after, seed):
    pause = Retries(first_s=0.5, longest_s=30, rng=random.Random(seed)).pause(attempt, retry_after)

    assert retry_after <= pause <= retry_after + min(30, 0.5 * 2**attempt)


def test_pauses_spread_over_the_whole_range():
    retries = Retries(first_s=8, rng=random.Random(0))
    pauses = [retries.pause(0) for _ in range(1000)]

    assert min(pauses) < 0.2
    assert max(pauses) > 7.8


def test_retry_after_is_honored_and_a_date_is_not_misread():
    waits, _ = drive([response(503, **{"Retry-After": "7"}), response(200)])
    dated, _ = drive([response(503, **{"Retry-After": "Sun, 22 Nov 2026 13:00:00 GMT"}), response(200)])

    assert 7 <= waits[1] <= 7.5
    assert dated[1] <= 0.5


def test_it_gives_up_after_so_many_tries_or_so_long():
    with pytest.raises(OutOfReach, match="3 tries"):
        drive([response(503)] * 5, Retries(tries=3, rng=random.Random(0)))
    with pytest.raises(OutOfReach, match="1 tries"):
        drive([response(503, **{"Retry-After": "60"})] * 5, Retries(give_up_s=10))


def test_the_plain_500_of_a_server_that_is_being_stopped_is_tried_again():
    plain = httpx.Response(500, text="Internal Server Error", request=httpx.Request("POST", "http://judge"))

    _, answer = drive([plain, response(200, {"ok": 1})])

    assert answer == {"ok": 1}


def test_an_answer_that_is_not_the_services_says_so():
    page = httpx.Response(200, text="<html>", request=httpx.Request("POST", "http://elsewhere/reward"))

    with pytest.raises(Malformed, match="elsewhere"):
        drive([page])
