"""Calls of a trainer that holds a pin."""

import time
from datetime import UTC, datetime

RUN = {"Judgesmith-Pin": "run-7"}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def item(number=0):
    return {"instruction": f"Say {number}.", "response": f"It is {number}."}


def ask(world, number=0, headers=RUN, **options):
    return world.http.post("/reward", json={"items": [item(number)]}, headers=headers, **options)


def promote(world, version, **options):
    return world.http.post(f"/admin/models/{version}/promote", **options)


def until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")
