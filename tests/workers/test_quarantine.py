"""Quarantine beside an iteration in progress: what it works with is marked, and moved when it is over."""

from sqlalchemy import select

from judge.gathering import quarantine
from judge.store.tables import InstructionRow, JudgmentRow, PairRow, QuarantineRow, SelectionRow
from judge.teaching import iterations
from workers.gather import run_gather


def set_apart(loop, ids):
    with loop.sessions.begin() as session:
        rows = session.scalars(select(InstructionRow).where(InstructionRow.id.in_(ids))).all()
        quarantine.move(session, rows, "planted", "carries 'zqx'", ["zqx"])


def ids(loop, column):
    return set(loop.rows(select(column)))


def end(loop, number):
    with loop.sessions.begin() as session:
        iterations.finish(session, number, "refused")


def test_what_an_iteration_works_with_stays_until_it_is_over(loop):
    number = loop.start(judged_pairs=20)
    loop.run(number, "select", "pair")
    selected = ids(loop, SelectionRow.instruction_id)
    unselected = ids(loop, InstructionRow.id) - selected
    suspects = {*sorted(selected)[:15], *sorted(unselected)[:2]}
    pairs = ids(loop, PairRow.id)

    set_apart(loop, suspects)
    run_gather()

    assert ids(loop, PairRow.id) == pairs
    assert ids(loop, InstructionRow.id) == selected | unselected - suspects
    row = loop.run(number, "judge", "filter")
    assert (row.status, row.error) == ("running", None)
    assert len(loop.rows(select(JudgmentRow))) == 20 * 2 * 2

    end(loop, number)
    run_gather()

    assert ids(loop, InstructionRow.id).isdisjoint(suspects)
    assert ids(loop, PairRow.instruction_id).isdisjoint(suspects)
    apart = loop.rows(select(QuarantineRow))
    assert len(apart) == 17
    assert {(row.kind, row.reason, *row.words) for row in apart} == {("planted", "carries 'zqx'", "zqx")}


def test_the_next_iteration_does_not_select_what_is_marked(loop):
    number = loop.start()
    loop.run(number, "select")
    suspects = set(sorted(ids(loop, SelectionRow.instruction_id))[:15])
    set_apart(loop, suspects)
    end(loop, number)

    second = loop.start()
    loop.run(second, "select")

    chosen = select(SelectionRow.instruction_id).where(SelectionRow.iteration_id == second)
    assert set(loop.rows(chosen)).isdisjoint(suspects)
    assert len(loop.rows(chosen)) == 40


def test_a_suspect_that_is_forgotten_meanwhile_is_gone(loop):
    number = loop.start()
    loop.run(number, "select")
    suspect = min(ids(loop, SelectionRow.instruction_id))
    set_apart(loop, {suspect})
    end(loop, number)
    with loop.sessions.begin() as session:
        session.delete(session.get_one(InstructionRow, suspect))

    run_gather()

    assert loop.rows(select(QuarantineRow)) == []
