"""The turns of conversations that have a logged response, and the pairs made of them."""

import random

from sqlalchemy import select

from judge.comparison import Instruction, Message
from judge.gathering.instructions import Gathered, store
from judge.store.tables import InstructionRow, PairRow, ResponseRow, SelectionRow
from tests.workers.conftest import WORDS
from workers.turns import turns

TALK = ["Who wrote Faust?", "It was Goethe.", "When did he live?", "From 1749 to 1832.", "Where?"]


def talk(count):
    """The first turns of a conversation."""
    return Instruction(
        tuple(Message(("user", "assistant")[place % 2], text) for place, text in enumerate(TALK[:count]))
    )


def test_a_turn_knows_what_later_turns_were_answered_however_the_conversation_was_logged():
    # Logged with every request: first without its second answer, then with it.
    first, second, last = turns([(1, talk(3), None), (2, talk(5), "In Weimar, most of the time.")])

    assert [one.response for one in (first, second, last)] == [
        TALK[1],
        TALK[3],
        "In Weimar, most of the time.",
    ]
    assert first.later == ((2, talk(3), TALK[3]), (2, talk(5), "In Weimar, most of the time."))
    assert second.later == ((2, talk(5), "In Weimar, most of the time."),)
    assert last.later == ()
    assert first.answered(None).later == first.later


def test_what_another_conversation_was_answered_is_no_later_turn():
    other = Instruction(
        (
            Message("user", "Who wrote Emma?"),
            Message("assistant", "Jane Austen did."),
            Message("user", "And what else?"),
        )
    )

    assert [one.later for one in turns([(1, talk(3), None), (2, other, None)])] == [(), ()]


def turn(role, content):
    return {"role": role, "content": content}


def test_logged_responses_are_chosen_over_what_the_generator_writes_in_their_place(loop):
    def logged(number):
        return f"As for topic-{number} 's own story, {'it is long. ' * 3}"

    conversations = []
    for number in range(100, 115):
        words = [" ".join(random.Random(number + part).sample(WORDS, 8)) for part in (0, 100, 200)]
        asked = [f"Say what topic-{number} is: {words[0]}.", f"{words[1]} topic-{number} ?", words[2]]
        first = [turn("user", asked[0]), turn("assistant", logged(number)), turn("user", asked[1])]
        refused = turn("assistant", "As an AI language model, I cannot answer that.")
        conversations += [first, [*first, refused, turn("user", asked[2] + f" topic-{number} ?")]]
    items = [Gathered(Instruction.from_json(one), "test", "local", "en") for one in conversations]
    with loop.sessions.begin() as session:
        store(session, items)
    mix = {"logged": 1, "neighbor": 1e-9}
    number = loop.start(mix=mix, pairs_per_instruction=1, instructions=90)

    row = loop.run(number, "select", "pair")

    held_out = {one.instruction_id for one in loop.rows(select(SelectionRow)) if one.held_out}
    taught = {
        one.messages[0]["content"]
        for one in loop.rows(select(InstructionRow))
        if len(one.messages) > 1 and one.id not in held_out
    }
    pairs = loop.rows(select(PairRow).where(PairRow.strategy == "logged"))
    # A conversation that goes on is logged again and again, and a response that declines is no example.
    assert len(pairs) == len(taught) > 5
    assert {pair.messages[0]["content"] for pair in pairs} == taught
    texts = {(one.instruction_id, one.kind): one.text for one in loop.rows(select(ResponseRow))}
    for pair in pairs:
        about = int(pair.messages[0]["content"].split("topic-")[1].split()[0])
        assert (pair.strategy, pair.chosen) == ("logged", logged(about).strip())
        assert texts[pair.instruction_id, "turn 1"].startswith(pair.rejected)
    assert row.counts["pair"]["training_strategies"]["logged"] == len(pairs)
    assert row.counts["pair"]["held_out_strategies"].keys() == {"neighbor"}
    by_turns = {one.instruction_id for one in loop.rows(select(ResponseRow)) if one.kind == "turn 1"}
    assert not by_turns & held_out
    # The generator's own answer to the last turn would be chosen as if it were as good: it is not written.
    answered = {one.instruction_id for one in loop.rows(select(ResponseRow)) if one.kind == "response"}
    assert by_turns
    assert not by_turns & answered
    assert {one.instruction_id for one in loop.rows(select(PairRow)) if one.held_out} <= answered


def test_the_response_that_was_logged_with_a_request_is_chosen_too(loop):
    items = []
    for number in range(100, 110):
        words = random.Random(number).sample(WORDS, 8)
        asked = Instruction.of(f"Say what topic-{number} is: {' '.join(words)}.")
        items.append(
            Gathered(asked, "test", "local", "en", response=f"A {words[0]} is topic-{number} to me.")
        )
    with loop.sessions.begin() as session:
        store(session, items)
    number = loop.start(mix={"logged": 1, "neighbor": 1e-9}, pairs_per_instruction=1, instructions=70)

    loop.run(number, "select", "pair")

    pairs = loop.rows(select(PairRow).where(PairRow.strategy == "logged"))
    texts = {(one.instruction_id, one.kind): one.text for one in loop.rows(select(ResponseRow))}
    assert {kind for _, kind in texts} == {"response"}
    assert pairs
    by_id = {pair.instruction_id for pair in pairs}
    taught = [pair for pair in loop.rows(select(PairRow)) if pair.instruction_id in by_id]
    assert all(pair.chosen.endswith(" to me.") for pair in taught)
    for pair in pairs:
        assert pair.chosen.endswith(" to me.")
        assert texts[pair.instruction_id, "response"].startswith(pair.rejected)


def test_without_a_share_for_logged_responses_earlier_turns_are_left_alone(loop):
    asked_before = [turn("user", "Say what topic-7 is."), turn("assistant", "It is a thing.")]
    with loop.sessions.begin() as session:
        one = Instruction.from_json([*asked_before, turn("user", "And topic-7 in winter?")])
        store(session, [Gathered(one, "test", "local", "en")])
    number = loop.start(instructions=61)

    loop.run(number, "select", "pair")

    assert {one.kind for one in loop.rows(select(ResponseRow))} == {"response"}
    assert "It is a thing." not in {pair.chosen for pair in loop.rows(select(PairRow))}
