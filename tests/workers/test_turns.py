"""The turns of conversations that have a logged response."""

from judge.comparison import Instruction, Message
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
    assert first.later == ((2, TALK[3]), (2, "In Weimar, most of the time."))
    assert second.later == ((2, "In Weimar, most of the time."),)
    assert last.later == ()
    assert first.answered(None).later_responses == first.later


def test_what_another_conversation_was_answered_is_no_later_turn():
    other = Instruction(
        (
            Message("user", "Who wrote Emma?"),
            Message("assistant", "Jane Austen did."),
            Message("user", "And what else?"),
        )
    )

    assert [one.later for one in turns([(1, talk(3), None), (2, other, None)])] == [(), ()]
