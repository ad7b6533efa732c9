"""Calls of `/reward` for its tests."""

from sqlalchemy import select

from judge.store.tables import DecisionRow

GOOD = {"instruction": "Name a color.", "response": "Blue."}
BAD = {"instruction": "Name a color.", "response": "Seven."}


def ask(world, *items, **fields):
    answer = world.http.post("/reward", json={"items": list(items), **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def numbers(answer):
    return [one["reward"] for one in answer["rewards"]]


def rows(world):
    with world.sessions() as session:
        return list(session.scalars(select(DecisionRow)))
