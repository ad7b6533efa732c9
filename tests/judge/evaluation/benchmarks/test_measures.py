"""Measures, intervals and comparisons of two versions."""

import math

import numpy as np
import pytest

from judge.comparison import Instruction
from judge.evaluation.benchmarks.arithmetic import Credit, Mean, mean_of_groups
from judge.evaluation.benchmarks.items import Answered, Item, Judged, credit, shown
from judge.evaluation.benchmarks.measures import cost, measures, outcomes, reliability, timing
from judge.evaluation.benchmarks.versus import common, mcnemar, versus
from judge.evaluation.statistics import Outcome, calibration_error
from judge.judging.scoring import Calibration
from tests.judge.evaluation.benchmarks.canned import compared, rated, values

LONG, SHORT = "a much longer response", "short"


def test_accuracy_is_told_by_place_and_by_length():
    answered = [
        compared(1, ("a", "a"), label="a", responses=(LONG, SHORT)),  # right in both orders
        compared(2, ("a", "b"), label="a", responses=(LONG, SHORT)),  # follows the first
        compared(3, ("a", "b"), label="b", responses=(LONG, SHORT)),  # follows the first
        compared(4, ("b", "b"), label="b", responses=(LONG, SHORT)),  # right, the shorter one
        compared(5, ("invalid", "a"), label="a", responses=(SHORT, LONG)),
        compared(6, ("tie", "tie"), label="tie", responses=(SHORT, LONG)),  # no winner: not in the accuracies
    ]

    found = values(measures(answered))

    assert found["right in both orders"] == 0.4
    # With the winner first: items 1, 2, 3 (B first, says B), 4; with it last: 1, 4, 5.
    assert found["right, winner first"] == 0.8
    assert found["right, winner last"] == 0.6
    assert found["right, longer is right"] == 0.5
    assert found["right, shorter is right"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["right, length-balanced"] == pytest.approx((1 / 2 + 1 / 3) / 2, abs=1e-6)
    assert found["same in both orders"] == 0.5
    assert found["ties"] == pytest.approx(2 / 12, abs=1e-6)
    assert found["invalid"] == pytest.approx(1 / 12, abs=1e-6)


def test_of_two_that_are_equally_long_neither_is_the_longer_one():
    by_length = [
        compared(1, ("a", "a"), label="a", responses=(LONG, SHORT)),
        compared(2, ("b", "b"), label="b", responses=(LONG, SHORT)),
    ]
    even = [compared(3, ("b", "b"), label="a", responses=("same", "long"))]

    found = values(measures(by_length + even))

    assert found["right in both orders"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["right, longer is right"] == found["right, length-balanced"] == 1.0
    assert "right, length-balanced" not in values(measures(even))


def test_ratings_that_could_not_be_had_are_told_apart():
    assert values(measures([rated(1, [1.0, None]), rated(2, [])]))["invalid"] == 0.75


def probable(number, probability, label="a", cluster=None):
    text = f"Instruction {number if cluster is None else cluster}"
    item = Item(str(number), "s", Instruction.of(text), ("x", "y"), label)
    return Answered(item, Judged(item.id, ("a", "a"), "a", probability))


def test_calibration_is_that_of_the_gate_and_bins_hold_all_decisions():
    rng = np.random.default_rng(3)
    answered = [probable(n, float(p), "ab"[n % 2]) for n, p in enumerate(rng.uniform(0.02, 0.98, 300))]
    odds = []
    for one in answered:
        p = one.judged.probability_a if one.item.label == "a" else 1 - one.judged.probability_a
        odds.append(Outcome(one.item.id, one.item.cluster, True, ("a", "a"), False, math.log(p / (1 - p))))

    found = reliability(answered)

    expected = calibration_error(odds, Calibration())
    assert found.ece[0] == pytest.approx(expected["ece"], abs=2e-4)
    assert found.brier[0] == pytest.approx(expected["brier"], abs=2e-4)
    assert found.ece[1] <= found.ece[2]
    assert sum(one.items for one in found.bins) == 300
    assert reliability([compared(1, ("a", "a"))]) is None


def test_a_judge_that_knows_how_sure_to_be_has_little_calibration_error():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 4000)
    right = rng.uniform(size=4000) < sure
    answered = [
        probable(n, float(p), "a" if r else "b") for n, (p, r) in enumerate(zip(sure, right, strict=True))
    ]
    boasting = [probable(n, 0.99, "a" if r else "b") for n, r in enumerate(right)]

    assert reliability(answered).ece[0] < 0.03
    assert reliability(boasting).ece[1] > 0.15


def test_costs_add_up_and_times_are_no_part_of_them():
    item = Item("1", "s", Instruction.of("i"), ("x", "y"))
    answered = [
        Answered(item, Judged("1", prompt_tokens=10, completion_tokens=3, seconds=s)) for s in (1.0, 3.0)
    ]

    assert cost(answered) == {
        "prompt_tokens": 20,
        "completion_tokens": 6,
        "tokens_per_item": 13.0,
        "truncated": 0,
    }
    assert timing(answered)["median_s"] == 2.0


def test_weights_and_groups_are_those_given():
    credits = [Credit("1", "x", 1.0), Credit("2", "x", 0.0), Credit("3", "y", 1.0)]

    assert Mean(credits).value == pytest.approx(2 / 3)
    assert mean_of_groups(credits).value == 0.75
    assert Mean(credits, {"x": 3, "y": 1}).value == 0.625
    assert Mean(credits, {"x": 1, "y": 1, "z": 9}).value == 0.75
    assert Mean(credits, {"x": 1, "y": 1}, divisor=1).value == 1.5
    assert math.isnan(Mean([]).value)


def test_intervals_draw_instructions_and_not_items():
    rng = np.random.default_rng(1)
    hard = rng.integers(0, 2, 60)
    apart = [Credit(str(n), "", float(hard[n // 5])) for n in range(300)]
    together = [Credit(str(n // 5), "", float(hard[n // 5])) for n in range(300)]

    one, other = Mean(apart).estimate(), Mean(together).estimate()

    assert one.value == other.value
    # Five copies of an instruction are no more evidence than one: sqrt(5) times as wide.
    assert (other.high - other.low) / (one.high - one.low) == pytest.approx(math.sqrt(5), rel=0.15)
    assert Mean(together[:5]).estimate().low is None


def test_an_interval_is_fixed_by_its_seed():
    mean = Mean(
        [Credit(str(n), "", float(value)) for n, value in enumerate(np.random.default_rng(2).normal(size=50))]
    )

    assert mean.estimate(7) == mean.estimate(7)
    assert mean.estimate(7).low != mean.estimate(8).low


def test_versions_are_compared_on_the_items_that_both_have_answered():
    before = [compared(n, ("a", "a") if n < 4 else ("b", "b")) for n in range(10)]
    after = [compared(n, ("a", "a") if n not in (0, 9) else ("a", "b")) for n in range(1, 11)]
    shared = common({"before": before, "after": after})
    scores = tuple(Mean([Credit(a.item.cluster, "", float(a.right)) for a in shared[k]]) for k in shared)

    found = versus(before, after, scores)

    assert found.items == 9
    assert (found.gained, found.lost) == (5, 0)  # 4 to 8 gained; 9 wrong in both, 1 to 3 right in both
    assert found.p_different == pytest.approx(0.0625)  # 2 * (1/2)^5
    assert found.right.difference == found.gain.value == pytest.approx(5 / 9)
    assert (found.right.low, found.right.high) == pytest.approx((found.gain.low, found.gain.high))
    assert [flip.after.item.id for flip in found.flips] == ["s-4", "s-5", "s-6", "s-7", "s-8"]
    assert found.to_json()["right_in_both_orders"]["before"] == pytest.approx(3 / 9, abs=1e-4)


def test_mcnemar_is_exact_and_two_sided():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(2 * (1 + 8) / 2**8)


def test_one_order_is_shown_and_ties_are_half():
    assert {shown(compared(n, ("a", "b")), 0) for n in range(20)} == {"a", "b"}
    assert [credit(verdict, "b") for verdict in ("a", "b", "tie", "invalid")] == [0.0, 1.0, 0.5, 0.5]


def test_outcomes_are_seen_from_the_winner():
    (outcome,) = outcomes([compared(1, ("a", "b"), label="b", responses=(LONG, SHORT))])

    # B is the winner: shown first (B first) it won, shown last it lost.
    assert outcome.verdicts == ("a", "b")
    assert outcome.shorter_right
    assert outcome.length < 0
