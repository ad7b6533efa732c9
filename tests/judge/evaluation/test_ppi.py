"""Few labels and many predictions: intervals cover the truth, and are narrower where predictions are good."""

import numpy as np
import pytest

from judge.errors import InvalidInput
from judge.evaluation.ppi import FEWEST, Point, labels_alone, mean

RUNS = 1000
# A judge's confidence and whether it is right: calibrated, so its accuracy is the mean confidence, 3 of 4.
ACCURACY = 0.75


def sample(rng, labeled=100, unlabeled=1000, *, useful=True):
    """Predictions and labels of one simulated sample."""
    confidence = rng.beta(3, 1, labeled + unlabeled)
    right = rng.random(len(confidence)) < confidence
    predicted = confidence if useful else rng.random(len(confidence))
    return [
        Point(float(value), float(label) if number < labeled else None)
        for number, (value, label) in enumerate(zip(predicted, right, strict=True))
    ]


def simulate(**options):
    """Share of intervals that cover the truth, and their mean width beside that of labels alone."""
    rng = np.random.default_rng(20)
    covered, widths, alone = 0, [], []
    for _ in range(RUNS):
        points = sample(rng, **options)
        found, without = mean(points), labels_alone(points)
        covered += found.low <= ACCURACY <= found.high
        widths.append(found.high - found.low)
        alone.append(without.high - without.low)
    return covered / RUNS, np.mean(widths), np.mean(alone)


def test_good_predictions_narrow_intervals_that_still_cover_the_truth():
    coverage, width, alone = simulate()

    assert 0.93 <= coverage <= 0.97
    assert width < 0.93 * alone


def test_useless_predictions_cost_nothing():
    coverage, width, alone = simulate(useful=False)

    assert 0.93 <= coverage <= 0.97
    assert width == pytest.approx(alone, rel=0.01)


def test_predictions_that_are_all_too_high_do_not_move_the_estimate():
    rng = np.random.default_rng(3)
    points = sample(rng)
    shifted = [Point(point.prediction + 5, point.label) for point in points]

    assert mean(shifted).value == pytest.approx(mean(points).value)
    assert mean(shifted).low == pytest.approx(mean(points).low)


def test_weights_undo_a_sample_that_was_drawn_unevenly():
    rng = np.random.default_rng(4)
    errors, unweighted = [], []
    for _ in range(300):
        hard = rng.random(4000) < 0.5
        right = rng.random(4000) < np.where(hard, 0.5, 0.9)
        probability = np.where(hard, 0.08, 0.02)
        drawn = np.flatnonzero(rng.random(4000) < probability)
        points = [Point(0.5, float(right[n]), 1 / probability[n]) for n in drawn]
        found = mean(points)
        errors.append(found.low <= 0.7 <= found.high)
        unweighted.append(mean([Point(0.5, point.label) for point in points]).value)

    assert 0.92 <= np.mean(errors) <= 0.98
    assert np.mean(unweighted) < 0.62


def test_perfect_predictions_leave_the_error_of_the_unlabeled_sample_alone():
    rng = np.random.default_rng(5)
    truth = (rng.random(5100) < 0.8).astype(float)
    points = [Point(value, value if number < 100 else None) for number, value in enumerate(truth)]

    found = mean(points)

    assert found.power == pytest.approx(5000 / 5100, abs=0.05)
    assert found.high - found.low < 0.03


def test_where_all_labels_are_the_same_the_interval_is_not_empty():
    points = [Point(0.9, 1.0) for _ in range(50)] + [Point(0.8) for _ in range(500)]

    found = mean(points)

    assert found.value == found.high == 1.0
    assert 0.9 < found.low < 0.95


def test_too_few_labels_are_refused():
    points = [Point(0.5, 1.0)] * (FEWEST - 1) + [Point(0.5)] * 1000

    with pytest.raises(InvalidInput, match=f"at least {FEWEST}"):
        mean(points)


def simulate_pairs(pairs=5):
    """Coverage where each instruction has several pairs that are right or wrong together."""
    rng = np.random.default_rng(21)
    covered, wide = 0, 0
    for _ in range(300):
        points, apart = [], []
        for instruction in range(240):
            confidence = rng.beta(3, 1)
            right = float(rng.random() < confidence)
            for _ in range(pairs):
                label = right if instruction < 60 else None
                points.append(Point(float(confidence), label, cluster=str(instruction)))
                apart.append(Point(float(confidence), label))
        found, naive = mean(points), mean(apart)
        covered += found.low <= ACCURACY <= found.high
        wide += naive.low <= ACCURACY <= naive.high
    return covered / 300, wide / 300


def test_several_pairs_of_one_instruction_are_no_more_evidence_than_one():
    clustered, apart = simulate_pairs()

    assert 0.92 <= clustered <= 0.98
    assert apart < 0.8


def test_labels_of_many_pairs_of_few_instructions_are_too_few():
    points = [Point(0.5, 1.0, cluster=str(n % 10)) for n in range(300)]

    with pytest.raises(InvalidInput, match="labels of 10 instructions"):
        mean(points)
