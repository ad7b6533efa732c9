"""Select: what gets into an iteration, and why not."""

from sqlalchemy import delete, select

from judge.comparison import Comparison, Instruction
from judge.evaluation.anchors import LabeledPair, replace_anchors
from judge.gathering.instructions import Gathered, store
from judge.review import items
from judge.review.items import Offer
from judge.store.tables import InstructionRow, ModelVersion, SelectionRow
from workers.select import generation, is_held_out


def bring(loop, *texts, language="en"):
    with loop.sessions.begin() as session:
        store(session, [Gathered(Instruction.of(text), "test", "local", language) for text in texts])


def selected(loop, number):
    query = (
        select(InstructionRow)
        .join(SelectionRow, SelectionRow.instruction_id == InstructionRow.id)
        .where(SelectionRow.iteration_id == number)
    )
    return [row.messages[-1]["content"] for row in loop.rows(query)]


def test_near_duplicates_long_ones_and_what_is_close_to_an_anchor_are_left_out(loop):
    anchor = "Compare the orbits of Mars and Venus around the sun in a short table."
    bring(
        loop,
        "Sing a song about seven sailors sailing south!",
        "Sing a song about seven sailors sailing south",
    )
    bring(loop, "Very long. " * 300, anchor.upper())
    bring(loop, "Compare the orbits of Mars and Venus around the sun in a short table with two columns.")
    with loop.sessions.begin() as session:
        pair = LabeledPair("1", Comparison(Instruction.of(anchor), "x", "y"), "a")
        replace_anchors(session, "people", [pair])
    number = loop.start(instructions=200)

    row = loop.run(number, "select")

    (step,) = row.counts["select"]["funnel"]
    assert step == {
        "step": "instructions",
        "came_in": 65,
        "dropped": {"close_to_anchor": 2, "near_duplicate": 1, "too_long": 1},
        "kept": 61,
    }
    texts = selected(loop, number)
    assert sum("sailors" in text for text in texts) == 1
    assert not any("orbits" in text.lower() for text in texts)


def test_what_is_close_to_a_comparison_that_people_judge_is_left_out(loop):
    asked = "Compare the orbits of Mars and Venus around the sun in a short table."
    pair = Comparison(Instruction.of(asked), "x", "y")
    with loop.sessions.begin() as session:
        items.add(session, "local", [Offer(pair, "given", probability=1.0, place=0.5)], wanted=1)
    bring(loop, asked.upper(), f"{asked[:-1]} with two columns.")
    number = loop.start(instructions=200)

    row = loop.run(number, "select")

    (step,) = row.counts["select"]["funnel"]
    assert step["dropped"] == {"close_to_anchor": 2}
    assert not any("orbits" in text.lower() for text in selected(loop, number))


def test_only_the_wanted_languages_are_drawn_from(loop):
    bring(loop, *(f"Расскажи о предмете номер {n}, и почему {n * 7} лучше" for n in range(6)), language="ru")
    bring(loop, "Wie?", language=None)
    number = loop.start(instructions=30, languages=["en"])

    row = loop.run(number, "select")

    texts = selected(loop, number)
    assert len(texts) == row.counts["select"]["selected"] == 30
    assert "Wie?" in texts
    assert not any("Расскажи" in text for text in texts)


def test_languages_are_drawn_evenly(loop):
    bring(loop, *(f"Расскажи о предмете номер {n}, и почему {n * 7} лучше" for n in range(6)), language="ru")
    number = loop.start(instructions=20)

    loop.run(number, "select")

    assert sum("Расскажи" in text for text in selected(loop, number)) == 6


def test_an_instruction_never_changes_sides():
    digests = [Instruction.of(f"number {n}").digest for n in range(2000)]
    held_out = {digest for digest in digests if is_held_out(digest, 0.25)}

    assert 400 < len(held_out) < 600
    assert held_out <= {digest for digest in digests if is_held_out(digest, 0.4)}


def test_a_generation_is_the_number_of_champions_back_to_the_seed(loop):
    with loop.sessions.begin() as session:
        for version, judged_by in (("first", loop.version), ("second", "first"), ("rival", "first")):
            session.add(ModelVersion(id=version, origin="test", manifest={"judged_by": judged_by}))

    with loop.sessions() as session:
        found = [generation(session, name) for name in (loop.version, "first", "second", "rival")]
    assert found == [0, 1, 2, 2]


def test_too_few_instructions_end_the_iteration_with_advice(loop):
    with loop.sessions.begin() as session:
        session.execute(delete(InstructionRow).where(InstructionRow.id > 5))
    number = loop.start()

    row = loop.run(number, "select")

    assert row.status == "failed"
    assert "judgesmith ingest" in row.error
