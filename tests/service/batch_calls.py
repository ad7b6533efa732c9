"""What the tests of batches send and ask, and another gateway."""

import json
import time
from contextlib import contextmanager

import httpx
from sqlalchemy import func, select

from judge.store.tables import BatchLineRow, BatchRow
from service.main import create_app
from tests.service.conftest import wait_until_ready
from tests.serving import serve

PAIR = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
ONE = {"instruction": "Name a color.", "response": "Blue."}
MANY = {"instruction": "Name a color.", "responses": ["Blue.", "Seven.", "Red."]}
JSON = {"content-type": "application/json"}
JSONL = {"content-type": "application/jsonl"}


def line(custom_id, body=PAIR, url="/judge/pairwise", **more):
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body} | more


def many(count, **options):
    """Lines that are each judged anew."""
    return [line(f"line-{number}", PAIR | {"cache": False} | options) for number in range(count)]


def text(lines):
    return "".join(json.dumps(item) + "\n" for item in lines)


def submit(http, lines, **headers):
    answer = http.post("/judge/batches", content=text(lines), headers=JSONL | headers)
    assert answer.is_success, answer.text
    return answer.json()


def status(http, batch):
    return http.get(f"/judge/batches/{batch}").json()


def results(http, batch, **query):
    answer = http.get(f"/judge/batches/{batch}/results", params=query)
    assert answer.headers["content-type"].startswith("application/jsonl")
    return [json.loads(item) for item in answer.text.splitlines()]


def wait_for(http, batch, condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = status(http, batch)
        if condition(state):
            return state
        time.sleep(0.05)
    raise AssertionError(state)


def wait_until_over(http, batch):
    return wait_for(http, batch, lambda state: state["status"] in ("completed", "cancelled", "expired"))


def some_done(state):
    return state["request_counts"]["completed"] > 0


def names(found):
    return [item["custom_id"] for item in found]


def stored(world, kind=BatchLineRow):
    with world.sessions() as session:
        return session.scalar(select(func.count()).select_from(kind))


@contextmanager
def gateway(world):
    """Another gateway of the same world."""
    with serve(create_app(world.settings)) as url, httpx.Client(base_url=url, timeout=60) as http:
        wait_until_ready(http)
        yield http


def rows_of(world):
    with world.sessions() as session:
        return list(session.scalars(select(BatchRow)))
