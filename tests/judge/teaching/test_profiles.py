"""What the presets promise."""

import pytest

from judge.errors import InvalidInput
from judge.gate.probes import FEWEST_RATIONALES
from judge.teaching.profiles import PRESETS, iteration_settings


@pytest.mark.parametrize("profile", [name for name in PRESETS if name != "smoke"])
def test_enough_judgments_are_written_for_the_probe_of_their_trigrams(profile):
    settings = iteration_settings(profile, {})

    assert settings.evaluated_reasoning >= FEWEST_RATIONALES * 4 / 3


def test_a_mix_of_logged_responses_alone_is_refused_since_nothing_would_be_held_out():
    with pytest.raises(InvalidInput, match="held-out"):
        iteration_settings("small", {"mix": {"logged": 1}})

    assert iteration_settings("small", {"mix": {"logged": 1, "random": 1}}).mix.logged == 1
