"""What the presets promise."""

import pytest

from judge.probes import FEWEST_RATIONALES
from judge.profiles import PRESETS, iteration_settings


@pytest.mark.parametrize("profile", [name for name in PRESETS if name != "smoke"])
def test_enough_judgments_are_written_for_the_probe_of_their_trigrams(profile):
    settings = iteration_settings(profile, {})

    assert settings.evaluated_reasoning >= FEWEST_RATIONALES * 4 / 3
