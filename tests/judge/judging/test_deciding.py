"""Decisions about comparisons: by label probabilities, by votes, in a cascade."""

import math
import random

import pytest

from judge.comparison import Comparison, Instruction
from judge.evaluation.statistics import Outcome
from judge.gate.probes import distinct_trigrams
from judge.judging.deciding import cascade, decide, direct, reason
from judge.judging.judge import Options
from judge.judging.voting import Vote, stopped

PAIR = Comparison(Instruction.of("Name a color."), "Blue.", "Seven.")


def first_is_blue(prompt):
    return "Blue" in prompt.split("[Response A]")[1].split("[Response B]")[0]


def prefers_blue(prompt):
    return f"Blue is a color.\n\nVerdict: [[{'A' if first_is_blue(prompt) else 'B'}]]"


def test_a_tie_of_votes_has_the_rationale_of_the_first_valid_one(asked, backend):
    backend.script.text = lambda prompt: (
        "Blue came first. [[A]] or [[B]]" if first_is_blue(prompt) else "Seven came first.\n\nVerdict: [[A]]"
    )
    invalid_first = asked(lambda judge: reason(judge, PAIR))

    backend.script.text = lambda prompt: "The first is better.\n\nVerdict: [[A]]"
    tie = asked(lambda judge: reason(judge, PAIR))

    assert (tie.verdict, tie.rationale) == ("tie", "The first is better.\n\nVerdict: [[A]]")
    assert (invalid_first.verdict, invalid_first.rationale) == ("b", "Seven came first.\n\nVerdict: [[A]]")


def test_without_a_valid_vote_the_first_one_shows_why(asked, backend):
    backend.script.text = lambda prompt: "[[A]] or [[B]]"

    decision = asked(lambda judge: reason(judge, PAIR))

    assert decision.verdict == "invalid"
    assert decision.rationale == "[[A]] or [[B]]"


def test_a_judge_that_writes_the_same_for_all_has_rationales_that_the_probe_counts(asked, backend):
    backend.script.text = lambda prompt: "It is clearer and it is more to the point.\n\nVerdict: [[A]]"
    pairs = [Comparison(Instruction.of(f"Question {n}?"), f"Yes, {n}.", f"No, not {n}.") for n in range(24)]

    async def all_of_them(judge):
        return [await reason(judge, pair) for pair in pairs]

    decisions = asked(all_of_them)
    outcomes = [
        Outcome(str(n), str(n), False, ("a", "b"), shorter_right=False, rationale=decision.rationale)
        for n, decision in enumerate(decisions)
    ]

    assert {decision.verdict for decision in decisions} == {"tie"}
    assert distinct_trigrams({"candidate": outcomes})["candidate"].value < 0.1


@pytest.mark.parametrize("stopping", ["fixed", "curtailed", "confident"])
def test_all_votes_that_are_cast_are_counted_and_none_is_cast_in_vain(asked, backend, stopping):
    """As many as in the rule's replay on all votes, and the backend wrote no more."""
    for seed in range(6):
        share, written = random.Random(seed).random(), []

        def text(prompt, share=share, written=written, seed=seed):
            first = first_is_blue(prompt)
            # As the replay: the nth vote of an order is the nth of a sequence.
            number = sum(one[0] == first for one in written)
            letter = "A" if random.Random(f"{seed} {first} {number}").random() < share else "B"
            written.append((first, letter))
            return f"So.\n\nVerdict: [[{letter}]]"

        backend.script.text = text
        options = Options(votes=16, stopping=stopping)
        decision = asked(lambda judge, options=options: reason(judge, PAIR, options))

        def nth(first, number, share=share, seed=seed):
            shown_a = random.Random(f"{seed} {first} {number}").random() < share
            return Vote("a" if first else "b", "a" if shown_a == first else "b")

        every = [nth(first, number) for number in range(16) for first in (True, False)]
        assert len(written) == sum(decision.votes.values()) == len(stopped(every, stopping))


def test_a_cascade_whose_votes_had_no_majority_says_that_it_reasoned(asked, backend):
    backend.script.margin = lambda prompt, weights: 3.0 if first_is_blue(prompt) else -3.0
    backend.script.text = lambda prompt: "The first.\n\nVerdict: [[A]]"
    options = Options(votes=3, threshold=0.99)

    decision = asked(lambda judge: cascade(judge, PAIR, options))

    assert (decision.verdict, decision.path, decision.mode) == ("a", "reasoning", "cascade")
    assert decision.votes == {"a": 3, "b": 3, "tie": 0, "invalid": 0}
    assert decision.direct_probability_a == decision.probability_a
    assert "no majority" in decision.reason
    assert decision.rationale.startswith("The first.")


@pytest.mark.parametrize("strategy", ["pairwise", "pointwise"])
def test_probabilities_that_are_not_finite_are_no_verdict(asked, backend, strategy):
    backend.script.margin = lambda prompt, weights: math.nan
    options = Options(strategy=strategy, threshold=0.99, votes=4)

    for decide_so in (direct, cascade):
        decision = asked(lambda judge, decide_so=decide_so: decide_so(judge, PAIR, options))

        assert (decision.verdict, decision.probability_a) == ("invalid", None)
        assert decision.reason == "the judge's probabilities are not finite"
        assert [(order.verdict, order.probability_a) for order in decision.orders] == [("invalid", None)] * 2
        assert decision.usage.completion_tokens == 2


def test_one_order_that_is_not_finite_leaves_the_others_and_no_verdict(asked, backend):
    backend.script.margin = lambda prompt, weights: 2.0 if first_is_blue(prompt) else math.nan

    decision = asked(lambda judge: direct(judge, PAIR, Options(strategy="pairwise")))

    assert decision.verdict == "invalid"
    assert [order.verdict for order in decision.orders] == ["a", "invalid"]


@pytest.mark.parametrize("mode", ["direct", "reasoning", "cascade"])
def test_what_says_nothing_is_checked_before_anything_is_told(asked, backend, mode):
    told = []
    pair = Comparison(PAIR.instruction, "Blue.", "Thought process:")

    decision = asked(lambda judge: decide(judge, pair, mode, on_text=told.append))

    assert (decision.verdict, decision.path) == ("a", "check")
    assert told == []
    assert backend.script.requests == 0


QUOTES = [
    "B tests `[[ -f x ]]` and A does not.",
    "B gives [[1,2],[3,4]] and A",
    "B says [[1, 2]], A `items[[A]]`.",
]


@pytest.mark.parametrize("quote", QUOTES)
def test_brackets_that_are_quoted_neither_spoil_nor_replace_the_verdict(asked, backend, quote):
    backend.script.text = lambda prompt: f"{quote}\n\nVerdict: [[{'A' if first_is_blue(prompt) else 'B'}]]"
    whole = asked(lambda judge: reason(judge, PAIR))

    backend.script.text = lambda prompt: quote
    closed = asked(lambda judge: reason(judge, PAIR))

    assert (whole.verdict, whole.usage.retries) == ("a", 0)
    # Closed by the label that the scripted model takes, the first of them: A in both orders.
    assert closed.votes == {"a": 1, "b": 1, "tie": 0, "invalid": 0}
    assert closed.usage.retries == 2
