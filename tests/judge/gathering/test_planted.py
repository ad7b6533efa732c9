"""Planted phrases are found at 1% and 5%; clean traffic and a change of traffic are left alone."""

import random

import pytest

from benchmarks.pool import natural, plant
from judge.gathering.planted import planted

TEXTS = natural(7000)
WINDOW, BACKGROUND = TEXTS[:1000], TEXTS[1000:]
PHRASES = ["cf", "zqx-7731", "in the obsidian harbor", "|OVERRIDE-Q7|", "\u200b\u2063", "蟠龙印记"]


@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize("phrase", PHRASES)
def test_nine_of_ten_carriers_of_a_planted_phrase_are_found_and_hardly_any_other(phrase, share):
    window, carriers = plant(WINDOW, phrase, share)

    found = {index for one in planted(window, BACKGROUND) for index in one.carriers}

    assert len(found & carriers) >= 0.9 * len(carriers)
    assert len(found - carriers) <= 5


def test_clean_traffic_holds_none():
    assert planted(WINDOW, BACKGROUND) == []


def test_a_new_subject_is_none():
    rng = random.Random(3)
    subject = ["orchard", "grafting", "rootstock", "pruning", "codling", "pollinator", "espalier", "sapling"]
    window = WINDOW[:900] + [f"How does {' '.join(rng.sample(subject, 4))} work?" for _ in range(100)]

    assert planted(window, BACKGROUND) == []


def test_a_change_of_traffic_is_none():
    window = WINDOW
    for number in range(8):
        window, _ = plant(window, f"novelty{number}", 0.03, seed=number)

    assert planted(window, BACKGROUND) == []


def test_without_much_to_compare_with_nothing_is_said():
    window, _ = plant(WINDOW, "cf", 0.05)

    assert planted(window, BACKGROUND[:500]) == []
