"""The gate: what may replace the champion, and what may not."""

import random

import pytest

from judge.evaluation.statistics import Outcome, compare, share_of_alpha, summarize
from judge.gate.gate import GateSettings, decide

SETTINGS = GateSettings(alpha=0.05, delta=0.02, guard_alpha=0.1, min_items=50)


def outcomes(rng, count, accuracy, shorter=0.5):
    """A judge that is right with a probability, independent of everything."""
    return [
        Outcome(
            item=str(index),
            cluster=str(index // 2),
            correct=(right := rng.random() < accuracy),
            verdicts=("a", "a") if right else ("a", "b"),
            shorter_right=index < count * shorter,
        )
        for index in range(count)
    ]


def by_rule(champion, rule):
    """A judge whose correctness is a function of the item."""
    return [
        Outcome(o.item, o.cluster, rule(o), ("a", "a") if rule(o) else ("b", "b"), o.shorter_right)
        for o in champion
    ]


def test_a_clearly_better_candidate_is_promoted():
    rng = random.Random(1)

    result = decide((outcomes(rng, 200, 0.5), outcomes(rng, 200, 0.8)), {}, SETTINGS, 1)

    assert result.decision == "promote"
    assert result.main.low > 0


def test_a_copy_of_the_champion_is_refused():
    champion = outcomes(random.Random(2), 200, 0.6)

    result = decide((champion, champion), {}, SETTINGS, 1)

    assert result.decision == "refuse"
    assert "not shown to be better" in result.reasons[0]


def test_too_few_items_are_no_decision():
    rng = random.Random(3)

    result = decide((outcomes(rng, 30, 0.1), outcomes(rng, 30, 1.0)), {}, SETTINGS, 1)

    assert result.decision == "no_decision"


def test_a_taste_for_length_is_refused_by_the_guard():
    champion = outcomes(random.Random(4), 300, 0.5, shorter=0.3)
    longer_wins = by_rule(champion, lambda outcome: not outcome.shorter_right)

    result = decide((champion, longer_wins), {}, SETTINGS, 1)

    assert result.main.difference > 0.1
    assert result.decision == "refuse"
    assert any(reason.startswith("behind where the shorter is right") for reason in result.reasons)


def test_a_guard_slice_that_got_worse_refuses():
    rng = random.Random(11)
    slice_of = {"anchor:chat": (outcomes(rng, 100, 0.8), outcomes(rng, 100, 0.4))}

    result = decide((outcomes(rng, 200, 0.5), outcomes(rng, 200, 0.8)), slice_of, SETTINGS, 1)

    assert result.decision == "refuse"
    assert result.reasons[0].startswith("worse on anchor:chat")


def test_always_the_first_position_is_never_correct_in_both_orders():
    champion = outcomes(random.Random(5), 200, 0.3)
    always_first = [Outcome(o.item, o.cluster, False, ("a", "b"), o.shorter_right) for o in champion]

    assert decide((champion, always_first), {}, SETTINGS, 1).decision == "refuse"
    assert summarize(always_first)["position_consistency"][0] == 0


def test_later_rounds_have_less_alpha_and_all_of_them_together_no_more_than_alpha():
    champion = outcomes(random.Random(6), 200, 0.5)
    spent = [share_of_alpha(SETTINGS.alpha, k) for k in range(1, 2000)]

    assert decide((champion, champion), {}, SETTINGS, 3).alpha == spent[2]
    assert sum(spent) < SETTINGS.alpha
    assert spent == sorted(spent, reverse=True)


def test_false_promotions_stay_at_alpha_when_nothing_has_changed():
    rng = random.Random(7)
    promoted = sum(
        decide((outcomes(rng, 120, 0.6), outcomes(rng, 120, 0.6)), {}, SETTINGS, 1).decision == "promote"
        for _ in range(1000)
    )

    # Round 1 has alpha 0.030: 30 of 1,000 expected at most; 48 would be a one in a thousand accident.
    assert promoted < 48


def test_only_items_that_both_judged_are_compared():
    rng = random.Random(8)

    difference = compare(outcomes(rng, 60, 0.5), outcomes(rng, 80, 0.5)[:70], level=0.95)

    assert difference.items == 60


@pytest.mark.parametrize("count", [0, 1])
def test_next_to_nothing_is_summarized_without_a_crash(count):
    assert summarize(outcomes(random.Random(9), count, 1.0))["items"] == count
