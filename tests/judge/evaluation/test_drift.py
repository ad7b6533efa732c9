"""Drift: each planted one is found, and a stable stream hardly ever raises an alarm."""

import numpy as np
import pytest

from judge.evaluation.drift import ALPHA, BINS, Counts, compare

SIZE = 500


def window(rng, size=SIZE, *, invalid=0.01, tie=0.08, first=0.5, flip=0.15, sharp=2.0, high=1.0):
    """Counts of simulated decisions and ratings; `sharp` bends confidence, `high` ratings, upwards."""
    shares = [invalid, tie, (1 - invalid - tie) * first, (1 - invalid - tie) * (1 - first)]
    drawn = rng.multinomial(size, shares)
    ordered = int(drawn[2] + drawn[3])
    return Counts(
        dict(zip(("invalid", "tie", "a", "b"), map(int, drawn), strict=True)),
        flips=int(rng.binomial(ordered, flip)),
        ordered=ordered,
        confidence=histogram(0.5 + rng.beta(sharp, 2, size) / 2, 0.5),
        levels=histogram(rng.beta(4 * high, 3, size), 0.0),
    )


def histogram(values, low):
    return [int(count) for count in np.histogram(values, BINS, (low, 1.0))[0]]


def alarms(first, now, look=1):
    return {change.figure for change in compare(first, now, look) if change.alarm}


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ({"tie": 0.25}, {"tie"}),
        ({"invalid": 0.10}, {"invalid"}),
        ({"flip": 0.40}, {"flip"}),
        ({"first": 0.75}, {"first"}),
        ({"sharp": 5.0}, {"confidence"}),
        ({"high": 4.0}, {"ceiling", "ratings"}),
    ],
)
def test_each_planted_drift_is_found_and_named_even_at_the_hundredth_look(planted, expected):
    rng = np.random.default_rng(11)
    first, now = window(rng), window(rng, **planted)

    assert alarms(first, now, look=1) == expected
    assert alarms(first, now, look=100) == expected


def test_a_stable_stream_raises_a_false_alarm_within_twenty_looks_no_more_often_than_alpha():
    streams, looks, rng = 100, 20, np.random.default_rng(12)
    false = 0
    for _ in range(streams):
        first = window(rng)
        false += any(alarms(first, window(rng), look) for look in range(1, looks + 1))

    assert false <= 3 * ALPHA * streams  # one is expected at most


def test_without_regard_to_the_number_of_looks_there_would_be_more_significant_changes():
    rng = np.random.default_rng(13)
    first = window(rng)
    windows = [window(rng) for _ in range(200)]

    naive = sum(any(c.p_value < 0.05 for c in compare(first, one, 1)) for one in windows)
    corrected = sum(bool(alarms(first, one, look)) for look, one in enumerate(windows, 1))

    assert naive > 20
    assert corrected == 0


def test_a_change_within_the_tolerance_is_none_however_sure_it_is():
    rng = np.random.default_rng(14)
    first, now = window(rng, 200_000), window(rng, 200_000, tie=0.11)
    change = next(c for c in compare(first, now, 1) if c.figure == "tie")

    assert change.p_value < 1e-6
    assert not change.alarm


def test_fewer_ties_flips_and_invalid_ones_are_no_alarm():
    rng = np.random.default_rng(15)
    first, now = window(rng, invalid=0.2, tie=0.3, flip=0.4), window(rng, invalid=0.0, tie=0.0, flip=0.0)

    assert alarms(first, now) <= {"first", "confidence"}


def test_figures_that_a_window_lacks_are_left_out():
    ratings = Counts({"rated": 100}, levels=[0] * 10 + [10] * 10)
    verdicts = Counts({"a": 50, "b": 50})

    assert set(ratings.figures()) == {"invalid", "ceiling", "mean_level"}
    assert set(verdicts.figures()) == {"invalid", "tie", "first"}
    assert {change.figure for change in compare(ratings, ratings, 1)} == {"invalid", "ceiling", "ratings"}


def test_counts_survive_json():
    counts = window(np.random.default_rng(16))

    assert Counts.from_json(counts.to_json()) == counts


def test_the_stability_index_is_that_of_its_definition():
    first = Counts({"rated": 200}, levels=[100, 100] + [0] * 18)
    now = Counts({"rated": 200}, levels=[50, 150] + [0] * 18)
    change = next(c for c in compare(first, now, 1) if c.figure == "ratings")

    # 0.25 ln(0.25 / 0.5) and so on, with half a count in every bin.
    assert change.psi == pytest.approx(0.25 * np.log(1.5 / 0.5), abs=0.02)
    assert change.change == pytest.approx(0.25)
