"""A judge that goes by worth, and calls of `/judge/rank` for its tests."""

import re
import time

from sqlalchemy import select

from judge.store.tables import DecisionRow

# How good the scripted judge finds each text.
WORTH = {"gold": 2.0, "silver": 0.75, "bronze": -0.5, "tin": -1.75}
METHODS = ["pointwise", "tournament"]


def by_worth(prompt, _weights):
    """Margins from the worth of the words in the prompt's responses."""
    body = prompt.split("[Conversation]")[1]
    if "[Response A]" not in body:
        return worth(body.split("[Response]")[1])
    first, second = body.split("[Response A]")[1].split("[Response B]")
    return worth(first) - worth(second)


def worth(text):
    return next((value for word, value in WORTH.items() if word in text), 0.0)


def ask(responses, **options):
    return {"instruction": "Which metal?", "responses": responses, **options}


def stored(world):
    with world.sessions() as session:
        return list(session.scalars(select(DecisionRow)))


def captured(world):
    """How many instructions were captured; the first comes a moment after its answer."""
    for _ in range(200):
        found = re.search(r"captured_total{outcome=\"stored\"} ([0-9]+)", world.http.get("/metrics").text)
        if found:
            return int(found[1])
        time.sleep(0.02)
    return 0
