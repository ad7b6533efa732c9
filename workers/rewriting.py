"""How the generator is asked for a similar but different request: by a conversation of examples.

A small model that is told what to write mostly answers the request or talks about it; one that has seen it
done does it (docs/selection.md has how often).
"""

from judge.comparison import Instruction, Message

_WANTED = "Request: {}\n\nWrite another request on the same subject that needs a different answer."

# Requests of the common kinds, and each with one that its answer would not serve. The last one says that a
# request stays in its language.
_EXAMPLES = (
    ("What is the capital of Australia?", "How many people live in Australia?"),
    ("Write a short poem about the sea at night.", "Write a letter from a sailor who is afraid of the sea."),
    (
        "A train leaves at 9:15 and arrives at 11:40. How long does the journey take?",
        "A train leaves at 9:15 and the journey takes three hours. When does it arrive?",
    ),
    (
        "I want to grow tomatoes on my balcony. Give me three tips.",
        "The tomatoes on my balcony have brown spots on their leaves. Which disease could it be?",
    ),
    (
        'Complete this Python function.\n\n```python\ndef total(numbers):\n    """Return the sum."""\n```',
        "Write a Python function that removes the negative numbers from a list.",
    ),
    (
        "Summarize this review in one sentence.\n\nThe food was cold and we had to wait for an hour.",
        "Write a polite answer of the restaurant to a guest whose food was cold.",
    ),
    ("¿Qué coche eléctrico me conviene?", "¿Cuánto tarda en cargarse un coche eléctrico en casa?"),
)


def another_request(original: str) -> Instruction:
    """The conversation whose next turn is a modification of a request."""
    turns = []
    for request, modified in _EXAMPLES:
        turns += [Message("user", _WANTED.format(request)), Message("assistant", modified)]
    return Instruction((*turns, Message("user", _WANTED.format(original))))
