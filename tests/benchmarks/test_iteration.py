"""The tables of an iteration's pairs."""

from benchmarks.iteration_pairs import paired, turned
from judge.evaluation.statistics import Outcome
from judge.store.tables import EvaluationRow
from tests.workers.conftest import bring_in, loop

__all__ = ["bring_in", "loop"]


def outcome(item, *verdicts):
    return Outcome(item, item, verdicts == ("a", "a"), verdicts, False)


def test_a_verdict_is_turned_if_both_versions_are_for_a_side_and_not_the_same():
    before = [outcome("one", "a", "b"), outcome("two", "a", "tie"), outcome("three", "b", "b")]
    after = [outcome("three", "tie", "b"), outcome("one", "b", "b"), outcome("two", "a", "b")]

    assert turned(before, after) == 1 / 6


def test_what_one_version_alone_is_measured_on_is_not_in_the_table_yet(loop):
    number = loop.start()

    def measure(role, dataset, *outcomes):
        items = [one.to_json() for one in outcomes]
        row = EvaluationRow(
            iteration_id=number, role=role, dataset=dataset, strategy="pointwise", metrics={}, items=items
        )
        with loop.sessions.begin() as session:
            session.add(row)

    def told():
        with loop.sessions() as session:
            return paired(session, number)

    wrong, right = outcome("one", "b", "b"), outcome("one", "a", "a")
    measure("champion", "anchor:first", wrong)
    assert told() == "No pairs have been measured with both versions yet."

    measure("candidate", "anchor:first", right)
    measure("champion", "anchor:second", wrong)
    assert "| anchor:first | 1 | 0.000 | 1.000 |" in told()
    assert "anchor:second" not in told()
