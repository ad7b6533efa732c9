"""Evaluations on a made-up benchmark, for their tests."""

from judge.comparison import Instruction
from judge.evaluation import item_store, runs
from judge.evaluation.benchmarks.items import Item
from judge.evaluation.runs import EvaluationSettings

SUBJECTS = ("metals", "rivers", "colors", "planets")


def items(count=12):
    return [
        Item(
            f"item-{n}",
            "s",
            Instruction.of(f"Tell me, please, everything about {SUBJECTS[n % 4]} of the kind {n}."),
            (f"It is {n}.", "Ice cream."),
            "ab"[n % 2],
        )
        for n in range(count)
    ]


def submit(loop, version="champion", given=None, name="pairs", **settings):
    with loop.sessions.begin() as session:
        settings = EvaluationSettings(**{"concurrency": 4, "rationale_tokens": 64, **settings})
        return runs.submit(session, version, name, "mine", given or items(), settings, "test").id


def row(loop, run):
    with loop.sessions() as session:
        return runs.get(session, run)


def answers(loop, run):
    with loop.sessions() as session:
        return item_store.answers(session, run)
