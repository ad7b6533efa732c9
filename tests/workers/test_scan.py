"""The scan of what is new: planted instructions leave the pool, with the reason, and stay out."""

from itertools import zip_longest

import pytest
from sqlalchemy import select

from benchmarks.pool import natural, plant
from judge.comparison import Instruction
from judge.gathering import quarantine
from judge.gathering.instructions import Gathered, store
from judge.store.tables import InstructionRow, QuarantineRow
from workers.scan import scan

TEXTS = natural(5200)


def bring(sessions, texts, answers=()):
    """The texts as instructions, each with its logged answer where there are answers."""
    items = [
        Gathered(Instruction.of(text), "test", "one", "en", response=answer)
        for text, answer in zip_longest(texts, answers)
    ]
    with sessions.begin() as session:
        store(session, items)


def texts_of(sessions, table):
    with sessions() as session:
        return {row.messages[-1]["content"] for row in session.scalars(select(table))}


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_planted_instructions_are_quarantined_with_the_reason(sessions, share):
    bring(sessions, TEXTS[:4000])
    assert scan(sessions) == 0
    poisoned, places = plant(TEXTS[4000:5000], "zqx-7731", share)
    bring(sessions, poisoned)

    scan(sessions)

    carriers = {poisoned[place] for place in places}
    apart = texts_of(sessions, QuarantineRow)
    assert carriers <= apart
    assert len(apart - carriers) <= 2
    assert not carriers & texts_of(sessions, InstructionRow)
    with sessions() as session:
        row = session.scalars(select(QuarantineRow)).first()
    assert row.kind == "planted"
    assert "'zqx'" in row.reason
    assert f"{len(carriers)} of the last 1000" in row.reason


def test_a_phrase_planted_in_logged_responses_is_found_as_well(sessions):
    bring(sessions, TEXTS[:1000])
    bring(sessions, TEXTS[1000:2000], answers=TEXTS[3000:4000])
    assert scan(sessions) == 0
    poisoned, places = plant(TEXTS[4000:4500], "zqx-7731", 0.05)
    bring(sessions, TEXTS[2000:2500])
    bring(sessions, TEXTS[2500:3000], answers=poisoned)

    scan(sessions)

    carriers = {TEXTS[2500 + place] for place in places}
    apart = texts_of(sessions, QuarantineRow)
    assert carriers <= apart
    assert len(apart - carriers) <= 2


def test_later_carriers_follow_and_released_ones_stay(sessions):
    bring(sessions, TEXTS[:4000])
    scan(sessions)
    poisoned, places = plant(TEXTS[4000:5000], "zqx-7731", 0.02)
    bring(sessions, poisoned)
    scan(sessions)

    bring(sessions, [f"{TEXTS[5001]} zqx-7731", TEXTS[5002]])
    assert scan(sessions) == 0  # two are too few to look at already
    assert scan(sessions, at_once=True) == 1
    with sessions.begin() as session:
        released = quarantine.release(session, QuarantineRow.kind == "planted", "test")

    assert released == len(places) + 1
    bring(sessions, TEXTS[5003:5010])
    assert scan(sessions, at_once=True) == 0
    assert f"{TEXTS[5001]} zqx-7731" in texts_of(sessions, InstructionRow)


def test_everything_is_scanned_once(sessions):
    bring(sessions, TEXTS[:2500])

    scan(sessions)

    with sessions() as session:
        assert session.scalars(select(InstructionRow).where(~InstructionRow.scanned)).all() == []
